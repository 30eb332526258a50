"""What a page of fifty rows of each kind costs, in the store of a large company, in CPU time."""

from __future__ import annotations

from collections.abc import Callable, Sized
from contextlib import chdir
from pathlib import Path
from time import process_time
from typing import cast

from benchmarks.figures import Bench
from benchmarks.measure import ROUNDS, WorkFailed
from benchmarks.serve import command
from deltamark import Engine

PART = "pages"
MOST_PEOPLE = 100_000


def measure_part(bench: Bench) -> None:
    """Asks for a page of everything. Some 9.4 events are in the log for each person."""
    company = bench.folder / "workspace"
    command("init", str(company), "--people", str(min(bench.people, MOST_PEOPLE)), cwd=bench.folder)
    command("--quiet", "run", "Incremental", cwd=company)
    _measure(bench, company)


def _measure(bench: Bench, company: Path) -> None:
    with chdir(company), Engine.open("sqlite:///deltamark.db", export_output="exports") as engine:
        counts = engine.counts()
        parameters = {"positions": engine.position(), "resources": sum(counts.values())}
        smallest = min(counts, key=lambda name: counts[name] or 10**9)
        for what, ask in _questions(engine, smallest):
            with bench.attempt(PART, what):
                may_be_empty = what.startswith(("newest deletions", "ambiguous"))
                times = [_cpu_ms(ask, may_be_empty=may_be_empty) for _ in range(ROUNDS)]
                bench.add(PART, what, times, store="SQLite", unit="ms", parameters=parameters)


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


def _cpu_ms(ask: Callable[[], object], *, may_be_empty: bool) -> float:
    """Returns the CPU time of an answer, which must hold something unless it may be empty."""
    begun = process_time()
    answer = ask()
    taken = process_time() - begun
    rows = cast("Sized", getattr(answer, "changes", getattr(answer, "resources", answer)))
    if not len(rows) and not may_be_empty:
        raise WorkFailed("the answer is empty")
    return taken * 1_000
