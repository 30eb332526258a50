"""Parquet files: their typed values become the texts that a CSV file would hold, and go the same way."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from deltamark.domain.errors import SourceError
from deltamark.infrastructure.duckdb.conversions import literal
from deltamark.infrastructure.extracts.csv.cells import Fetched, line_numbers, numbered, result_over, unread
from deltamark.infrastructure.extracts.csv.dialect import check_names
from deltamark.infrastructure.extracts.files import ExtractFile, check_signature


def parquet_cells(connection: duckdb.DuckDBPyConnection, file: ExtractFile, wanted: Sequence[str]) -> ParquetCells:
    """The cells of a Parquet file, which has the columns `wanted`.

    :raises SourceError: if it is no Parquet file or damaged, or lacks a column, or holds nested values in one.
    """
    check_signature(file, file.stream.read(16), b"PAR1", "a Parquet file")
    try:
        schema = pq.read_schema(file.path)
    except (pa.ArrowException, OSError) as error:
        raise unread(file, error) from error
    check_names(schema.names, wanted, file, None)
    for name in wanted:
        kind = schema.field(schema.names.index(name)).type
        if pa.types.is_nested(kind):
            raise SourceError(
                file.at(None, name), f"the column holds nested values ({kind})", advice="Map columns of single values."
            )
    return ParquetCells(connection, file, schema)


class ParquetCells:
    """The rows of a Parquet file, every value as the text that a CSV file would hold for it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, file: ExtractFile, schema: pa.Schema) -> None:
        self._connection = connection
        self._file = file
        self._schema = schema

    @property
    def names(self) -> Sequence[str]:
        """The columns of the file."""
        return tuple(self._schema.names)

    def fetch(self, query: str, columns: Sequence[int]) -> Fetched:
        """The result of `query` over the rows; a line is the number of the row, from 1."""
        cells = numbered(f"nullif({_as_text(self._schema.field(i).type, f'c{i}')}, '')" for i in columns)
        aliases = ", ".join(f"c{i}" for i in range(len(self.names)))
        scan = f"read_parquet({literal(str(self._file.path))}) as t({aliases})"
        try:
            table = result_over(self._connection, query, cells, scan)
        except duckdb.Error as error:
            raise unread(self._file, error) from error
        return Fetched(rows=table.append_column("line", line_numbers(1, table.num_rows)))


def _as_text(kind: pa.DataType, cell: str) -> str:
    if pa.types.is_timestamp(kind):  # with a zone or without, what is stored counts from 1970 in UTC
        return f"make_timestamp(epoch_us({cell}))::varchar"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return f"case when octet_length({cell}) > 0 then to_base64({cell}) end"
    return f"{cell}::varchar"
