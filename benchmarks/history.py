"""`python -m benchmarks.history` measures reading a long log, its size on disk, and the cost of its digests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import duckdb

from benchmarks.data import COLUMNS, extracts_in
from benchmarks.measure import Measure, measure
from benchmarks.stores import BenchmarkStore, benchmark_stores

PAST_RESOURCES = 200
"""Resources whose past state is read."""


@click.command()
@click.option(
    "--people", default=1_000_000, show_default=True, help="The number of people, each created and then updated once."
)
@click.option("--store", "kinds", multiple=True, default=("sqlite", "postgresql"), show_default=True)
def main(people: int, kinds: tuple[str, ...]) -> None:
    """Creates people with 10 properties, updates one property of each, and reads the log back in every way."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name, benchmark_stores(kinds, Path(name)) as stores:
        folder = Path(name)
        print(f"{people:,} people with 10 properties created, then one property of each updated")
        subprocess.run([sys.executable, "-m", "benchmarks.data", name, str(people)], check=True)
        first, *_ = extracts_in(folder)
        exports = folder / "exports"
        exports.mkdir()
        extract = exports / "HR_Person.csv"
        for store in stores:
            print(store.kind)
            extract.write_bytes(first.read_bytes())
            created = _measure_load(store, exports, people)
            _change(first, extract)
            measure("job", store.url, str(exports), "Complete", rounds=1)
            updated = measure("size", store.url, rounds=1).seconds - created
            _size("a created event", created / people, 250)
            _size("an event that updates one property", updated / people, 150)
            _measure_reads(store, 2 * people, folder)


def _measure_load(store: BenchmarkStore, exports: Path, people: int) -> float:
    """Loads the people without and with digests, and returns the size of the log in bytes."""
    without = measure("unsealed", store.url, str(exports), "Complete", before=store.empty)
    loaded = measure("job", store.url, str(exports), "Complete", before=store.empty)
    cost = loaded.seconds / without.seconds - 1
    print(
        f"  digests cost {cost:.1%} of the first load, {people / loaded.seconds:,.0f} resources/s (goal: at most 10 %)"
    )
    return measure("size", store.url, rounds=1).seconds


def _change(first: Path, extract: Path) -> None:
    columns = ", ".join(f"Title || ' (acting)' AS {name}" if name == "Title" else name for name in COLUMNS)
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT {columns} FROM read_csv('{first}', all_varchar=true, header=true)) TO '{extract}' (HEADER)"
        )


def _size(name: str, size: float, goal: int) -> None:
    print(f"  {name} takes {size:.0f} bytes with its indexes (goal: at most {goal})", flush=True)


def _measure_reads(store: BenchmarkStore, events: int, folder: Path) -> None:
    raw = measure("decode", store.url)
    print(f"  the log read in stream order and its JSON decoded: {events / raw.seconds:,.0f} events/s")
    verified = measure("verify", store.url)
    _rate("verify, with the chain of digests", events, verified, raw)
    _rate("replay over a state without differences", events, measure("replay", store.url), raw)
    lost = measure("replay-lost", store.url, rounds=1)
    _rate("replay after the whole state was lost", events, lost, raw)
    into = measure("replay-into", store.url, str(folder / "replayed.db"), rounds=1)
    _rate("replay into a new SQLite store", events, into, raw)
    past = measure("past", store.url, str(PAST_RESOURCES), rounds=1)
    print(f"  one resource at a past moment: {past.seconds * 1000:.2f} ms (goal: under 2)", flush=True)


def _rate(name: str, events: int, ours: Measure, raw: Measure) -> None:
    rate, ratio = f"{events / ours.seconds:,.0f} events/s", f"{ours.seconds / raw.seconds:.2f} times the raw read"
    print(f"  {name}: {rate}, {ratio}, peak {ours.megabytes:,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
