"""`python -m benchmarks.history`: how fast a long log is read back, what it takes on disk, what its digests cost."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import duckdb

from benchmarks.data import COLUMNS, extracts_in
from benchmarks.measuring import Measure, measured
from benchmarks.places import Place, places

ASKED = 200
"""Resources whose past state is asked for."""


@click.command()
@click.option("--people", default=1_000_000, show_default=True, help="How many are created, and then updated once.")
@click.option("--store", "stores", multiple=True, default=("sqlite", "postgresql"), show_default=True)
def main(people: int, stores: tuple[str, ...]) -> None:
    """Creates people with 10 properties, updates one property of each, and reads the log back in every way."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name, places(stores, Path(name)) as where:
        folder = Path(name)
        print(f"{people:,} people with 10 properties created, then one property of each updated")
        subprocess.run([sys.executable, "-m", "benchmarks.data", name, str(people)], check=True)
        first, *_ = extracts_in(folder)
        exports = folder / "exports"
        exports.mkdir()
        extract = exports / "HR_Person.csv"
        for place in where:
            print(place.kind)
            extract.write_bytes(first.read_bytes())
            created = _loaded(place, exports, people)
            _change(first, extract)
            measured("job", place.url, str(exports), "Complete", rounds=1)
            updated = measured("size", place.url, rounds=1).seconds - created
            _size("a created event", created / people, 250)
            _size("an event that updates one property", updated / people, 150)
            _read_back(place, 2 * people, folder)


def _loaded(place: Place, exports: Path, people: int) -> float:
    """Loads the people with digests and without; returns the size of the log in bytes."""
    without = measured("unsealed", place.url, str(exports), "Complete", before=place.empty)
    loaded = measured("job", place.url, str(exports), "Complete", before=place.empty)
    cost = loaded.seconds / without.seconds - 1
    print(
        f"  digests cost {cost:.1%} of the first load, {people / loaded.seconds:,.0f} resources/s (goal: at most 10 %)"
    )
    return measured("size", place.url, rounds=1).seconds


def _change(first: Path, extract: Path) -> None:
    columns = ", ".join(f"Title || ' (acting)' AS {name}" if name == "Title" else name for name in COLUMNS)
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT {columns} FROM read_csv('{first}', all_varchar=true, header=true)) TO '{extract}' (HEADER)"
        )


def _size(what: str, found: float, goal: int) -> None:
    print(f"  {what} takes {found:.0f} bytes with its indexes (goal: at most {goal})", flush=True)


def _read_back(place: Place, events: int, folder: Path) -> None:
    raw = measured("decode", place.url)
    print(f"  the log read in stream order and its JSON decoded: {events / raw.seconds:,.0f} events/s")
    verified = measured("verify", place.url)
    _rate("verify, chain of digests and all", events, verified, raw)
    _rate("replay of a state that is right", events, measured("replay", place.url), raw)
    lost = measured("replay-lost", place.url, rounds=1)
    _rate("replay after the whole state was lost", events, lost, raw)
    into = measured("replay-into", place.url, str(folder / "carried.db"), rounds=1)
    _rate("replay into a new SQLite store", events, into, raw)
    past = measured("past", place.url, str(ASKED), rounds=1)
    print(f"  one resource at a past moment: {past.seconds * 1000:.2f} ms (goal: under 2)", flush=True)


def _rate(what: str, events: int, ours: Measure, raw: Measure) -> None:
    rate, ratio = f"{events / ours.seconds:,.0f} events/s", f"{ours.seconds / raw.seconds:.2f} times the raw read"
    print(f"  {what}: {rate}, {ratio}, peak {ours.megabytes:,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
