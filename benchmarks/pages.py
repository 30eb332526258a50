"""`python -m benchmarks.pages` measures what fifty rows cost, in a store of a large company."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from time import process_time

import click

from deltamark import Engine

ROUNDS = 3


@click.command()
@click.option("--people", default=230_000, show_default=True, help="Some 9.4 events are in the log for each.")
@click.option("--folder", type=click.Path(path_type=Path), help="A workspace of `deltamark init` after its first run.")
def main(people: int, folder: Path | None) -> None:
    """Asks for a page of everything, and prints the CPU time of each: the best of three."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name:
        if folder is None:
            folder = Path(name) / "company"
            command = [sys.executable, "-m", "deltamark.interfaces.cli.main"]
            subprocess.run([*command, "init", str(folder), "--people", str(people)], check=True)
            subprocess.run([*command, "--quiet", "run", "Incremental"], check=True, cwd=folder)
        with chdir(folder), Engine.open("sqlite:///deltamark.db", export_output="exports") as engine:
            counts = engine.counts()
            print(f"{engine.position():,} positions, {sum(counts.values()):,} resources, {os.cpu_count()} cores")
            for what, ask in _questions(engine, min(counts, key=lambda one: counts[one] or 10**9)):
                print(f"  {what:44} {min(_cpu(ask) for _ in range(ROUNDS)) * 1000:8.1f} ms")


def _questions(engine: Engine, small: str) -> list[tuple[str, Callable[[], object]]]:
    person = engine.resources("HR_Person", limit=1).resources[0].ref
    some = engine.resources("HR_Person", where={}, limit=1).resources[0].values
    name, value = next((name, value) for name, value in some.items() if isinstance(value, str))
    rules = sorted({key.rule for key in engine.keys(limit=1_000)})
    asked: list[tuple[str, Callable[[], object]]] = [
        ("newest changes", lambda: engine.changes_page()),
        ("oldest changes", lambda: engine.changes_page(after=0)),
        (
            "newest changes of HR_Person, within 0.2 s",
            lambda: engine.changes_page(entity_type="HR_Person", budget_s=0.2),
        ),
        (f"newest changes of {small}, within 0.2 s", lambda: engine.changes_page(entity_type=small, budget_s=0.2)),
        ("newest deletions, within 0.2 s", lambda: engine.changes_page(kind="deleted", budget_s=0.2)),
        ("newest changes of a run", lambda: engine.changes_page(run=1)),
        ("newest changes of a key, of any type", lambda: engine.changes_page(key=person.key)),
        ("history of a resource", lambda: engine.history(person.entity_type, person.key, limit=50)),
        ("resources by key", lambda: engine.resources("HR_Person")),
        ("resources by value, within 0.2 s", lambda: engine.resources("HR_Person", where={name: value}, budget_s=0.2)),
        ("number of resources by type", engine.counts),
        ("runs", lambda: engine.runs(limit=50)),
        ("dirty counts", engine.dirty_counts),
        ("keys", lambda: list(engine.keys(limit=50))),
        ("pairs", lambda: list(engine.matches(limit=50))),
        ("classifications", lambda: list(engine.classifications(limit=50))),
    ]
    return asked + [(f"ambiguous values of {rule}", lambda rule=rule: engine.ambiguous(rule)) for rule in rules[:1]]


def _cpu(ask: Callable[[], object]) -> float:
    begun = process_time()
    ask()
    return process_time() - begun


if __name__ == "__main__":
    main()
