"""A page is read by indexes: no statement reads a whole table, and none sorts one.

The plans are those of SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from deltamark import Engine
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from tests.application.history.test_change_filters import lived
from tests.scenarios.staff import Staff

LARGE = ("resources", "links", "stored_events", "correlation_keys", "classifications", "moments")
QUESTIONS: dict[str, Callable[[Engine], object]] = {
    "newest changes": lambda engine: engine.changes_page(limit=2),
    "oldest changes": lambda engine: engine.changes_page(after=0, limit=2),
    "changes of a run": lambda engine: engine.changes_page(run=1, limit=2),
    "changes of a kind": lambda engine: engine.changes_page(kind="deleted", limit=2),
    "changes of a key": lambda engine: engine.changes_page(key="2", limit=2),
    "history": lambda engine: engine.history("Person", "2", limit=2),
    "resources": lambda engine: engine.resources("Person", prefix="2", limit=2),
    "resources by value": lambda engine: engine.resources("Person", where={"Name": "Bob"}, limit=2),
    "runs": lambda engine: engine.runs(limit=2),
}


class Recorded:
    """The statements that were run, with their plans."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plans: list[str] = []
        kept = SQLiteDatabase._cursor

        def cursor(database: SQLiteDatabase, sql: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
            if sql.lstrip().startswith("SELECT"):
                rows = database._connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
                self.plans += [str(row[3]) for row in map(tuple, rows)]
            return kept(database, sql, parameters)

        monkeypatch.setattr(SQLiteDatabase, "_cursor", cursor)

    def whole_tables(self) -> list[str]:
        """The parts of plans that read a large table from its beginning to its end."""
        return [plan for plan in self.plans if plan.startswith("SCAN") and plan.split()[1] in (*LARGE, *"erlkco")]


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_a_page_reads_no_whole_table(new_staff: Callable[..., Staff], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lived(new_staff).engine
    recorded = Recorded(monkeypatch)
    for what, ask in QUESTIONS.items():
        recorded.plans.clear()
        ask(engine)
        assert recorded.plans, what
        assert recorded.whole_tables() == [], what


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_what_reads_a_whole_table_is_noticed(new_staff: Callable[..., Staff], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lived(new_staff).engine
    recorded = Recorded(monkeypatch)
    list(engine.export_resources("Person"))
    assert recorded.whole_tables()
