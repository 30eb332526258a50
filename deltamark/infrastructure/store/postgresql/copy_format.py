"""Writes rows in the binary format of PostgreSQL's COPY, column by column.

A row is the number of its fields, then each field as its length and its bytes, all numbers big-endian
(https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS). Arrow joins the parts of all rows at
once, in one buffer, which COPY gets as it is.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from struct import pack

from deltamark.infrastructure.store.arrow import pa, pc
from deltamark.infrastructure.store.database import Column, Same, length

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_NULL_LENGTH = -1


@cache
def _long() -> pa.DataType:
    """The type of joined rows: many together may exceed the 2 GiB of Arrow's smaller type."""
    return pa.large_binary()


def copy_rows(columns: Mapping[str, Column]) -> memoryview:
    """Returns the rows of some columns, without header and trailer."""
    count = length(columns)
    if not count:
        return memoryview(b"")
    parts: list[pa.Array | pa.Scalar] = []
    constant = pack(">h", len(columns))
    for column in columns.values():
        if isinstance(column, Same):
            constant += _field(column.value)
            continue
        before, values = _parts(column)
        parts += [pa.scalar(constant + before, _long()), *values]
        constant = b""
    if constant:
        parts.append(pa.scalar(constant, _long()))
    rows = pc.binary_join_element_wise(*parts, pa.scalar(b"", _long()))
    _, offsets, data = rows.buffers()
    last = memoryview(offsets).cast("q")[count]
    return memoryview(data)[:last]


def _field(value: bool | int | str) -> bytes:
    if isinstance(value, bool):
        return pack(">i?", 1, value)
    if isinstance(value, int):
        return pack(">iq", 8, value)
    encoded = value.encode()
    return pack(">i", len(encoded)) + encoded


def _parts(column: range | Sequence[int] | pa.Array) -> tuple[bytes, Iterator[pa.Array]]:
    """Returns the bytes that precede every value, and the parts of the values."""
    if not isinstance(column, pa.Array):
        return pack(">i", 8), iter([_fixed(array("q", column))])
    lengths = pc.fill_null(pc.binary_length(column).cast(pa.int32()), _NULL_LENGTH)
    filled = pc.fill_null(column.cast(_long()), b"") if column.null_count else column.cast(_long())
    return b"", iter([_fixed(_integers(lengths)), filled])


def _integers(values: pa.Array) -> array[int]:
    numbers = array("i")
    numbers.frombytes(memoryview(values.buffers()[1])[4 * values.offset : 4 * (values.offset + len(values))])
    return numbers


def _fixed(numbers: array[int]) -> pa.Array:
    """Returns the bytes of numbers, big-endian."""
    if sys.byteorder == "little":
        numbers.byteswap()
    width = numbers.itemsize
    plain = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(numbers), [None, pa.py_buffer(numbers)])
    return plain.cast(_long())
