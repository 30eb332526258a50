"""The main jobs: a first load, complete synchronizations, an incremental job; how soon a follower sees a change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from attrs import evolve, frozen

from benchmarks.data import expected_counts, extracts_in
from benchmarks.figures import Bench, Goal
from benchmarks.measure import Counts, Measure, WorkFailed, measure
from benchmarks.stores import BenchmarkStore

PART = "jobs"
KEYS_OF_A_PERSON = 2
"""One of the source side and one of the target side of the rule."""


@frozen
class People:
    """The extracts of the benchmark, and the folder from which the jobs read them."""

    count: int
    first: Path
    second: Path
    commands: Path
    exports: Path

    @classmethod
    def write(cls, count: int, folder: Path) -> People:
        """Writes them in another process, because peak memory of this one counts for the processes that it starts."""
        exports = folder / "exports"
        if not exports.exists():
            exports.mkdir(parents=True)
            subprocess.run([sys.executable, "-m", "benchmarks.data", str(folder), str(count)], check=True)
        return cls(count, *extracts_in(folder), exports)

    def export(self, extract: Path) -> None:
        """Puts an extract where the next job reads it."""
        shutil.copy(extract, self.exports / "HR_Person.csv")


def measure_part(bench: Bench) -> None:
    """Measures every store; then those after the first against it."""
    people = People.write(bench.people, bench.folder / f"people-{bench.people}")
    results = [_measure_store(bench, store, people) for store in bench.stores]
    for store, result in zip(bench.stores[1:], results[1:], strict=True):
        for name, ours, first in zip(("complete synchronization", "incremental job"), result, results[0], strict=True):
            limit = (f"that on {bench.stores[0].kind}", first)
            goal = Goal("ratio", at_most=2.0)
            bench.add(PART, f"{name} against {bench.stores[0].kind}", ours, store=store.kind, limit=limit, goal=goal)


def _measure_store(bench: Bench, store: BenchmarkStore, people: People) -> tuple[Measure, Measure]:
    created = expected_counts(None, people.first)
    load = _job(store, people, "Complete", _emptied(store, people), created)
    raw = (f"{store.raw_work} of the same rows", measure("raw", store.url))
    bench.add(
        PART, "first load", load, store=store.kind, count=people.count, things="resources", limit=raw,
        goal=Goal("ratio", at_most=store.raw_goal), disk_bytes=store.disk_bytes(),
    )  # fmt: skip
    store.save()

    compared = ("DuckDB comparing the files", measure("compare", str(people.first), str(people.second)))
    changed = expected_counts(people.first, people.second)
    complete = _job(store, people, "Complete", _restored(store, people, people.second), changed)
    bench.add(
        PART, "complete synchronization, 1 % changed", complete, store=store.kind, count=people.count, limit=compared,
        goal=Goal("ratio", at_most=4.0), disk_bytes=store.disk_bytes(),
    )  # fmt: skip
    bench.add(
        PART, "complete synchronization, 1 % changed: CPU", complete.of_cpu, store=store.kind, count=people.count,
        limit=(compared[0], compared[1].of_cpu), goal=Goal("ratio", at_most=store.compare_goal),
    )  # fmt: skip
    forced = _job(store, people, "Complete", _restored(store, people, people.second), changed, force_read=True)
    bench.add(
        PART, "the same, all rows compared: CPU", forced.of_cpu, store=store.kind, count=people.count,
        limit=(compared[0], compared[1].of_cpu),
    )  # fmt: skip
    same = _job(store, people, "Complete", _restored(store, people, people.first), expected_counts(None, None))
    bench.add(
        PART, "complete synchronization, nothing changed", same, store=store.kind, count=people.count, limit=compared
    )

    people.export(people.first)
    store.restore()
    flagged = measure("job", store.url, str(people.exports), "Flagged", rounds=1)
    if flagged.executed != KEYS_OF_A_PERSON * people.count:
        raise WorkFailed(f"{flagged.executed} keys were computed of {people.count} people")
    bench.add(PART, "the flag task and all keys", flagged, store=store.kind, count=people.count)
    both = evolve(load, samples=[seconds + flagged.seconds for seconds in load.samples])
    bench.add(
        PART, "first load with flags and keys", both, store=store.kind, count=people.count, things="resources",
        goal=Goal("rate", at_least=70_000),
    )  # fmt: skip
    store.save()
    commands = Counts(updated=min(1_000, people.count))
    incremental = _job(store, people, "Incremental", _restored(store, people, people.commands), commands)
    bench.add(
        PART, "incremental job, 1,000 changed", incremental, store=store.kind, count=commands.updated, things="changes",
        goal=Goal("value", at_most=1.0),
    )  # fmt: skip
    store.restore()
    delay = [seconds * 1000 for seconds in measure("follow", store.url, rounds=1).samples]
    bench.add(
        PART, "a follower sees a commit after", delay, store=store.kind, unit="ms", goal=Goal("value", at_most=100)
    )
    return complete, incremental


def _job(
    store: BenchmarkStore,
    people: People,
    job: str,
    before: Callable[[], None],
    counts: Counts,
    *,
    force_read: bool = False,
) -> Measure:
    options = ["force_read"] if force_read else []
    return measure("job", store.url, str(people.exports), job, *options, before=before, expected=counts)


def _emptied(store: BenchmarkStore, people: People) -> Callable[[], None]:
    def before() -> None:
        store.empty()
        people.export(people.first)

    return before


def _restored(store: BenchmarkStore, people: People, extract: Path) -> Callable[[], None]:
    def before() -> None:
        store.restore()
        people.export(extract)

    return before
