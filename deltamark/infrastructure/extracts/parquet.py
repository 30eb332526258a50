"""The cells of a Parquet file: typed values as the texts that a CSV file would hold."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

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
from deltamark.infrastructure.extracts.files import ExtractFile


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
    return ParquetCells(source.connection, file, schema)


class ParquetCells:
    """The rows of a Parquet file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, file: ExtractFile, schema: pa.Schema) -> None:
        self._connection = connection
        self._file = file
        self._schema = schema

    @property
    def names(self) -> Sequence[str]:
        """The columns of the file."""
        return tuple(self._schema.names)

    def fetch(self, query: str, columns: Sequence[int]) -> FetchedRows:
        """Runs a query over the cells.

        A line is the number of the row, from 1.
        """
        cells = numbered(f"nullif({_as_text(self._schema.field(i).type, f'c{i}')}, '')" for i in columns)
        aliases = ", ".join(f"c{i}" for i in range(len(self.names)))
        rows = f"read_parquet({literal(str(self._file.path))}, hive_partitioning = false) as t({aliases})"
        try:
            table = query_cells(self._connection, query, cells, rows)
        except duckdb.Error as error:
            raise unreadable_rows(self._file, error) from error
        return FetchedRows(rows=table.append_column("line", line_numbers(1, table.num_rows)))


def _as_text(kind: pa.DataType, cell: str) -> str:
    if pa.types.is_timestamp(kind):  # with or without a zone, the stored number counts from 1970 in UTC
        return f"make_timestamp(epoch_us({cell}))::varchar"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return f"case when octet_length({cell}) > 0 then to_base64({cell}) end"
    return f"{cell}::varchar"
