"""Checks the result of a user's function for a batch, and converts it to stored values."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.application.ports.arrow_schemas import PROPERTY_TYPES
from deltamark.domain.configuration.entity_model import Property
from deltamark.domain.configuration.user_function import KEY, UserTask
from deltamark.domain.errors import UserTaskFailed
from deltamark.domain.suggestions import hint
from deltamark.domain.values import (
    DATES,
    INTEGER_RANGES,
    MOST_DIGITS,
    PropertyType,
    canonical_decimal,
    digit_count,
    shown,
)

_GUID = re.compile(r"\{?([0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12})\}?\Z")
_FIRST_INSTANT, _LAST_INSTANT = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, in microseconds since 1970."""


def checked_values(
    function: UserTask, properties: Sequence[Property], entity_type: str, keys: pa.Array, result: object
) -> pa.Table:
    """A column for each property with its values in the order of the keys.

    Numbers and Booleans as such, a time as a timestamp in UTC without a zone, a date as a date, all else as the text
    that is stored.

    :param properties: those that the function may write of resources of that entity type.
    :param keys: of the resources in the batch.
    :raises UserTaskFailed: if the result holds anything that cannot be written.
    """
    return _ResultCheck(function, properties, entity_type, keys).values(result)


@frozen
class _ResultCheck:
    function: UserTask
    properties: Sequence[Property]
    entity_type: str
    keys: pa.Array

    def values(self, result: object) -> pa.Table:
        table = self._table(result)
        returned = self._keys(table)
        positions = pc.index_in(self.keys, value_set=returned)
        columns = {}
        for declared in self.properties:
            if declared.identifier in table.column_names:
                column = _combined(table.column(declared.identifier))
                columns[declared.identifier] = self._values(declared, column, returned).take(positions)
            else:
                columns[declared.identifier] = pa.nulls(len(self.keys), _STORED.get(declared.type, pa.string()))
        return pa.table(columns)

    def _table(self, result: object) -> pa.Table:
        if isinstance(result, pa.RecordBatch):
            result = pa.Table.from_batches([result])
        if not isinstance(result, pa.Table):
            what = "nothing (None)" if result is None else f"a {type(result).__name__}"
            raise self._refused(
                f"returned {what} instead of a pyarrow.Table",
                "Return a table with the column key and the properties that it writes.",
            )
        try:
            result.validate(full=True)
        except pa.ArrowException as e:
            raise self._refused(f"returned a table that is damaged ({shown(e)})", "Build the table anew.") from e
        self._check_columns(result.column_names)
        return result

    def _check_columns(self, names: Sequence[str]) -> None:
        known = [declared.identifier for declared in self.properties]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise self._refused(f"returned the column {shown(name)} twice", "Return each column once.")
            if name not in (KEY, *known):
                advice = "Name it in writes of @task" if self.function.writes is not None else "Declare the property"
                raise self._refused(
                    f"returned the column {shown(name)}, which it does not write of {self.entity_type}"
                    f"{hint(name, known)}",
                    f"{advice}, or leave the column out.",
                )
        if KEY not in names:
            raise self._refused(
                "returned a table without the column key", "Return the keys of the batch with their values."
            )
        missing = [name for name in known if name not in names]
        if missing and self.function.writes is not None:
            raise self._refused(
                f"returned a table without the column {shown(missing[0])}, which it is declared to write",
                "Return it, with nulls where there is no value, or take it out of writes.",
            )

    def _keys(self, table: pa.Table) -> pa.Array:
        column = _combined(table.column(KEY))
        if not (_is_text(column.type) or pa.types.is_null(column.type)):
            raise self._refused(
                f"returned keys of type {column.type}, not texts", "Return the column key as it is in the batch."
            )
        keys = column.cast(pa.string())
        if keys.null_count:
            row = pc.index(pc.is_null(keys), True).as_py() + 1
            raise self._refused(f"returned a table without a key in row {row}", "Return a key in every row.")
        is_known = pc.is_in(keys, value_set=self.keys)
        self._refuse(
            pc.invert(is_known),
            keys,
            lambda _: "returned a key outside the batch",
            "Return only keys of the batch.",
        )
        if len(pc.unique(keys)) != len(keys):
            repeated = Counter(keys.to_pylist()).most_common(1)[0][0]
            raise self._refused(f"returned the key {shown(repeated)} twice", "Return one row for each key.")
        return keys

    def _values(self, declared: Property, column: pa.Array, keys: pa.Array) -> pa.Array:
        """The values of a property as they are stored."""
        if pa.types.is_null(column.type):
            return pa.nulls(len(column), _STORED.get(declared.type, pa.string()))
        if not _FITS[declared.type](column.type):
            raise self._refused(
                f"returned {_column(declared)} as {column.type}, not {PROPERTY_TYPES[declared.type]}",
                "Convert the column before it is returned.",
            )
        for wrong, problem in _problems(declared.type, column):
            self._refuse(
                wrong, keys, lambda row, problem=problem: f"returned {_column(declared)} with {problem(row)}",  # type: ignore[misc]
                f"Give {declared.type.described}, or null.",
            )  # fmt: skip
        return _stored(declared.type, column)

    def _refuse(self, wrong: pa.Array, keys: pa.Array, problem: Callable[[int], str], advice: str) -> None:
        """Refuses the result for its first wrong row."""
        row = pc.index(pc.fill_null(wrong, False), True).as_py()
        if row >= 0:
            key = shown(keys[row].as_py())
            raise self._refused(f"{problem(row)} for {self.entity_type} {key}", advice)

    def _refused(self, problem: str, advice: str) -> UserTaskFailed:
        return UserTaskFailed(self.function.name, problem, advice=advice)


