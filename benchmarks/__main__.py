"""`make bench`: the speed of Deltamark beside the same work done raw, on every kind of store.

`python -m benchmarks --help` names the parts. Every figure goes to the screen and, with ``--json``, into a file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import click

from benchmarks.figures import Bench
from benchmarks.measure import ROUNDS
from benchmarks.stores import benchmark_stores

PARTS: Mapping[str, str] = {
    "jobs": "loads, synchronizations and incremental jobs",
    "derived_values": "a complete computation, and an incremental one",
    "writer_lock": "the share of a synchronization that keeps others from writing",
    "history": "reading a long log, its size, and the cost of its digests",
    "group": "a group of as many members as there are people: one comes in, one goes out",
    "direct_input": "tables that a program gives, and single changes that it records",
    "sql_sources": "reading databases into deliveries",
    "ldif": "reading LDIF files",
    "start": "the start of the command line",
    "pages": "what a page of fifty rows of each kind costs",
    "serve": "how quickly `deltamark serve` starts and answers, and what it takes",
    "console": "every page and answer of `deltamark serve` over a store with ten events for each resource",
    "feed": "many readers of the feed while a job changes every person and account",
    "workers": "processes that compute for a run: all CPU, and the bytes that pass through the run",
    "adoption": "an edit of the configuration in a full store",
    "growth": "the same jobs at 10,000 people and ten times as many, up to --largest; 1, 10 and 100 events a resource",
    "rivals": "other tools on the same files (needs deltamark[rivals])",
    "directories": "reading real directories (needs the servers of the tests: make servers)",
}
"""Part -> what it measures. Each is the module of that name, with a function `measure_part`."""

USUAL = ("jobs", "derived_values", "history", "direct_input", "sql_sources", "ldif", "start", "pages", "serve")


@click.command(epilog="Parts: " + "; ".join(f"{name}: {words}" for name, words in PARTS.items()) + ".")
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--people", default=100_000, show_default=True, help="The number of people.")
@click.option("--largest", default=100_000, show_default=True, help="The largest number of people of part growth.")
@click.option(
    "--store",
    "kinds",
    multiple=True,
    default=("sqlite", "postgresql"),
    show_default=True,
    help="sqlite, postgresql (a server is started), or the URL of a server where databases may be created.",
)
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Writes the figures there.")
def main(parts: tuple[str, ...], people: int, largest: int, kinds: tuple[str, ...], path: Path | None) -> None:
    """Measures parts of Deltamark; without a name, those that need nothing else."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name, benchmark_stores(kinds, Path(name)) as stores:
        bench = Bench(people=people, folder=Path(name), stores=stores, largest=largest, path=path)
        print(f"{people:,} people; medians of {ROUNDS} rounds (minimum to maximum), each in a process of its own")
        for part in parts or USUAL:
            print(f"{part}: {PARTS[part]}", flush=True)
            with bench.attempt(part):
                measure_part: Callable[[Bench], None] = import_module(f"benchmarks.{part}").measure_part
                measure_part(bench)
    if bench.failures:
        names = ", ".join(dict.fromkeys(failure.name or failure.part for failure in bench.failures))
        raise SystemExit(f"not measured: {names}. The reasons are above; everything else was measured.")


if __name__ == "__main__":
    main()
