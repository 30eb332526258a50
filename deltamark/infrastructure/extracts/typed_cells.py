"""Cells of typed columns, as Parquet files and Arrow tables have them: the texts that a CSV file would hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import duckdb
import pyarrow as pa

from deltamark.domain.configuration.entity_model import EntityTypeMapping
from deltamark.domain.configuration.value_formats import CellType
from deltamark.domain.errors import SourceError
from deltamark.domain.values import MOST_DIGITS, canonical_decimal
from deltamark.infrastructure.extracts.cells import (
    ExtractSource,
    FetchedRows,
    check_columns,
    line_numbers,
    numbered,
    query_cells,
    unreadable_rows,
)
from deltamark.infrastructure.extracts.known_rows import KnownRows

CELL_TYPE = b"deltamark.cell_type"
"""The key of the metadata of a field of texts that stand for values of another type: its value is a `CellType`."""

GiveRows: TypeAlias = Callable[[Sequence[int]], str]
"""Gives the SQL of a table, or table function, that has the columns of these numbers as c0, c1, …."""


class TypedCells:
    """The rows of an extract whose columns have types."""

    def __init__(self, source: ExtractSource, schema: pa.Schema, rows: GiveRows) -> None:
        """Checks the columns that the mapping needs.

        :raises SourceError: if one is missing, or holds what has no text.
        """
        self._connection = source.connection
        self._file = source.file
        self._schema = schema
        self._rows = rows
        self._bytes_columns = source.bytes_columns
        self._identifier_columns = source.identifier_columns
        self._keys = _key_columns(source)
        check_columns(schema.names, source.columns, source.file, None)
        for name in source.columns:
            self._check_type(name)

    def _check_type(self, name: str) -> None:
        kind = self._schema.field(self._schema.names.index(name)).type
        if pa.types.is_nested(kind):
            raise SourceError(
                self._file.at(None, name),
                f"the column holds nested values ({kind})",
                advice="Map columns of single values.",
            )
        if pa.types.is_duration(kind) or pa.types.is_interval(kind):
            raise SourceError(
                self._file.at(None, name),
                f"the column holds durations ({kind}), which have no text here",
                advice="Export it as a number or as a text.",
            )

    @property
    def names(self) -> Sequence[str]:
        """The columns of the extract."""
        return tuple(self._schema.names)

    @property
    def cell_types(self) -> Mapping[str, CellType]:
        """Numbers with a fraction, and dates. Whole numbers are like their digits, which a `Format` may read."""
        types = {field.name: _cell_type_of(field) for field in self._schema}
        return {name: cell_type for name, cell_type in types.items() if cell_type is not None}

    def fetch(self, query: str, columns: Sequence[int]) -> FetchedRows:
        """Runs a query over the cells.

        A line is the number of the row, from 1.
        """
        cells = numbered(f"nullif({self._text(number)}, '')" for number in columns)
        try:
            rows = self._rows(columns)
            self._check_texts(columns, rows)
            table = query_cells(self._connection, query, cells, rows)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise unreadable_rows(self._file, error) from error
        return FetchedRows(rows=table.append_column("line", line_numbers(1, table.num_rows)))

    def can_be_digested(self, columns: Sequence[int]) -> bool:
        """Whether no text holds NUL."""
        texts = [self._text(n) for n in dict.fromkeys(columns) if _may_hold_nul(self._schema.field(n).type)]
        if not texts:
            return True
        condition = " or ".join(f"contains({text}, chr(0))" for text in texts)
        try:
            rows = f"select 1 from {self._rows(columns)} where {condition} limit 1"
            return not self._connection.sql(rows).fetchall()
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise unreadable_rows(self._file, error) from error

    def fetch_others(self, query: str, columns: Sequence[int], known: KnownRows) -> FetchedRows:
        """Runs a query over the rows that were not applied before."""
        cells = [f"nullif({self._text(number)}, '')" for number in columns]
        try:
            rows = self._rows(columns)
            self._check_texts(columns, rows)
            others = known.query(self._connection, query, cells, rows)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise unreadable_rows(self._file, error) from error
        lines = line_numbers(1, others.count).take(others.places)
        return FetchedRows(rows=others.rows.append_column("line", lines), read=others.count)

    def _text(self, number: int) -> str:
        field = self._schema.field(number)
        if self._is_text_in_bytes(number):
            return f"try(decode(c{number}))"
        if _is_bytes(field.type) and field.name in self._identifier_columns:
            return _identifier(f"c{number}")
        is_key = field.name in self._keys
        if is_key and CELL_TYPE in (field.metadata or {}):
            return f"nullif(c{number}, 'nan')"
        return _as_text(field.type, f"c{number}", is_key=is_key)

    def _is_text_in_bytes(self, number: int) -> bool:
        """Whether the values are texts that the file does not declare as such, as Impala and Hive write them."""
        field = self._schema.field(number)
        return _is_bytes(field.type) and field.name not in self._bytes_columns | self._identifier_columns

    def _check_texts(self, columns: Sequence[int], rows: str) -> None:
        """Refuses a column of bytes that are no texts.

        :raises SourceError: naming the column.
        """
        for number in filter(self._is_text_in_bytes, dict.fromkeys(columns)):
            cell = f"c{number}"
            query = f"select count(*) from {rows} where {cell} is not null and try(decode({cell})) is null"
            if self._connection.sql(query).fetchall()[0][0]:
                raise SourceError(
                    self._file.at(None, self._schema.field(number).name),
                    f"the column holds bytes ({self._schema.field(number).type}) that are not text in UTF-8",
                    advice="Export it as a text (STRING), or map it to a property of type Bytes or Binary.",
                )


def columns_in_memory(connection: duckdb.DuckDBPyConnection, columns: Mapping[int, pa.ChunkedArray]) -> str:
    """The SQL of a table of columns by number, as c0, c1, …, with wide decimals as texts: DuckDB would round them."""
    connection.register("loaded", pa.table({f"c{number}": _unrounded(column) for number, column in columns.items()}))
    return "loaded"


def texts_of(connection: duckdb.DuckDBPyConnection, values: pa.Array) -> pa.Array:
    """The texts of values of one type, as `TypedCells` reads them."""
    connection.register("given", pa.table({"c0": values}))
    texts = connection.sql(f"select {_as_text(values.type, 'c0', is_key=False)} as text from given").to_arrow_table()
    connection.unregister("given")
    return texts["text"].combine_chunks()


def is_wide(kind: pa.DataType) -> bool:
    """Whether decimals have more digits than those of DuckDB."""
    if pa.types.is_dictionary(kind):
        return is_wide(kind.value_type)
    return bool(pa.types.is_decimal(kind) and kind.precision > MOST_DIGITS)


def _unrounded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not is_wide(column.type):
        return column
    texts = [None if number is None else canonical_decimal(number) for number in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _key_columns(source: ExtractSource) -> frozenset[str]:
    """The columns of keys, and of what names them."""
    if not isinstance(source.mapping, EntityTypeMapping):
        return frozenset(source.columns)
    keys = (mapped for mapped in source.mapping.properties if mapped.is_primary_key or mapped.is_unique_key)
    return frozenset(mapped.connection_column for mapped in keys)


def _cell_type_of(field: pa.Field) -> CellType | None:
    """The type that a field gives to its texts, or that of its values."""
    said = (field.metadata or {}).get(CELL_TYPE)
    return _cell_type(field.type) if said is None else CellType(said.decode())


def _cell_type(kind: pa.DataType) -> CellType | None:
    if pa.types.is_dictionary(kind):
        return _cell_type(kind.value_type)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return CellType.NUMBER
    return CellType.DATE if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else None


def _is_bytes(kind: pa.DataType) -> bool:
    """Whether values are bytes, of which the file does not say that they are texts."""
    if pa.types.is_dictionary(kind):
        return _is_bytes(kind.value_type)
    checks = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
    )
    return any(is_kind(kind) for is_kind in checks)


def _identifier(cell: str) -> str:
    """A Guid or a SID in bytes: as its text, or in Base64 where it is binary."""
    text = f"try(decode({cell}))"
    is_text = f"octet_length({cell}) <> 16 and regexp_full_match({text}, '[ -~]*')"
    return f"case when {is_text} then {text} else to_base64({cell}) end"


def _as_text(kind: pa.DataType, cell: str, *, is_key: bool) -> str:
    """The text of a cell that a CSV file would hold.

    Of numbers the shortest: without a point where they are whole.

    :param is_key: whether it is a key or names one: what is not a number (NaN) is none there.
    """
    if pa.types.is_timestamp(kind):  # with or without a zone, the stored number counts from 1970 in UTC
        moment = f"{cell}::timestamptz" if kind.unit == "ns" and kind.tz else cell
        return f"make_timestamp(epoch_us({moment}))::varchar"
    if _is_bytes(kind):
        return f"case when octet_length({cell}) > 0 then to_base64({cell}) end"
    text = f"{cell}::varchar"
    if pa.types.is_decimal(kind) and not is_wide(kind):
        if kind.precision == kind.scale:  # DuckDB writes .50
            text = rf"regexp_replace({text}, '^(-?)\.', '\10.')"
        return f"case when contains({text}, '.') then rtrim(rtrim({text}, '0'), '.') else {text} end"
    if pa.types.is_floating(kind):
        is_whole = f"isfinite({cell}) and {cell} = trunc({cell}) and abs({cell}) < 1e18"
        text = f"when {is_whole} then try_cast({cell} as bigint)::varchar else {text} end"
        return f"case when isnan({cell}) then null {text}" if is_key else f"case {text}"
    return text


def _may_hold_nul(kind: pa.DataType) -> bool:
    """Whether the texts of a type may hold any character."""
    is_plain = pa.types.is_boolean(kind) or pa.types.is_temporal(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return not (is_plain or is_number)