def _column(declared: Property) -> str:
    return f"the column {shown(declared.identifier)}"


def _combined(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_exact(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


_FITS: dict[PropertyType, Callable[[pa.DataType], bool]] = {
    PropertyType.STRING: _is_text,
    PropertyType.GUID: _is_text,
    PropertyType.BYTES: _is_binary,
    PropertyType.BINARY: _is_binary,
    PropertyType.DOUBLE: _is_number,
    PropertyType.BOOL: pa.types.is_boolean,
    PropertyType.DECIMAL: _is_exact,
    **dict.fromkeys(DATES, _is_time),
    **dict.fromkeys(INTEGER_RANGES, pa.types.is_integer),
}
_STORED: dict[PropertyType, pa.DataType] = {
    PropertyType.DOUBLE: pa.float64(),
    PropertyType.BOOL: pa.bool_(),
    PropertyType.DATE_TIME: pa.timestamp("us"),
    PropertyType.DATE: pa.date32(),
    **dict.fromkeys(INTEGER_RANGES, pa.int64()),
}
"""The Arrow type of values on their way into the store; a text where the property has none of these types."""


def _problems(kind: PropertyType, column: pa.Array) -> Iterator[tuple[pa.Array, Callable[[int], str]]]:
    """Masks of the values of a column that do not fit the type, each with a description."""

    def read(row: int) -> str:
        return shown(column[row])

    if kind in INTEGER_RANGES:
        low, high = INTEGER_RANGES[kind]
        if column.type == pa.uint64():
            yield pc.greater(column, pa.scalar(high, pa.uint64())), read
        else:
            wide = column.cast(pa.int64())
            yield pc.or_(pc.less(wide, low), pc.greater(wide, high)), read
    elif kind is PropertyType.DOUBLE:
        yield pc.invert(pc.is_finite(_doubles(column))), read
    elif kind is PropertyType.STRING:
        yield pc.match_substring(column.cast(pa.string()), "\0"), lambda _: "the character NUL, which no text may hold"
    elif kind is PropertyType.GUID:
        texts = column.cast(pa.string()).to_pylist()
        yield pa.array([bool(text) and not _GUID.match(text) for text in texts], pa.bool_()), read
    elif kind is PropertyType.DECIMAL:
        numbers = [_decimal(number) for number in column.to_pylist()]
        too_long = pa.array([text is not None and digit_count(text) > MOST_DIGITS for text in numbers], pa.bool_())
        yield too_long, lambda row: f"{read(row)}, which has more than {MOST_DIGITS} digits"
    elif kind in DATES:
        rounded, low_, high_ = _micros(column)
        yield pc.or_(pc.less(rounded, low_), pc.greater(rounded, high_)), lambda _: "a time out of the years 1 to 9999"
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            left = pc.subtract(column.cast(pa.int64()), pc.multiply(rounded, 1_000))
            yield pc.not_equal(left, 0), lambda _: "nanoseconds, of which microseconds are kept; round them off"
        if kind is PropertyType.DATE and pa.types.is_timestamp(column.type):
            times = column.cast(pa.timestamp(column.type.unit))
            is_day = pc.equal(times.cast(pa.date32(), safe=False).cast(times.type), times)
            yield pc.invert(is_day), lambda row: f"{read(row)}, which has a time of day in UTC"


_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def _micros(column: pa.Array) -> tuple[pa.Array, int, int]:
    """The times in a unit in which none overflows, and the first and the last instant in it."""
    if pa.types.is_date(column.type):
        days = column.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
        day = 24 * 3_600 * 1_000_000
        return days, _FIRST_INSTANT // day, _LAST_INSTANT // day
    whole = column.cast(pa.int64())
    if column.type.unit == "ns":
        return pc.divide(whole, 1_000), _FIRST_INSTANT, _LAST_INSTANT
    factor = _UNITS[column.type.unit]
    return whole, _FIRST_INSTANT // factor, _LAST_INSTANT // factor


def _decimal(number: Decimal | int | None) -> str | None:
    return None if number is None else canonical_decimal(number)


def _doubles(column: pa.Array) -> pa.Array:
    return pc.cast(column, pa.float64(), safe=False)


def _stored(kind: PropertyType, column: pa.Array) -> pa.Array:
    """The checked values on their way into the store."""
    if kind is PropertyType.DOUBLE:
        return _doubles(column)
    if kind is PropertyType.DECIMAL:
        return pa.array([_decimal(number) for number in column.to_pylist()], pa.string())
    if kind in DATES:
        micros = pc.cast(column, pa.timestamp("us"), safe=False)
        return micros if kind is PropertyType.DATE_TIME else pc.cast(micros, pa.date32(), safe=False)
    if kind in (PropertyType.BYTES, PropertyType.BINARY):
        coded = (None if data is None else base64.b64encode(data).decode() for data in column.to_pylist())
        return pa.array(list(coded), pa.string())
    if kind is PropertyType.GUID:
        texts = column.cast(pa.string()).to_pylist()
        return pa.array([str(UUID(text)) if text else None for text in texts], pa.string())
    return column.cast(_STORED.get(kind, pa.string()))
