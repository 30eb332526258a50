"""`make bench`: the speed of the main jobs compared with the same work done raw, on every kind of store."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
from attrs import frozen

from benchmarks.data import extracts_in
from benchmarks.derived_values import SMALL, Company, measure_derived_values
from benchmarks.measure import ROUNDS, Measure, measure
from benchmarks.stores import BenchmarkStore, benchmark_stores

FOLLOW_MS = 100


@frozen
class People:
    """The extracts of the benchmark, and the folder from which the jobs read them."""

    count: int
    first: Path
    second: Path
    commands: Path
    exports: Path

    def export(self, extract: Path) -> None:
        """Puts an extract where the next job reads it."""
        shutil.copy(extract, self.exports / "HR_Person.csv")


@frozen
class Result:
    """The measures of one kind of store."""

    load: Measure
    complete: Measure
    incremental: Measure


@click.command()
@click.option("--people", default=1_000_000, show_default=True, help="The number of people.")
@click.option(
    "--store",
    "kinds",
    multiple=True,
    default=("sqlite", "postgresql"),
    show_default=True,
    help="sqlite, postgresql (a server is started), or the URL of a server where databases may be created.",
)
def main(people: int, kinds: tuple[str, ...]) -> None:
    """Measures loads, synchronizations, computations and incremental jobs, and prints ratios."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name, benchmark_stores(kinds, Path(name)) as stores:
        folder = Path(name)
        print(f"{people:,} people with 10 properties; medians of {ROUNDS} rounds, each in a process of its own")
        # In a process of its own, because peak memory of this one counts for the processes that it starts.
        subprocess.run([sys.executable, "-m", "benchmarks.data", name, str(people)], check=True)
        extracts = People(people, *extracts_in(folder), folder / "exports")
        extracts.exports.mkdir()
        companies = [Company.write(size, folder / f"company-{size}") for size in (min(SMALL, people // 2), people)]
        results = [(_measure_jobs(store, extracts), measure_derived_values(store, *companies)) for store in stores]
        first, computed = results[0]
        for store, (result, values) in zip(stores[1:], results[1:], strict=True):
            print(f"{store.kind} against {stores[0].kind}")
            _ratio("complete synchronization", result.complete, first.complete, 2.0)
            _ratio("incremental job", result.incremental, first.incremental, 2.0)
            _ratio("complete computation", values.everything, computed.everything, 2.0)
            _ratio("incremental job with derived values", values.incremental, computed.incremental, 2.0)


def _measure_jobs(store: BenchmarkStore, people: People) -> Result:
    print(store.kind)

    def before_load() -> None:
        store.empty()
        people.export(people.first)

    load = _job(store, people, "Complete", before_load)
    _line("first load", load, people.count, "resources/s")
    _ratio(f"against {store.raw_work} of the same rows", load, measure("raw", store.url), store.raw_goal)
    store.save()

    def before_complete() -> None:
        store.restore()
        people.export(people.second)

    complete = _job(store, people, "Complete", before_complete)
    _line("complete synchronization, 1 % changed", complete, people.count, "rows/s")
    compare = measure("compare", str(people.first), str(people.second))
    _ratio("against DuckDB comparing the two files", complete, compare, 4.0)

    people.export(people.first)
    store.restore()
    flagged = measure("job", store.url, str(people.exports), "Flagged", rounds=1)
    store.save()

    def before_incremental() -> None:
        store.restore()
        people.export(people.commands)

    incremental = _job(store, people, "Incremental", before_incremental)
    _line("incremental job, 1,000 changed", incremental, 1_000, "changes/s")
    print(f"    (the flag task and all keys before it: {flagged.seconds:.2f} s)")
    store.restore()
    delay = measure("follow", store.url, rounds=1)
    print(f"  a follower sees a commit after {delay.seconds * 1000:.0f} ms (goal: at most {FOLLOW_MS})", flush=True)
    return Result(load, complete, incremental)


def _job(store: BenchmarkStore, people: People, job: str, before: Callable[[], None]) -> Measure:
    return measure("job", store.url, str(people.exports), job, before=before)


def _line(name: str, measure: Measure, count: int, unit: str) -> None:
    rate = f"{count / measure.seconds:,.0f} {unit}"
    print(f"  {name}: {measure.seconds:.2f} s, {rate}, peak {measure.megabytes:,.0f} MB", flush=True)


def _ratio(name: str, ours: Measure, theirs: Measure, goal: float) -> None:
    ratio = ours.seconds / theirs.seconds
    print(f"    {name} ({theirs.seconds:.2f} s): {ratio:.2f} times (goal: at most {goal})", flush=True)


if __name__ == "__main__":
    main()
