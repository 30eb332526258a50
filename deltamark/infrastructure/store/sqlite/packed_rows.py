"""Inserts many rows with one statement whose parameters hold their values one after another.

To bind a value, Python makes an object of it, which SQLite copies. The bytes of an Arrow column are one parameter
instead, of which the statement takes a part for each row. Where that part lies, and what numbers differ from row to
row, is one number for each row, of whose bits each column has some.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson
from attrs import field, mutable

from deltamark.infrastructure.store.arrow import np, npt, pa
from deltamark.infrastructure.store.database import Column, Same, length

_BITS = 62
"""Of the number of a row, which must not be negative."""

_MOST_BYTES = 1 << 24
"""Of a parameter, which Python keeps with its statement."""

_MOST = 4_096
"""Rows of a statement: a column of long texts needs bits to say where they lie."""

Numbers: TypeAlias = "npt.NDArray[np.int64]"


def insert_packed(connection: sqlite3.Connection, table: str, columns: Mapping[str, Column], fewest: int) -> int:
    """Inserts rows as far as they can be packed.

    Returns how many. Those that follow are too few, or have values that are null or too long.

    :param fewest: rows for which a statement is worth while.
    """
    start, end, size = 0, length(columns), _MOST
    while end - start >= fewest and size >= fewest:
        stop = min(start + size, end)
        statement = _Statement()
        parts = [statement.part(column, start, stop) for column in columns.values()]
        if None in parts or statement.bits > _BITS:
            size //= 2
            continue
        names = ", ".join(columns)
        sql = f"INSERT INTO {table} ({names}) SELECT {', '.join(map(str, parts))} FROM json_each(?1) e"
        connection.execute(sql, (statement.numbers(stop - start), *statement.parameters))
        start = stop
    return start


@mutable
class _Statement:
    """The parameters of a statement besides the first, and how many bits of the number of a row are in use.

    Everything that differs between portions of rows is a parameter: Python keeps each statement with its parameters.
    """

    parameters: list[Any] = field(factory=list)
    bits: int = 0
    _numbers: list[tuple[Numbers, int]] = field(factory=list)

    def numbers(self, rows: int) -> str:
        """Returns the first parameter: the number of each row."""
        total = np.zeros(rows, np.int64)
        for numbers, shift in self._numbers:
            total |= numbers << shift
        return orjson.dumps(total, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    def part(self, column: Column, start: int, stop: int) -> str | None:
        """Returns the expression for the values of a column; None if they cannot be packed."""
        if isinstance(column, Same):
            return self._parameter(column.value) if isinstance(column.value, str) else str(int(column.value))
        if isinstance(column, range):
            return f"e.key + {self._parameter(column[start])}" if column.step == 1 else None
        if isinstance(column, pa.Array):
            values = column[start:stop]
            return None if values.null_count else self._bytes(values)
        return self._whole_numbers(column[start:stop])

    def _parameter(self, value: Any) -> str:
        self.parameters.append(value)
        return f"?{len(self.parameters) + 1}"

    def _whole_numbers(self, values: Sequence[Any]) -> str | None:
        try:
            numbers = np.asarray(values, np.int64)
        except (TypeError, ValueError, OverflowError):
            return None
        if max(-int(numbers.min()), int(numbers.max())) >> _BITS - 1:  # their differences may be too large
            return None
        return f"(e.key + {self._in_bits(numbers - np.arange(len(numbers)))})"

    def _bytes(self, values: pa.Array) -> str | None:
        if pa.types.is_fixed_size_binary(values.type):
            width = values.type.byte_width
            content = memoryview(values.buffers()[1])[values.offset * width : (values.offset + len(values)) * width]
            return f"substr({self._parameter(content)}, e.key * {width} + 1, {width})"
        if values.type not in (pa.string(), pa.binary()):
            return None
        _, places, content = values.buffers()
        ends = np.frombuffer(places, np.int32, len(values) + 1, 4 * values.offset).astype(np.int64)
        first, last = int(ends[0]), int(ends[-1])
        if not 0 < last - first <= _MOST_BYTES:
            return None
        parameter = self._parameter(memoryview(content)[first:last])
        begins, length = self._in_bits(ends[:-1] - first + 1), self._in_bits(np.diff(ends))
        part = f"substr({parameter}, {begins}, {length})"
        return f"CAST({part} AS TEXT)" if pa.types.is_string(values.type) else part

    def _in_bits(self, numbers: Numbers) -> str:
        """Puts numbers into the next bits, and returns the expression for them."""
        least = int(numbers.min())
        numbers = numbers - least
        width = int(numbers.max()).bit_length()
        self._numbers.append((numbers, self.bits))
        shift, mask = self._parameter(min(self.bits, 63)), self._parameter((1 << width) - 1)
        self.bits += width
        return f"((e.value >> {shift} & {mask}) + {self._parameter(least)})"
