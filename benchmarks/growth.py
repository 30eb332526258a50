"""How the same work grows with the number of people, and with the number of events of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.data import configuration, expected_counts
from benchmarks.figures import Bench
from benchmarks.history import changed_titles
from benchmarks.jobs import People
from benchmarks.measure import ROUNDS, Counts, measure
from benchmarks.stores import BenchmarkStore
from deltamark import Engine

PART = "growth"
SMALLEST = 10_000
EVENTS = (1, 10, 100)
"""Events a resource."""
MOST_EVENTS = 100_000
"""Events of all resources: what differs is how they are spread."""
LARGE = 1_000_000
"""From so many people on one round is enough: seconds vary little."""


def measure_part(bench: Bench) -> None:
    """Measures the first store in steps of ten."""
    store = bench.stores[0]
    size = min(SMALLEST, bench.largest)
    while size <= bench.largest:
        _measure_size(bench, store, size)
        size *= 10
    for events in EVENTS:
        _measure_events(bench, store, max(1, min(bench.people, MOST_EVENTS) // events), events)


def _measure_size(bench: Bench, store: BenchmarkStore, size: int) -> None:
    folder = bench.folder / f"people-{size}"
    people = People.write(size, folder)
    rounds = ROUNDS if size < LARGE else 1
    compared = ("DuckDB comparing the files", measure("compare", str(people.first), str(people.second), rounds=rounds))

    def emptied() -> None:
        store.empty()
        people.export(people.first)

    def restored(extract: Path) -> Callable[[], None]:
        def before() -> None:
            store.restore()
            people.export(extract)

        return before

    def add(name: str, job: str, before: Callable[[], None], counts: Counts, count: int, things: str) -> None:
        done = measure("job", store.url, str(people.exports), job, before=before, rounds=rounds, expected=counts)
        bench.add(
            PART, name, done, store=store.kind, count=count, things=things, limit=compared,
            disk_bytes=store.disk_bytes(), parameters={"people": size},
        )  # fmt: skip

    add("first load", "Complete", emptied, expected_counts(None, people.first), size, "resources")
    store.save()
    changed = expected_counts(people.first, people.second)
    add("complete synchronization, 1 % changed", "Complete", restored(people.second), changed, size, "rows")
    add("complete synchronization, nothing changed", "Complete", restored(people.first), Counts(), size, "rows")
    restored(people.first)()
    measure("job", store.url, str(people.exports), "Flagged", rounds=1)
    store.save()
    delta = Counts(updated=min(1_000, size))
    add("incremental job, 1,000 changed", "Incremental", restored(people.commands), delta, delta.updated, "changes")
    store.restore()
    read = measure("changes", store.url, str(size), "arrow", rounds=rounds)
    bench.add(
        PART, "Engine.changes as Arrow batches", read, store=store.kind, count=size, things="events",
        parameters={"people": size},
    )  # fmt: skip
    if size > bench.people:
        shutil.rmtree(folder)


def _measure_events(bench: Bench, store: BenchmarkStore, resources: int, events: int) -> None:
    people = People.write(resources, bench.folder / f"people-{resources}")
    store.empty()
    people.export(people.first)
    with Engine.open(store.url, configuration=configuration(), export_output=str(people.exports)) as engine:
        for number in range(events):
            if number:
                changed_titles(people.first, people.exports / "HR_Person.csv", f" {number}")
            engine.run_job("Complete").raise_for_state()
    total, parameters = resources * events, {"events": events, "resources": resources}
    raw = ("the raw read", measure("decode", store.url))
    name = f"{events} a resource"
    for what, work in (
        ("Engine.changes as Arrow batches", ("changes", store.url, str(total), "arrow")),
        ("audit of one property", ("audit", store.url, str(total))),
        ("replay", ("replay", store.url)),
    ):
        bench.add(
            PART, f"{what}, {name}", measure(*work), store=store.kind, count=total, things="events", limit=raw,
            disk_bytes=store.disk_bytes(), parameters=parameters,
        )  # fmt: skip
    past = [seconds * 1000 for seconds in measure("past", store.url, str(min(200, resources)), rounds=1).samples]
    bench.add(PART, f"one resource at a past moment, {name}", past, store=store.kind, unit="ms", parameters=parameters)
