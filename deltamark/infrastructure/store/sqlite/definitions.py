"""The statements that define the tables and indexes of an SQLite store, as SQLite keeps them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import cache

from deltamark.infrastructure.store.migrations import STEPS, Types
from deltamark.infrastructure.store.sqlite.recorder import CREATE_EVENTS

TYPES = Types(
    number="INTEGER",
    text="TEXT",
    flag="INTEGER",
    bytes="BLOB",
    numbered="INTEGER PRIMARY KEY",
    clustered=" WITHOUT ROWID",
    indexed=lambda column: column,
    indexed_pair=lambda column, other: f"{column}, {other}",
    found_exactly=lambda column: column,
    refers_to=lambda table: f" REFERENCES {table}",
)


@cache
def definitions() -> Mapping[str, str]:
    """The definitions of an upgraded store: name of the table or index -> SQL."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(CREATE_EVENTS)
        for step in STEPS:
            for statement in step.statements(TYPES):
                connection.execute(statement)
        return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
