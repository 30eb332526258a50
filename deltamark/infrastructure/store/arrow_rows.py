"""Converts rows of a database cursor to Arrow tables and back, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from deltamark.domain.errors import store_damaged
from deltamark.domain.values import shown
from deltamark.infrastructure.store.arrow import np, pa, pc

CHUNK = 50_000
"""Rows handled at a time: enough to make calls cheap, few enough to save memory."""

PORTION = 2_000
"""Rows fetched at a time. With more tuples in memory, the garbage collector runs often."""


class Cursor(Protocol):
    """The part of a database cursor that is used here."""

    def fetchmany(self, size: int) -> Sequence[Sequence[Any]]:
        """Returns the next rows, at most `size`."""
        ...


def to_table(cursor: Cursor, schema: pa.Schema) -> pa.Table:
    """Returns all remaining rows of a cursor as a table.

    :raises StoreError: if a value does not have the type of its column.
    """
    batches = []
    while rows := cursor.fetchmany(PORTION):
        columns = zip(*rows, strict=True)
        arrays = [as_array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)


def as_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Returns stored values as an array.

    :raises StoreError: if a value does not have that type.
    """
    try:
        return pa.array(values, type=kind)
    except (pa.ArrowException, OverflowError) as e:
        raise store_damaged(f"a row of the store cannot be read ({shown(str(e))})") from e


def as_one_text(text: bytes) -> pa.Array:
    """Returns an array of one stored text, without a copy of it.

    :raises StoreError: if it is not UTF-8.
    """
    ends = pa.py_buffer(np.array([0, len(text)], np.int32))
    array = pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(text)])
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as e:
        raise store_damaged(f"a row of the store cannot be read ({shown(str(e))})") from e
    return array


def are_ascending(numbers: pa.Array | pa.ChunkedArray) -> bool:
    """Whether each number is greater than the one before."""
    return len(numbers) < 2 or bool(pc.all(pc.less(numbers[:-1], numbers[1:])).as_py())


def chunks(table: pa.Table, size: int = CHUNK) -> Iterator[pa.Table]:
    """Yields the table in slices of at most `size` rows."""
    for start in range(0, table.num_rows, size):
        yield table.slice(start, size)


def tuples(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of some columns as tuples."""
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)
