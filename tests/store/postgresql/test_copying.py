"""Rows for COPY, encoded column by column, equal the bytes that psycopg sends row by row."""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltamark.infrastructure.store.database import Column, Same
from deltamark.infrastructure.store.postgresql.copy_format import HEADER, TRAILER, copy_rows
from tests.tiers import examples

NUMBERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
ROWS = st.lists(st.tuples(NUMBERS, st.none() | TEXTS, NUMBERS, st.binary(max_size=20)), min_size=1, max_size=20)


def one_by_one(rows: list[tuple[object, ...]]) -> bytes:
    """The format of the PostgreSQL documentation, encoded value by value."""
    return b"".join(pack(">h", len(row)) + b"".join(field(value) for value in row) for row in rows)


def field(value: object) -> bytes:
    match value:
        case None:
            return pack(">i", -1)
        case bool():
            return pack(">i", 1) + (b"\1" if value else b"\0")
        case int():
            return pack(">iq", 8, value)
        case str():
            return field(value.encode())
        case bytes():
            return pack(">i", len(value)) + value
    raise AssertionError(value)


@settings(max_examples=examples(200), deadline=None)
@given(ROWS, st.booleans(), NUMBERS, TEXTS)
def test_columns_give_the_same_bytes_as_rows(
    rows: list[tuple[int, str | None, int, bytes]], flag: bool, number: int, text: str
) -> None:
    numbers, texts, others, blobs = zip(*rows, strict=True)
    columns: Mapping[str, Column] = {
        "a": Same(flag),
        "b": list(numbers),
        "c": pa.array(texts, type=pa.string()),
        "d": Same(number),
        "e": list(others),
        "f": pa.array(blobs, type=pa.binary()),
        "g": Same(text),
    }

    made = bytes(copy_rows(columns))

    assert made == one_by_one([(flag, a, b, number, c, d, text) for a, b, c, d in rows])


@pytest.mark.parametrize("slice_of", [slice(0, 3), slice(2, 5), slice(4, 5)])
def test_a_slice_of_a_column_gives_only_its_rows(slice_of: slice) -> None:
    texts, numbers = ["a", None, "ccc", "", "é"], range(7, 12)
    start, stop = slice_of.start, slice_of.stop
    sliced = pa.array(texts, type=pa.string())[slice_of]

    made = bytes(copy_rows({"n": numbers[slice_of], "t": sliced}))

    assert made == one_by_one(list(zip(numbers[start:stop], texts[start:stop], strict=True)))


def test_no_rows_give_no_bytes() -> None:
    assert bytes(copy_rows({"n": [], "t": pa.array([], type=pa.string())})) == b""


def test_the_server_reads_the_encoded_rows(postgresql_database: str) -> None:
    texts = ["", "é😀", None, "x" * 70_000, "\t\n\\N"]
    rows = copy_rows({"n": range(5), "t": pa.array(texts, type=pa.string()), "b": Same(True)})

    with psycopg.connect(postgresql_database) as connection:
        connection.execute("CREATE TEMP TABLE back (n bigint, t text, b boolean)")
        with connection.cursor().copy("COPY back (n, t, b) FROM STDIN (FORMAT BINARY)") as copy:
            for part in (HEADER, rows, TRAILER):
                copy.write(part)
        found = connection.execute("SELECT n, t, b FROM back ORDER BY n").fetchall()

    assert found == [(n, text, True) for n, text in enumerate(texts)]
