"""How fast rows of databases are read into a delivery."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from benchmarks.data import COLUMNS
from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS
from deltamark.application.ports.sources import Question, WantedTable
from deltamark.bootstrap import sql_source
from deltamark.domain.sources.places import DeliveryKind
from deltamark.infrastructure.deliveries.folder import DeliveryFolder
from deltamark.infrastructure.extracts.folder import FolderExtracts
from tests.postgresql import running

PART = "sql_sources"
GOALS = {"SQLite": 300_000, "PostgreSQL": 200_000}
"""Rows a second."""
KEY = COLUMNS[0]
_OTHERS = ", ".join(f"""'{name} ' || (i % 9973) AS "{name}\"""" for name in COLUMNS[1:])
_MIB = 1 << 20


def measure_part(bench: Bench) -> None:
    """Reads a table of people with ten texts each from SQLite and PostgreSQL, whole and with keys alone."""
    folder = bench.folder / "sql_sources"
    folder.mkdir()
    _measure(bench, "SQLite", _in_sqlite(folder, bench.people), bench.people, folder)
    with running() as server, _in_postgresql(server.url("postgres"), bench.people) as address:
        _measure(bench, "PostgreSQL", address, bench.people, folder)


def _measure(bench: Bench, name: str, address: str, people: int, folder: Path) -> None:
    source = sql_source()
    table = WantedTable(
        name="people",
        columns=COLUMNS,
        options={"Query": "SELECT * FROM people", "Watermark": KEY, "Keys": f'SELECT "{KEY}" FROM people'},
        key=KEY,
    )
    whole = Question(
        connection=name,
        package="Sql",
        settings={"server": address},
        tables=[WantedTable(name="people", columns=COLUMNS, options={"Query": "SELECT * FROM people"})],
    )
    keyed = Question(connection=name, package="Sql", settings={"server": address}, tables=[table])
    deliveries = DeliveryFolder(folder / "deliveries", lambda folder, options: FolderExtracts(folder, options=options))
    seconds: list[float] = []
    worked: list[float] = []
    unchanged: list[float] = []
    before = _peak()
    for number in range(ROUNDS):
        began, busy = time.perf_counter(), time.process_time()
        with deliveries.draft("bench", name, whole.tables, run=2 * number, task=1) as draft:
            delivery = draft.finish(DeliveryKind.SNAPSHOT, None, whole.scope, source.snapshot(whole, draft))
        seconds.append(time.perf_counter() - began)
        worked.append(time.process_time() - busy)
        assert delivery.rows == people
    grown = _peak() - before
    for number in range(ROUNDS):
        with deliveries.draft("bench", name, keyed.tables, run=2 * number, task=2) as draft:
            reached = source.snapshot(keyed, draft)
            draft.finish(DeliveryKind.SNAPSHOT, None, keyed.scope, reached)
        assert reached.place is not None
        began = time.perf_counter()
        with deliveries.draft("bench", name, keyed.tables, run=2 * number + 1, task=1) as draft:
            changed = source.changes(keyed, reached.place, draft)
            delta = draft.finish(DeliveryKind.DELTA, "", keyed.scope, changed)
        unchanged.append(time.perf_counter() - began)
        assert delta.rows == 1, "the newest row is read again"
    goal = Goal("rate", at_least=GOALS[name])
    bench.add(PART, "a table of ten columns", seconds, store=name, count=people)
    bench.add(PART, "a table of ten columns, processor time", worked, store=name, count=people, goal=goal)
    bench.add(PART, "memory that it takes", [grown], store=name, unit="MB")
    bench.add(PART, "all keys and no change", unchanged, store=name, count=people)


def _in_sqlite(folder: Path, people: int) -> str:
    path = folder / "people.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            f"""CREATE TABLE people AS WITH RECURSIVE n(i) AS (
                SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {people})
            SELECT 'E' || i AS "{KEY}", {_OTHERS} FROM n"""
        )
        connection.execute(f'CREATE UNIQUE INDEX k ON people ("{KEY}")')
    return f"sqlite:///{path}"


@contextmanager
def _in_postgresql(url: str, people: int) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"""CREATE TABLE people AS SELECT 'E' || i AS "{KEY}", {_OTHERS} FROM generate_series(1, {people}) n(i)"""
        )
        connection.execute(f'CREATE UNIQUE INDEX k ON people ("{KEY}")')
    yield url


def _peak() -> int:
    """The most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // _MIB
