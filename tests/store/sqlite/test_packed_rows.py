"""Rows whose values are packed into few parameters are those that are inserted one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deltamark.infrastructure.store.database import Same
from deltamark.infrastructure.store.sqlite import packed_rows
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from deltamark.infrastructure.store.sqlite.packed_rows import insert_packed
from tests.tiers import law

COLUMNS = "number INTEGER PRIMARY KEY, same TEXT, key TEXT, state BLOB, fixed BLOB, value INTEGER, live INTEGER"

ROW = st.tuples(st.text(st.characters(codec="utf-8"), max_size=9), st.binary(max_size=9), st.integers(-(2**40), 2**40))


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def given_columns(rows: list[tuple[str, bytes, int]]) -> dict[str, Any]:
    keys, states, values = zip(*rows, strict=True)
    return {
        "number": range(7, 7 + len(rows)),
        "same": Same("it's"),
        "key": pa.array(["before", *keys], pa.string())[1:],
        "state": pa.array([b"before", *states], pa.binary())[1:],
        "fixed": pa.array([number.to_bytes(3) for number in range(len(rows) + 1)], pa.binary(3))[1:],
        "value": list(values),
        "live": Same(True),
    }


def inserted(connection: sqlite3.Connection, columns: dict[str, Any], fewest: int) -> tuple[int, list[Any]]:
    """How many rows were packed, and what the table holds then, with the types of its values."""
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute(f"CREATE TABLE t ({COLUMNS})")
    many, SQLiteDatabase.many = SQLiteDatabase.many, 100 * fewest
    packed: list[int] = []
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "deltamark.infrastructure.store.sqlite.database.insert_packed",
                lambda *arguments: packed.append(insert_packed(*arguments)) or packed[-1],
            )
            SQLiteDatabase(connection).insert("t", columns)
    finally:
        SQLiteDatabase.many = many
    names = [part.split()[0] for part in COLUMNS.split(", ")]
    types = ", ".join(f"typeof({name})" for name in names)
    return packed[0], connection.execute(f"SELECT {', '.join(names)}, {types} FROM t ORDER BY 1").fetchall()


@law(60)
@given(rows=st.lists(ROW, min_size=1, max_size=12), size=st.integers(1, 12))
@example(rows=[("", b"", 0)], size=3)
@example(rows=[("a\0b", b"\0", -1), ("\U0001f600", b"", 1)], size=1)
@example(rows=[("a", b"a", -(2**63)), ("a", b"a", 2**63 - 1)], size=2)
def test_packed_rows_are_those_of_single_values(connection, rows, size):
    columns = given_columns(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_rows, "_MOST", size)

        _, packed = inserted(connection, columns, 1)

    assert packed == inserted(connection, columns, 10**6)[1]


def test_rows_are_packed_up_to_one_without_a_value(connection):
    columns = given_columns([("a", b"a", number) for number in range(40)])
    columns["key"] = pa.array(["a"] * 32 + [None] + ["b"] * 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_rows, "_MOST", 16)

        count, rows = inserted(connection, columns, 4)

    assert count == 32
    assert rows == inserted(connection, columns, 10**6)[1]


def test_few_rows_are_not_packed(connection):
    assert inserted(connection, given_columns([("a", b"a", 1)] * 9), 10)[0] == 0
    assert inserted(connection, given_columns([("a", b"a", 1)] * 10), 10)[0] == 10


def test_a_column_that_is_longer_than_a_parameter_may_be_is_packed_in_smaller_portions(connection, monkeypatch):
    monkeypatch.setattr(packed_rows, "_MOST_BYTES", 100)
    columns = given_columns([("a" * 30, b"a", number) for number in range(20)])

    count, rows = inserted(connection, columns, 1)

    assert count == 20
    assert rows == inserted(connection, columns, 10**6)[1]


def test_a_row_that_violates_a_constraint_is_refused(connection):
    columns = given_columns([("a", b"a", 1)] * 9)
    columns["number"] = [1, 2, 3, 4, 4, 5, 6, 7, 8]

    with pytest.raises(sqlite3.IntegrityError):
        inserted(connection, columns, 1)
