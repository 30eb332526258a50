"""The cells of a Parquet file: typed values as the texts that a CSV file would hold."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.extracts.cells import ExtractSource, unreadable_rows
from deltamark.infrastructure.extracts.typed_cells import TypedCells, columns_in_memory, is_wide


def parquet_cells(source: ExtractSource) -> TypedCells:
    """Opens a Parquet file.

    :raises SourceError: if it is damaged, lacks a column, or holds nested values in one.
    """
    file = source.file
    try:
        schema = pq.read_schema(file.stream)
    except (pa.ArrowException, OSError) as error:
        raise unreadable_rows(file, error) from error

    def rows(columns: Sequence[int]) -> str:
        if any(is_wide(schema.field(number).type) for number in columns):
            names = {number: schema.field(number).name for number in columns}
            table = pq.read_table(file.path, columns=list(dict.fromkeys(names.values())), partitioning=None)
            return columns_in_memory(source.connection, {number: table[name] for number, name in names.items()})
        aliases = ", ".join(f"c{i}" for i in range(len(schema.names)))
        return f"read_parquet({literal(str(file.path))}, hive_partitioning = false) as t({aliases})"

    return TypedCells(source, schema, rows)
