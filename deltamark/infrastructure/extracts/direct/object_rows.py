"""Rows that are Python objects (mappings, instances of attrs and data classes) as typed columns."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, TypeAlias
from uuid import UUID

import attrs
import duckdb
import numpy as np
import pyarrow as pa
from attrs import frozen

from deltamark.domain.configuration.value_formats import CellType
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.values import canonical_decimal, shown
from deltamark.infrastructure.extracts.typed_cells import CELL_TYPE, texts_of

ROWS_IN_A_PIECE = 20_000

_Cells: TypeAlias = Callable[[Any], Sequence[Any]]
"""Gives the cells of a row, in the order of the columns."""


class _Kind(Enum):
    """What values are, as far as the way matters in which they become cells."""

    TEXT = "text"
    TRUTH = "truth"
    WHOLE = "whole number"
    LONG = "whole number of more than 64 bits"
    FRACTION = "number"
    DECIMAL = "decimal"
    DAY = "day"
    MOMENT = "moment"
    TIME = "time"
    BYTES = "bytes"


_NUMBERS = frozenset({_Kind.WHOLE, _Kind.LONG, _Kind.FRACTION, _Kind.DECIMAL})
_DATES = frozenset({_Kind.DAY, _Kind.MOMENT})
_TYPES = {
    _Kind.TRUTH: pa.bool_(),
    _Kind.WHOLE: pa.int64(),
    _Kind.FRACTION: pa.float64(),
    _Kind.DAY: pa.date32(),
    _Kind.MOMENT: pa.timestamp("us"),
    _Kind.TIME: pa.time64("us"),
    _Kind.BYTES: pa.binary(),
}
"""The types of values that are kept as they are; others are kept as texts."""


@frozen
class _Piece:
    """The cells of a column in some consecutive rows, and the kinds of their values."""

    cells: pa.Array
    kinds: frozenset[_Kind]


def is_row(item: object) -> bool:
    """Whether something is a row: a mapping (also one like `sqlite3.Row`), or an instance of attrs or a data class."""
    if isinstance(item, type):
        return False
    is_record = attrs.has(type(item)) or dataclasses.is_dataclass(item)
    return isinstance(item, Mapping) or is_record or (hasattr(item, "keys") and hasattr(item, "__getitem__"))


def object_rows(
    rows: Iterable[Any], columns: Sequence[str], at: Location, connection: duckdb.DuckDBPyConnection
) -> Iterator[pa.RecordBatch]:
    """The batches of a table of objects, which have these columns and one schema.

    A mapping may lack a column: the cell is empty. It must not have others. An instance has an attribute for each
    column, and may have others.

    :param at: the table, for errors.
    :raises SourceError: naming the row, for what is no row or has a value that no cell can hold.
    """
    pieces: list[list[_Piece]] = []
    iterator, cells_of, first = iter(rows), _CellsOf(tuple(columns), at), 1
    while part := list(islice(iterator, ROWS_IN_A_PIECE)):
        cells = [cells_of.row(row, number) for number, row in enumerate(part, first)]
        by_column = zip(*cells, strict=True)
        pieces.append(
            [
                _piece(values, Location(at.file, None, name), first, connection)
                for name, values in zip(columns, by_column, strict=True)
            ]
        )
        first += len(part)
    fields, arrays = [], []
    for number, name in enumerate(columns):
        kind, column = _column([piece[number] for piece in pieces], Location(at.file, None, name), connection)
        fields.append(pa.field(name, column.type, metadata=None if kind is None else {CELL_TYPE: kind.value}))
        arrays.append(column)
    schema = pa.schema(fields)
    return iter(pa.table(arrays, schema=schema).to_batches() or [pa.RecordBatch.from_pylist([], schema)])


class _CellsOf:
    """Gives the cells of rows; what is the same for all rows of a class is found once."""

    def __init__(self, columns: tuple[str, ...], at: Location) -> None:
        self._columns = columns
        self._known = frozenset(columns)
        self._at = at
        self._by_class: dict[type, _Cells] = {}

    def row(self, row: Any, number: int) -> Sequence[Any]:
        """The cells of a row.

        :raises SourceError: if it is no row, or has not the columns.
        """
        if isinstance(row, dict):
            return self._of_mapping(row, number)
        cells = self._by_class.get(type(row))
        if cells is None:
            cells = self._by_class[type(row)] = self._of_class(row, number)
        try:
            return cells(row)
        except _UnknownKey:
            return self._of_mapping({key: row[key] for key in row.keys()}, number)  # noqa: SIM118 (sqlite3.Row)

    def _of_mapping(self, row: Mapping[Any, Any], number: int) -> Sequence[Any]:
        if not self._known.issuperset(row):
            unknown = next(key for key in row if key not in self._known)
            near = difflib.get_close_matches(str(unknown).casefold(), [c.casefold() for c in self._columns], n=1)
            nearest = next((c for c in self._columns if near and c.casefold() == near[0]), None)
            known = ", ".join(shown(name, 40) for name in self._columns)
            raise SourceError(
                Location(self._at.file, number),
                f"the row has the key {shown(unknown)}, which no mapping names"
                + (f" (the nearest is {shown(nearest)})" if nearest else f"; they name {known}"),
                advice="Leave it out, or map the column.",
            )
        get = row.get
        return [get(name) for name in self._columns]

    def _of_class(self, row: Any, number: int) -> _Cells:
        if not is_row(row):
            raise SourceError(
                Location(self._at.file, number),
                f"the row is {type(row).__name__}, which has no named columns",
                advice="Give mappings of column and value, or instances of attrs or data classes.",
            )
        if not (attrs.has(type(row)) or dataclasses.is_dataclass(row)):
            return _unknown_key
        names = [field.name for field in (attrs.fields(type(row)) if attrs.has(type(row)) else dataclasses.fields(row))]
        missing = next((name for name in self._columns if name not in names), None)
        if missing is not None:
            raise SourceError(
                Location(self._at.file, number, missing),
                f"{type(row).__name__} has no attribute {shown(missing)}; it has "
                + ", ".join(shown(name, 40) for name in names),
                advice="Correct the mapping or the class.",
            )
        columns = self._columns
        return lambda instance: [getattr(instance, name) for name in columns]


class _UnknownKey(Exception):
    """Sends a row that is like a mapping to the way of mappings."""


def _unknown_key(row: Any) -> Sequence[Any]:
    raise _UnknownKey


def _piece(values: Sequence[Any], at: Location, first: int, connection: duckdb.DuckDBPyConnection) -> _Piece:
    """The cells of some values.

    :param first: the number of the first row.
    """
    by_class: dict[type, _Kind | None] = {}
    kinds: list[_Kind | None] = []
    plain: list[Any] = list(values)
    for place, value in enumerate(values):
        kind = by_class.get(type(value), _UNKNOWN)
        if kind is _UNKNOWN:
            plain[place] = value = _plain(value)
            kind = _kind_of(value, Location(at.file, first + place, at.column))
            if type(value) is type(values[place]) and not isinstance(value, int):
                by_class[type(value)] = kind
        kinds.append(kind)
    present = frozenset(kind for kind in kinds if kind is not None)
    if len(present) < 2:
        kind = next(iter(present), None)
        return _Piece(_array(plain, kind, at, first), present)
    texts: list[str | None] = [None] * len(plain)
    for kind in present:
        places = [place for place, of_value in enumerate(kinds) if of_value is kind]
        cells = _array([plain[place] for place in places], kind, at, first)
        for place, text in zip(places, _texts(_Piece(cells, frozenset({kind})), connection).to_pylist(), strict=True):
            texts[place] = text
    _refuse_bytes_among(present, at)
    return _Piece(pa.array(texts, pa.string()), present)


_UNKNOWN: Any = object()


def _plain(value: Any) -> Any:
    """The value of an enumeration's member, the text of a UUID, Python's own value for one of NumPy or pandas."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[us]").item()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return value


