"""Reading a long log in every way, its size on disk, and the cost of its digests."""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.data import COLUMNS, expected_counts
from benchmarks.figures import Bench, Goal
from benchmarks.jobs import People
from benchmarks.measure import Counts, Measure, measure
from benchmarks.stores import BenchmarkStore

PART = "history"
PAST_RESOURCES = 200
"""Resources whose past state is read."""


def measure_part(bench: Bench) -> None:
    """Creates people with 10 properties, updates one property of each, and reads the log back."""
    people = People.write(bench.people, bench.folder / f"people-{bench.people}")
    for store in bench.stores:
        people.export(people.first)
        created = _measure_load(bench, store, people)
        audit = measure("audit", store.url, str(people.count))
        bench.add(
            PART, "audit of one property, one value each", audit, store=store.kind, count=people.count, things="values",
            goal=Goal("value", at_most=max(1.0, people.count / 100_000)),
        )  # fmt: skip
        changed_titles(people.first, people.exports / "HR_Person.csv")
        measure("job", store.url, str(people.exports), "Complete", rounds=1, expected=Counts(updated=people.count))
        updated = measure("size", store.url, rounds=1).seconds - created
        for name, size, goal in (
            ("a created event with its indexes", created, 250),
            ("an event that updates one property, with its indexes", updated, 150),
        ):
            bench.add(
                PART, name, [size / people.count], store=store.kind, unit="bytes", goal=Goal("value", at_most=goal)
            )
        _measure_reads(bench, store, people)


def _measure_load(bench: Bench, store: BenchmarkStore, people: People) -> float:
    """Loads the people without and with digests, and returns the size of the log in bytes."""
    without = measure("unsealed", store.url, str(people.exports), "Complete", before=store.empty)
    expected = expected_counts(None, people.first)
    loaded = measure("job", store.url, str(people.exports), "Complete", before=store.empty, expected=expected)
    bench.add(
        PART, "first load with digests", loaded, store=store.kind, count=people.count, things="resources",
        limit=("the same without digests", without), goal=Goal("ratio", at_most=1.1),
    )  # fmt: skip
    return measure("size", store.url, rounds=1).seconds


def changed_titles(first: Path, extract: Path, suffix: str = " (acting)") -> None:
    """Writes an extract in which every person has another title."""
    columns = ", ".join(f"Title || '{suffix}' AS {name}" if name == "Title" else name for name in COLUMNS)
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT {columns} FROM read_csv('{first}', all_varchar=true, header=true)) TO '{extract}' (HEADER)"
        )


def _measure_reads(bench: Bench, store: BenchmarkStore, people: People) -> None:
    events = 2 * people.count

    def rate(name: str, ours: Measure, at_least: int | None = None) -> None:
        goal = None if at_least is None else Goal("rate", at_least=at_least)
        bench.add(PART, name, ours, store=store.kind, count=events, things="events", limit=raw, goal=goal)

    decoded = measure("decode", store.url)
    bench.add(
        PART, "rows read and JSON decoded, nothing else", decoded, store=store.kind, count=events, things="events"
    )
    raw = ("the raw read", decoded)
    rate("Engine.changes as objects", measure("changes", store.url, str(events), "objects"), 200_000)
    rate("Engine.changes as Arrow batches", measure("changes", store.url, str(events), "arrow"), 200_000)
    audit = measure("audit", store.url, str(events))
    rate("audit of one property, two values each", audit)
    rate("verify, with the chain of digests", measure("verify", store.url))
    rate("replay over a state without differences", measure("replay", store.url), 350_000)
    rate("replay after the whole state was lost", measure("replay-lost", store.url, rounds=1))
    rate(
        "replay into a new SQLite store", measure("replay-into", store.url, str(bench.folder / "replayed.db"), rounds=1)
    )
    past = [seconds * 1000 for seconds in measure("past", store.url, str(PAST_RESOURCES), rounds=1).samples]
    bench.add(PART, "one resource at a past moment", past, store=store.kind, unit="ms", goal=Goal("value", at_most=2.0))
