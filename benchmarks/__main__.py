"""`make bench`: the speed of the main job against the raw work under it, on every kind of store."""

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
from benchmarks.deriving import SMALL, Company, derived
from benchmarks.measuring import ROUNDS, Measure, measured
from benchmarks.places import Place, places

FOLLOWED_MS = 100


@frozen
class People:
    """The extracts of the benchmark, and the folder where the jobs look for them."""

    count: int
    first: Path
    second: Path
    commands: Path
    exports: Path

    def export(self, extract: Path) -> None:
        """Makes an extract the one that the next job reads."""
        shutil.copy(extract, self.exports / "HR_Person.csv")


@frozen
class Result:
    """What was measured on one kind of store."""

    load: Measure
    complete: Measure
    incremental: Measure


@click.command()
@click.option("--people", default=1_000_000, show_default=True, help="How many people the directory has.")
@click.option(
    "--store",
    "stores",
    multiple=True,
    default=("sqlite", "postgresql"),
    show_default=True,
    help="sqlite, postgresql (a server is started), or the URL of a server where databases may be created.",
)
def main(people: int, stores: tuple[str, ...]) -> None:
    """Measures loading, synchronizing, computing and the incremental job; prints ratios."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name, places(stores, Path(name)) as where:
        folder = Path(name)
        print(f"{people:,} people with 10 properties; medians of {ROUNDS} rounds, each in a process of its own")
        # In another process: what this one uses at its peak would count as used by those that it starts.
        subprocess.run([sys.executable, "-m", "benchmarks.data", name, str(people)], check=True)
        extracts = People(people, *extracts_in(folder), folder / "exports")
        extracts.exports.mkdir()
        companies = [Company.written(size, folder / f"company-{size}") for size in (SMALL, max(people, SMALL + 1))]
        results = [(_measured(place, extracts), derived(place, *companies)) for place in where]
        first, computed = results[0]
        for place, (result, values) in zip(where[1:], results[1:], strict=True):
            print(f"{place.kind} against {where[0].kind}")
            _ratio("complete synchronization", result.complete, first.complete, 2.0)
            _ratio("incremental job", result.incremental, first.incremental, 2.0)
            _ratio("complete computation", values.everything, computed.everything, 2.0)
            _ratio("incremental job with derived values", values.incremental, computed.incremental, 2.0)


def _measured(place: Place, people: People) -> Result:
    print(place.kind)

    def empty() -> None:
        place.empty()
        people.export(people.first)

    load = _job(place, people, "Complete", empty)
    _line("first load", load, people.count, "resources/s")
    _ratio(f"against {place.raw_work} of the same rows", load, measured("raw", place.url), place.raw_goal)
    place.keep()

    def changed() -> None:
        place.restore()
        people.export(people.second)

    complete = _job(place, people, "Complete", changed)
    _line("complete synchronization, 1 % changed", complete, people.count, "rows/s")
    compare = measured("compare", str(people.first), str(people.second))
    _ratio("against DuckDB comparing the two files", complete, compare, 4.0)

    people.export(people.first)
    place.restore()
    flagged = measured("job", place.url, str(people.exports), "Flagged", rounds=1)
    place.keep()

    def delta() -> None:
        place.restore()
        people.export(people.commands)

    incremental = _job(place, people, "Incremental", delta)
    _line("incremental job, 1,000 changed", incremental, 1_000, "changes/s")
    print(f"    (the flag task and the keys of everybody before: {flagged.seconds:.2f} s)")
    place.restore()
    delay = measured("follow", place.url, rounds=1)
    print(f"  a follower sees a commit after {delay.seconds * 1000:.0f} ms (goal: at most {FOLLOWED_MS})", flush=True)
    return Result(load, complete, incremental)


def _job(place: Place, people: People, job: str, before: Callable[[], None]) -> Measure:
    return measured("job", place.url, str(people.exports), job, before=before)


def _line(what: str, measure: Measure, count: int, unit: str) -> None:
    rate = f"{count / measure.seconds:,.0f} {unit}"
    print(f"  {what}: {measure.seconds:.2f} s, {rate}, peak {measure.megabytes:,.0f} MB", flush=True)


def _ratio(what: str, ours: Measure, theirs: Measure, goal: float) -> None:
    ratio = ours.seconds / theirs.seconds
    print(f"    {what} ({theirs.seconds:.2f} s): {ratio:.2f} times (goal: at most {goal})", flush=True)


if __name__ == "__main__":
    main()
