"""`make bench`: the speed of the main job against the raw work under it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

import click

from benchmarks.data import write_people
from benchmarks.measuring import ROUNDS, Measure, measured


@click.command()
@click.option("--people", default=1_000_000, show_default=True, help="How many people the directory has.")
def main(people: int) -> None:
    """Measures first load, complete synchronization and the incremental job; prints ratios."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name:
        folder = Path(name)
        print(f"{people:,} people with 10 properties; medians of {ROUNDS} rounds, each in a process of its own")
        first, second, commands = write_people(folder, people)
        exports, store, loaded = folder / "exports", folder / "store.db", folder / "loaded.db"
        exports.mkdir()
        extract = exports / "HR_Person.csv"

        def empty() -> None:
            _remove(store)
            shutil.copy(first, extract)

        load = measured("job", str(store), str(exports), "Complete", before=empty)
        raw = measured("raw", str(store), str(folder / "raw.db"))
        _line("first load", load, people, "resources/s")
        _ratio("against executemany of the same rows", load, raw, 2.5)

        _copy(store, loaded)

        def changed() -> None:
            _copy(loaded, store)
            shutil.copy(second, extract)

        complete = measured("job", str(store), str(exports), "Complete", before=changed)
        compare = measured("compare", str(first), str(second))
        _line("complete synchronization, 1 % changed", complete, people, "rows/s")
        _ratio("against DuckDB comparing the two files", complete, compare, 4.0)

        shutil.copy(first, extract)
        _copy(loaded, store)
        measured_once = measured("job", str(store), str(exports), "Flagged")
        _copy(store, loaded)

        def delta() -> None:
            _copy(loaded, store)
            shutil.copy(commands, extract)

        incremental = measured("job", str(store), str(exports), "Incremental", before=delta)
        _line("incremental job, 1,000 changed", incremental, 1_000, "changes/s")
        print(f"    (the flag task and the keys of everybody before: {measured_once.seconds:.2f} s)")


def _line(what: str, measure: Measure, count: int, unit: str) -> None:
    rate = f"{count / measure.seconds:,.0f} {unit}"
    print(f"{what}: {measure.seconds:.2f} s, {rate}, peak {measure.megabytes:,.0f} MB")


def _ratio(what: str, ours: Measure, theirs: Measure, goal: float) -> None:
    ratio = ours.seconds / theirs.seconds
    print(f"    {what} ({theirs.seconds:.2f} s): {ratio:.2f} times (goal: at most {goal})")


def _copy(source: Path, target: Path) -> None:
    _remove(target)
    with sqlite3.connect(source) as one, sqlite3.connect(target) as other:
        one.backup(other)
    one.close()
    other.close()


def _remove(store: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{store}{suffix}").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
