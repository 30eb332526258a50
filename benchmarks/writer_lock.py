"""How much of a synchronization keeps others from writing: the time in its transactions beside its whole time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import company_data
from benchmarks.company_data import first_in
from benchmarks.derived_values import Company
from benchmarks.figures import Bench, Goal
from benchmarks.measure import measure, report_samples
from benchmarks.stores import BenchmarkStore
from deltamark import Engine, TaskState
from deltamark.application.ports.commands import Writing
from deltamark.infrastructure.store.database_store import DatabaseStore

PART = "writer_lock"

DAYS = {
    "1 % of the people changed": "SELECT * REPLACE ({title} AS Title) FROM people",
    "1 % changed, 0.1 % joined and 0.1 % left": """SELECT * REPLACE ({title} AS Title) FROM people WHERE NOT {leaves}
        UNION ALL SELECT * REPLACE ('N' || EmployeeId AS EmployeeId, 'new.' || Mail AS Mail) FROM people
        WHERE {joins}""",
}
"""Name -> the query for the people of that day, given those of the first one in the order of their rows."""

_TERMS = {
    "title": "CASE WHEN rowid % 100 = 7 THEN Title || ' II' ELSE Title END",
    "leaves": "(rowid % 1000 = 500 AND EmployeeId NOT IN (SELECT Manager FROM people WHERE Manager IS NOT NULL))",
    "joins": "(rowid % 1000 = 501)",
}


def measure_part(bench: Bench) -> None:
    """Measures complete extracts of people and departments with their links, on every store."""
    company = Company.write(bench.people, bench.folder / f"company-{bench.people}")
    for store in bench.stores:
        store.empty()
        measure("derive", store.url, str(first_in(company.folder)), "Load", rounds=1)
        store.save()
        for number, (day, query) in enumerate(DAYS.items()):
            _measure_day(bench, store, day, _extracts(company, number, query))


def _extracts(company: Company, number: int, query: str) -> Path:
    folder = company.folder / f"day-{number}"
    if not folder.exists():
        shutil.copytree(first_in(company.folder), folder)
        people = folder / "HR_Person.csv"
        with duckdb.connect() as db:
            db.execute("CREATE TABLE people AS FROM read_csv(?, all_varchar=true, header=true)", [str(people)])
            db.execute(f"COPY ({query.format(**_TERMS)}) TO '{people}' (HEADER)")
    return folder


def _measure_day(bench: Bench, store: BenchmarkStore, day: str, extracts: Path) -> None:
    shares = measure("locked", store.url, str(extracts), "Load", before=store.restore).samples
    bench.add(
        PART, f"share of the time under the writer's lock, {day}", shares, store=store.kind, unit="of the time",
        goal=Goal("value", at_most=0.15),
    )  # fmt: skip


def locked(store: str, exports: str, job: str) -> None:
    """Runs a job, and prints the share of its time that is in writing transactions."""
    transaction, seconds = DatabaseStore.transaction, list[float]()

    @contextmanager
    def timed(self: DatabaseStore[Any]) -> Iterator[Writing]:
        started = time.perf_counter()
        writing: AbstractContextManager[Writing] = transaction(self)
        with writing as tx:
            yield tx
        seconds.append(time.perf_counter() - started)

    DatabaseStore.transaction = timed  # type: ignore[method-assign]
    with Engine.open(store, configuration=company_data.configuration(), export_output=exports) as engine:
        started = time.perf_counter()
        run = engine.run_job(job)
        whole = time.perf_counter() - started
    assert run.state is TaskState.COMPLETED, run
    report_samples([sum(seconds) / whole])
