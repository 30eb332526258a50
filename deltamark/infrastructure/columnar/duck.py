"""DuckDB connections that reach no file, no network and no setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from deltamark.domain.errors import DeltamarkError

MEMORY_LIMIT = "1GB"
THREADS = 2
_INTERRUPTED = "Query interrupted"
"""What DuckDB makes of whatever a signal handler raised while a query ran."""


@contextmanager
def locked_down(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that holds these tables and can read nothing else.

    Arrow tables are scanned where they lie; Python variables cannot be reached.

    :raises DeltamarkError: if a query needs too much memory.
    :raises KeyboardInterrupt: if a signal interrupted a query.
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
            "ieee_floating_point_ops": "false",  # dividing by zero is an error, not "inf"
        },
    )
    try:
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        yield connection
    except duckdb.OutOfMemoryException as e:
        raise DeltamarkError(
            f"comparing or computing needs more memory than {MEMORY_LIMIT}. Nothing was changed. Look for values of "
            "many megabytes in the extracts."
        ) from e
    except RuntimeError as e:
        if str(e) == _INTERRUPTED:
            raise KeyboardInterrupt from e
        raise
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
