"""Measures derived values: a complete computation, then an incremental job of a thousand changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from attrs import frozen

from benchmarks.company_data import delta_in, first_in
from benchmarks.measure import Measure, measure
from benchmarks.stores import BenchmarkStore

VALUES_PER_SECOND = 300_000
JOB_SECONDS = 1.0
TIMES_SMALL = 1.5
SMALL = 10_000


@frozen
class Company:
    """The extracts of a company."""

    people: int
    folder: Path

    @classmethod
    def write(cls, people: int, folder: Path) -> Company:
        """Writes them in another process, because peak memory of this one counts for the processes that it starts."""
        folder.mkdir()
        subprocess.run([sys.executable, "-m", "benchmarks.company_data", str(folder), str(people)], check=True)
        return cls(people, folder)


@frozen
class DerivedMeasures:
    """The measures of one kind of store."""

    everything: Measure
    incremental: Measure


def measure_derived_values(store: BenchmarkStore, small: Company, large: Company) -> DerivedMeasures:
    """Measures a small and a large company, and prints the measures of the large one and their ratio."""
    of_small = _measure_company(store, small)
    of_large = _measure_company(store, large)
    print(f"  derived values: {large.people:,} people and accounts, 20 expressions, 3 rules")
    rate = of_large.everything.executed / of_large.everything.seconds
    _line("complete computation", of_large.everything, f"{rate:,.0f} values/s (goal: at least {VALUES_PER_SECOND:,})")
    _line("job of 1,000 changed rows", of_large.incremental, f"goal: at most {JOB_SECONDS:.0f} s")
    print(f"      closing the store after it: {of_large.incremental.closing:.2f} s")
    ratio = of_large.incremental.seconds / of_small.incremental.seconds
    print(
        f"      against {small.people:,} people ({of_small.incremental.seconds:.2f} s): {ratio:.2f} times "
        f"(goal: at most {TIMES_SMALL})"
    )
    for name, task in of_large.incremental.tasks.items():
        task_of_small = of_small.incremental.tasks[name]
        values = f"; executed {task.executed:,}, necessary {task.necessary:,}" if task.executed else ""
        print(f"      {name}: {task.seconds:.2f} s ({task_of_small.seconds:.2f} s){values}")
    sys.stdout.flush()
    return of_large


def _measure_company(store: BenchmarkStore, company: Company) -> DerivedMeasures:
    first, delta = str(first_in(company.folder)), str(delta_in(company.folder))
    store.empty()
    load = measure("derive", store.url, first, "Load", rounds=1)
    flag = measure("derive", store.url, first, "Flag", rounds=1)
    everything = measure("derive", store.url, first, "Everything", rounds=1)
    store.save()
    incremental = measure("derive", store.url, delta, "Incremental", before=store.restore)
    if company.people > SMALL:
        print(
            f"    (first load of people, departments and accounts: {load.seconds:.1f} s; flags: {flag.seconds:.1f} s)"
        )
    return DerivedMeasures(everything, incremental)


def _line(name: str, measure: Measure, goal: str) -> None:
    print(
        f"    {name}: {measure.seconds:.2f} s, {goal}; executed {measure.executed:,}, necessary "
        f"{measure.necessary:,}; peak {measure.megabytes:,.0f} MB",
        flush=True,
    )
