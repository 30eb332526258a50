"""The description of the tables agrees with the tables of a new store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from deltamark.infrastructure.store import tables
from deltamark.infrastructure.store.migrations import Step
from deltamark.infrastructure.store.postgresql.address import address_of
from deltamark.infrastructure.store.tables import TableColumn, present_tables
from tests.store.test_schema_versions import NOW, notes, opened
from tests.stores import stores

Columns = dict[str, list[tuple[str, str, bool]]]
"""Table -> column, type, and whether it may be null."""


def described(kind: str) -> Columns:
    def row(column: TableColumn) -> tuple[str, str, bool]:
        return column.name, getattr(column, kind).removesuffix(' COLLATE "C"').lower(), column.is_nullable

    return {
        table.name: sorted(row(column) for _, columns in table.columns.values() for column in columns)
        for table in present_tables()
        if kind == "postgresql" or not table.only_postgresql
    }


def test_sqlite_has_the_tables_columns_and_indexes_that_are_described(tmp_path: Path) -> None:
    opened(f"sqlite:///{tmp_path / 'store.db'}").close()

    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        found = {
            name: sorted(
                (row[1], row[2].lower(), not row[3] and not row[5])
                for row in connection.execute(f"PRAGMA table_info({name})")
            )
            for name in names
            if name != "sqlite_sequence"
        }
        indexes = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='index'")}

    assert found == described("sqlite")
    assert {name for name in indexes if not name.startswith("sqlite_")} == {
        index.name for table in present_tables() for index in table.indexes if index.name
    }


def test_postgresql_has_the_tables_and_columns_that_are_described(tmp_path: Path, postgresql_database: str) -> None:
    with stores("postgresql", tmp_path, lambda: postgresql_database) as new:
        url = new()
        opened(url).close()
        with psycopg.connect(**address_of(url).parameters) as connection:  # type: ignore[arg-type]
            rows = connection.execute(
                "SELECT table_name, column_name, data_type, is_nullable='YES' FROM information_schema.columns "
                "WHERE table_schema=%s",
                (address_of(url).schema,),
            ).fetchall()

    found: Columns = {}
    for table, *column in rows:
        name = "tracking" if table == "notification_tracking" else table
        found.setdefault(name, []).append((column[0], column[1], column[2]))
    assert {table: sorted(columns) for table, columns in found.items()} == described("postgresql")


def test_a_new_table_needs_a_phrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "STEPS", (*tables.STEPS, Step(NOW + 1, notes)))

    with pytest.raises(RuntimeError, match="the tables and their phrases differ: notes"):
        present_tables()
