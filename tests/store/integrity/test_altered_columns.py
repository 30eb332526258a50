"""`verify` finds a flipped bit in any column of the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from deltamark.application.ports.store import Store
from deltamark.domain.integrity.verification import LogVerification
from tests.store.released import bring_back
from tests.store.tables import nobody, opened, plain

FORMAT = 8
"""The format of the altered store, which has a partial discard, an erasure, and snapshots."""

TABLES = {
    "stored_events": ("notification_id", "originator_id", "originator_version", "topic", "state", "seal"),
    "moments": ("position", "at", "segments", "digest"),
    "stubs": ("position", "stream", "version", "topic", "leaf"),
    "snapshots": ("stream", "version", "position", "topic", "state", "seal"),
}
"""The tables of the log; the first column of each names a row. `test_altered_tables` alters all others."""

COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]


class TakenBack(Exception):
    """Rolls back an alteration after it was checked."""


@pytest.fixture(scope="module")
def lived(lasting_store_url: str) -> Iterator[Store]:
    """The store in which every alteration is made and rolled back."""
    bring_back(FORMAT, lasting_store_url)
    with opened(lasting_store_url) as store:
        yield store


def values_of(store: Store, table: str, column: str) -> list[tuple[int, Any]]:
    with store.reading() as reading:
        key = TABLES[table][0]
        return [plain(row) for row in reading._db.all(f"SELECT {key}, {column} FROM {table} ORDER BY {key}")]


def turned(value: Any) -> Iterator[Any]:
    """A value with one bit flipped: at its ends, and in the middle."""
    match value:
        case int():
            yield from (value ^ 1, value ^ 1 << 40)
        case str():
            yield value[:-1] + chr(ord(value[-1]) ^ 1)
        case bytes():
            for place in sorted({0, len(value) // 2, len(value) - 1}):
                yield value[:place] + bytes([value[place] ^ 1 << place % 8]) + value[place + 1 :]


def altered(store: Store, table: str, column: str, row: int, value: Any) -> LogVerification | None:
    """The faults with another value in a row; None if the database refuses it."""
    found = None
    with suppress(TakenBack), store.transaction() as tx:
        try:
            tx._db.execute(f"UPDATE {table} SET {column}=?1 WHERE {TABLES[table][0]}=?2", (value, row))
        except Exception as e:
            raise TakenBack from e
        found = tx.verify(nobody)
        raise TakenBack
    return found


def test_every_column_of_the_log_is_altered_here(lived: Store) -> None:
    with lived.reading() as reading:
        held = {table: reading._db.row(f"SELECT * FROM {table}") for table in TABLES}

    assert {table: len(row) for table, row in held.items()} == {table: len(names) for table, names in TABLES.items()}


@pytest.mark.many
@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_flipped_bit_is_found(lived: Store, table: str, column: str) -> None:
    made = [
        (row, value, found)
        for row, held in values_of(lived, table, column)
        for value in turned(held)
        if (found := altered(lived, table, column, row, value)) is not None
    ]

    assert made
    assert [(row, value) for row, value, found in made if found.is_sound] == []
