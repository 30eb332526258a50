"""DuckDB connections that reach no file, no network and no setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

MEMORY_LIMIT = "1GB"
THREADS = 2


@contextmanager
def locked_down(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that holds these tables and can read nothing else.

    Arrow tables are scanned where they lie; Python variables cannot be reached.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY_LIMIT,
            "threads": THREADS,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "preserve_insertion_order": "false",
        },
    )
    try:
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        yield connection
    finally:
        connection.close()


def quoted(identifier: str) -> str:
    """An identifier as SQL text."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def arrow(connection: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema) -> pa.Table:
    """The rows of a query as an Arrow table of that schema."""
    table: pa.Table = connection.sql(sql).to_arrow_table()
    return table.cast(schema)
