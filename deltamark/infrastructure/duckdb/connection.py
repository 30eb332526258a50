"""DuckDB connections that reach no file, no network and no setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import duckdb
import pyarrow as pa

from deltamark.domain.errors import DeltamarkError, UsageError
from deltamark.infrastructure.system.per_process import OnePerProcess

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
    connection = _opened()
    try:
        with _faults_as_ours():
            for name, table in tables.items():
                connection.register(name, table)
            yield connection
    finally:
        connection.close()


_DATABASES = OnePerProcess[duckdb.DuckDBPyConnection]()


class Workbench:
    """A locked-down database for many tasks: opening one takes longer than comparing a thousand rows.

    All workbenches of a process with as many threads are one. May be used from several threads; each task sees only
    its own tables.

    :param threads: how many of its own it works with; of few rows one makes the most.
    """

    def __init__(self, *, threads: int = THREADS) -> None:
        self._threads = threads

    def prepare(self, preparing: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """Adds to what every task finds, such as functions: what is created lives as long as the process."""
        with self._root() as root:
            preparing(root)

    @contextmanager
    def holding(self, **tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that holds these tables, as `locked_down`; what a task creates goes when it ends.

        :raises DeltamarkError: if a query needs too much memory.
        :raises KeyboardInterrupt: if a signal interrupted a query.
        """
        with self._root() as root:
            connection = root.cursor()
        try:
            with _faults_as_ours():
                for name, table in tables.items():
                    connection.register(name, table)
                yield connection
        finally:
            connection.close()

    def _root(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return _DATABASES.borrowed((MEMORY_LIMIT, self._threads), lambda: _opened(self._threads))


def _opened(threads: int = THREADS) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY_LIMIT,
            "threads": threads,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "preserve_insertion_order": "false",
            "ieee_floating_point_ops": "false",  # dividing by zero is an error, not "inf"
        },
    )
    try:
        connection.execute("SET enable_external_access=false")
    except duckdb.IOException as e:  # it asks where it is
        connection.close()
        raise UsageError("the working directory is not there any more. Go to one that is, and try again.") from e
    connection.execute("SET lock_configuration=true")
    return connection


@contextmanager
def _faults_as_ours() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as e:
        raise DeltamarkError(
            f"comparing or computing needs more memory than {MEMORY_LIMIT}. Nothing was changed. Look for values of "
            "many megabytes in the extracts."
        ) from e
    except RuntimeError as e:
        if str(e) == _INTERRUPTED:
            raise KeyboardInterrupt from e
        raise


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


def planned_once(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The rows of a query as an Arrow table.

    For long queries over few rows: asked for its rows, a query is planned twice, first only to learn its columns.
    """
    table: pa.Table = connection.sql(f"CREATE OR REPLACE TEMP TABLE found AS {sql}; FROM found").to_arrow_table()
    return table