def _kind_of(value: Any, at: Location) -> _Kind | None:
    if value is None:
        return None
    for kind, classes in _CLASSES:
        if isinstance(value, classes):
            is_long = isinstance(value, int) and not -(2**63) <= value < 2**63
            return _Kind.LONG if is_long else kind
    raise SourceError(
        at,
        f"the value is {type(value).__name__}, which is no single value that a cell can hold",
        advice="Give a text, a number, a truth value, a date, a time, bytes or None.",
    )


_CLASSES: tuple[tuple[_Kind, type], ...] = (
    (_Kind.TEXT, str),
    (_Kind.TRUTH, bool),
    (_Kind.WHOLE, int),
    (_Kind.FRACTION, float),
    (_Kind.DECIMAL, Decimal),
    (_Kind.MOMENT, datetime),
    (_Kind.DAY, date),
    (_Kind.TIME, time),
    (_Kind.BYTES, bytes),
)
"""In this order: a truth value is an integer to Python, and a moment a date."""


def _array(values: Sequence[Any], kind: _Kind | None, at: Location, first: int) -> pa.Array:
    match kind:
        case None:
            return pa.nulls(len(values))
        case _Kind.LONG:
            values = [None if value is None else str(value) for value in values]
        case _Kind.DECIMAL:
            values = [None if value is None else _decimal(value) for value in values]
        case _Kind.MOMENT:
            values = [_without_zone(value) for value in values]
    try:
        return pa.array(values, _TYPES.get(kind, pa.string()))
    except (pa.ArrowException, UnicodeError, OverflowError, ValueError) as error:
        raise SourceError(
            at, f"a value among the {len(values)} rows from row {first} cannot be read ({error})"
        ) from error


def _decimal(value: Decimal) -> str:
    return canonical_decimal(value) if value.is_finite() else str(value).lower()


def _without_zone(value: datetime | None) -> datetime | None:
    """A moment as UTC without a zone; one without a zone is UTC."""
    return value if value is None or value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _column(
    pieces: Sequence[_Piece], at: Location, connection: duckdb.DuckDBPyConnection
) -> tuple[CellType | None, pa.ChunkedArray]:
    """All cells of a column, and the type that its texts stand for."""
    kinds: frozenset[_Kind] = frozenset().union(*(piece.kinds for piece in pieces))
    kind = next(iter(kinds)) if len(kinds) == 1 else None
    if kind in _TYPES:
        kept = _TYPES[kind]
        return None, pa.chunked_array([piece.cells.cast(kept) for piece in pieces], kept)
    _refuse_bytes_among(kinds, at)
    texts = pa.chunked_array([_texts(piece, connection) for piece in pieces], pa.string())
    if kinds and kinds <= _NUMBERS and not kinds <= {_Kind.WHOLE, _Kind.LONG}:
        return CellType.NUMBER, texts
    return CellType.DATE if kinds and kinds <= _DATES else None, texts


def _refuse_bytes_among(kinds: frozenset[_Kind], at: Location) -> None:
    if _Kind.BYTES in kinds and len(kinds) > 1:
        raise SourceError(
            at,
            "the column holds bytes in some rows and other values in others",
            advice="Give bytes in all of them, or texts in Base64.",
        )


def _texts(piece: _Piece, connection: duckdb.DuckDBPyConnection) -> pa.Array:
    cells = piece.cells
    if pa.types.is_string(cells.type):
        return cells
    return cells.cast(pa.string()) if pa.types.is_null(cells.type) else texts_of(connection, cells)
