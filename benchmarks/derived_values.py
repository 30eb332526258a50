"""Derived values: a complete computation, then an incremental job of a thousand changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from attrs import frozen

from benchmarks.company_data import delta_in, first_in
from benchmarks.figures import Bench, Goal
from benchmarks.measure import Measure, measure
from benchmarks.stores import BenchmarkStore

PART = "derived_values"
SMALL = 10_000


@frozen
class Company:
    """The extracts of a company."""

    people: int
    folder: Path

    @classmethod
    def write(cls, people: int, folder: Path) -> Company:
        """Writes them in another process, because peak memory of this one counts for the processes that it starts."""
        if not folder.exists():
            folder.mkdir()
            subprocess.run([sys.executable, "-m", "benchmarks.company_data", str(folder), str(people)], check=True)
        return cls(people, folder)


@frozen
class DerivedMeasures:
    """The measures of one kind of store."""

    everything: Measure
    incremental: Measure


def measure_part(bench: Bench) -> None:
    """Measures a small and a large company on every store: 20 expressions, 3 rules."""
    sizes = (min(SMALL, bench.people // 2), bench.people)
    companies = [Company.write(size, bench.folder / f"company-{size}") for size in sizes]
    results = [_measure_store(bench, store, *companies) for store in bench.stores]
    for store, result in zip(bench.stores[1:], results[1:], strict=True):
        first = bench.stores[0].kind
        for name, ours, theirs in (
            ("complete computation", result.everything, results[0].everything),
            ("incremental job with derived values", result.incremental, results[0].incremental),
        ):
            bench.add(
                PART, f"{name} against {first}", ours, store=store.kind, limit=(f"that on {first}", theirs),
                goal=Goal("ratio", at_most=2.0),
            )  # fmt: skip


def _measure_store(bench: Bench, store: BenchmarkStore, small: Company, large: Company) -> DerivedMeasures:
    of_small = _measure_company(bench, store, small, is_shown=False)
    of_large = _measure_company(bench, store, large, is_shown=True)
    everything, incremental = of_large.everything, of_large.incremental
    bench.add(
        PART, "complete computation", everything, store=store.kind, count=everything.executed, things="values",
        goal=Goal("rate", at_least=500_000 if store.kind == "SQLite" else 350_000), parameters=_values(everything),
    )  # fmt: skip
    bench.add(
        PART, "job of 1,000 changed rows", incremental, store=store.kind, goal=Goal("value", at_most=1.0),
        parameters=_values(incremental),
    )  # fmt: skip
    bench.add(
        PART, f"job of 1,000 changed rows, against {small.people:,} people", incremental, store=store.kind,
        limit=(f"that of {small.people:,} people", of_small.incremental), goal=Goal("ratio", at_most=1.5),
    )  # fmt: skip
    bench.add(PART, "closing the store after it", [incremental.closing], store=store.kind)
    for name, task in incremental.tasks.items():
        limit = (f"that of {small.people:,} people", Measure([of_small.incremental.tasks[name].seconds], 0))
        bench.add(PART, f"its task {name}", [task.seconds], store=store.kind, limit=limit)
    return of_large


def _values(measured: Measure) -> dict[str, int]:
    return {"executed": measured.executed, "necessary": measured.necessary}


def _measure_company(bench: Bench, store: BenchmarkStore, company: Company, *, is_shown: bool) -> DerivedMeasures:
    first, delta = str(first_in(company.folder)), str(delta_in(company.folder))
    store.empty()
    load = measure("derive", store.url, first, "Load", rounds=1)
    flag = measure("derive", store.url, first, "Flag", rounds=1)
    everything = measure("derive", store.url, first, "Everything", rounds=1)
    store.save()
    incremental = measure("derive", store.url, delta, "Incremental", before=store.restore)
    if is_shown:
        bench.add(PART, "first load of people, departments and accounts", load, store=store.kind)
        bench.add(PART, "their flags", flag, store=store.kind)
    return DerivedMeasures(everything, incremental)
