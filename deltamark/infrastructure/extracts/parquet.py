"""The cells of a Parquet file: typed values as the texts that a CSV file would hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from deltamark.domain.configuration.entity_model import EntityTypeMapping
from deltamark.domain.configuration.value_formats import CellType
from deltamark.domain.errors import SourceError
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.extracts.cells import (
    ExtractSource,
    FetchedRows,
    check_columns,
    line_numbers,
    numbered,
    query_cells,
    unreadable_rows,
)


def parquet_cells(source: ExtractSource) -> ParquetCells:
    """Opens a Parquet file.

    :raises SourceError: if it is damaged, lacks a column, or holds nested values in one.
    """
    file = source.file
    try:
        schema = pq.read_schema(file.stream)
    except (pa.ArrowException, OSError) as error:
        raise unreadable_rows(file, error) from error
    check_columns(schema.names, source.columns, file, None)
    for name in source.columns:
        kind = schema.field(schema.names.index(name)).type
        if pa.types.is_nested(kind):
            raise SourceError(
                file.at(None, name), f"the column holds nested values ({kind})", advice="Map columns of single values."
            )
        if pa.types.is_duration(kind) or pa.types.is_interval(kind):
            raise SourceError(
                file.at(None, name),
                f"the column holds durations ({kind}), which have no text here",
                advice="Export it as a number or as a text.",
            )
    return ParquetCells(source, schema)


class ParquetCells:
    """The rows of a Parquet file."""

    def __init__(self, source: ExtractSource, schema: pa.Schema) -> None:
        self._connection = source.connection
        self._file = source.file
        self._schema = schema
        self._bytes_columns = source.bytes_columns
        self._identifier_columns = source.identifier_columns
        self._keys = _key_columns(source)

    @property
    def names(self) -> Sequence[str]:
        """The columns of the file."""
        return tuple(self._schema.names)

    @property
    def cell_types(self) -> Mapping[str, CellType]:
        """Numbers with a fraction, and dates. Whole numbers are like their digits, which a `Format` may read."""
        types = {field.name: _cell_type(field.type) for field in self._schema}
        return {name: cell_type for name, cell_type in types.items() if cell_type is not None}

    def fetch(self, query: str, columns: Sequence[int]) -> FetchedRows:
        """Runs a query over the cells.

        A line is the number of the row, from 1.
        """
        cells = numbered(f"nullif({self._text(number)}, '')" for number in columns)
        aliases = ", ".join(f"c{i}" for i in range(len(self.names)))
        rows = f"read_parquet({literal(str(self._file.path))}, hive_partitioning = false) as t({aliases})"
        try:
            self._check_texts(columns, rows)
            table = query_cells(self._connection, query, cells, rows)
        except duckdb.Error as error:
            raise unreadable_rows(self._file, error) from error
        return FetchedRows(rows=table.append_column("line", line_numbers(1, table.num_rows)))

    def _text(self, number: int) -> str:
        field = self._schema.field(number)
        if self._is_text_in_bytes(number):
            return f"try(decode(c{number}))"
        if _is_bytes(field.type) and field.name in self._identifier_columns:
            return _identifier(f"c{number}")
        return _as_text(field.type, f"c{number}", is_key=field.name in self._keys)

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


def _key_columns(source: ExtractSource) -> frozenset[str]:
    """The columns of keys, and of what names them."""
    if not isinstance(source.mapping, EntityTypeMapping):
        return frozenset(source.columns)
    keys = (mapped for mapped in source.mapping.properties if mapped.is_primary_key or mapped.is_unique_key)
    return frozenset(mapped.connection_column for mapped in keys)


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
    if pa.types.is_decimal(kind):
        return f"case when contains({text}, '.') then rtrim(rtrim({text}, '0'), '.') else {text} end"
    if pa.types.is_floating(kind):
        is_whole = f"isfinite({cell}) and {cell} = trunc({cell}) and abs({cell}) < 1e18"
        text = f"when {is_whole} then try_cast({cell} as bigint)::varchar else {text} end"
        return f"case when isnan({cell}) then null {text}" if is_key else f"case {text}"
    return text
