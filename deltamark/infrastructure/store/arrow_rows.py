"""Rows of a database cursor as Arrow tables, and back, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from deltamark.domain.errors import store_damaged
from deltamark.domain.values import shown
from deltamark.infrastructure.store.arrow import pa

CHUNK = 50_000
"""Rows handled at a time: enough to amortise a call, few enough to stay small."""

PORTION = 2_000
"""Rows fetched at a time: many tuples alive at once would set off the garbage collector again and again."""


class Cursor(Protocol):
    """What a database cursor must do here."""

    def fetchmany(self, size: int) -> Sequence[Sequence[Any]]:
        """The next rows, at most `size`."""
        ...


def to_table(cursor: Cursor, schema: pa.Schema) -> pa.Table:
    """All remaining rows of a cursor as a table of that schema.

    :raises StoreError: for a value that is none of its column's type.
    """
    batches = []
    while rows := cursor.fetchmany(PORTION):
        columns = zip(*rows, strict=True)
        arrays = [as_array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)


def as_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values out of a store as an array.

    :raises StoreError: for a value that is none of that type.
    """
    try:
        return pa.array(values, type=kind)
    except (pa.ArrowException, OverflowError) as e:
        raise store_damaged(f"a row of the store cannot be read ({shown(str(e))})") from e


def chunks(table: pa.Table, size: int = CHUNK) -> Iterator[pa.Table]:
    """The table in slices of at most `size` rows."""
    for start in range(0, table.num_rows, size):
        yield table.slice(start, size)


def tuples(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    """The rows of some columns as tuples."""
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)
