"""The speed of what is derived: everything computed once, then what a thousand changes concern."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from attrs import frozen

from benchmarks.company_data import delta_in, first_in
from benchmarks.measuring import Measure, measured
from benchmarks.places import Place

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
    def written(cls, people: int, folder: Path) -> Company:
        """Writes them, in another process: what this one uses would count as used by those that it starts."""
        folder.mkdir()
        subprocess.run([sys.executable, "-m", "benchmarks.company_data", str(folder), str(people)], check=True)
        return cls(people, folder)


@frozen
class Derived:
    """What was measured on one kind of store."""

    everything: Measure
    incremental: Measure


def derived(place: Place, small: Company, large: Company) -> Derived:
    """Measures the small company and the large one, and prints how they compare."""
    little = _derived(place, small)
    found = _derived(place, large)
    print(f"  derived values: {large.people:,} people and accounts, 20 expressions, 3 rules")
    rate = found.everything.executed / found.everything.seconds
    _line("complete computation", found.everything, f"{rate:,.0f} values/s (goal: at least {VALUES_PER_SECOND:,})")
    _line("job of 1,000 changed rows", found.incremental, f"goal: at most {JOB_SECONDS:.0f} s")
    print(f"      closing the store after it: {found.incremental.closing:.2f} s")
    ratio = found.incremental.seconds / little.incremental.seconds
    print(
        f"      against {small.people:,} people ({little.incremental.seconds:.2f} s): {ratio:.2f} times "
        f"(goal: at most {TIMES_SMALL})"
    )
    for name, done in found.incremental.tasks.items():
        before = little.incremental.tasks[name]
        values = f"; executed {done.executed:,}, necessary {done.necessary:,}" if done.executed else ""
        print(f"      {name}: {done.seconds:.2f} s ({before.seconds:.2f} s){values}")
    sys.stdout.flush()
    return found


def _derived(place: Place, company: Company) -> Derived:
    first, delta = str(first_in(company.folder)), str(delta_in(company.folder))
    place.empty()
    load = measured("derive", place.url, first, "Load", rounds=1)
    flag = measured("derive", place.url, first, "Flag", rounds=1)
    everything = measured("derive", place.url, first, "Everything", rounds=1)
    place.keep()
    incremental = measured("derive", place.url, delta, "Incremental", before=place.restore)
    if company.people > SMALL:
        print(
            f"    (first load of people, departments and accounts: {load.seconds:.1f} s; flags: {flag.seconds:.1f} s)"
        )
    return Derived(everything, incremental)


def _line(what: str, measure: Measure, goal: str) -> None:
    print(
        f"    {what}: {measure.seconds:.2f} s, {goal}; executed {measure.executed:,}, necessary "
        f"{measure.necessary:,}; peak {measure.megabytes:,.0f} MB",
        flush=True,
    )
