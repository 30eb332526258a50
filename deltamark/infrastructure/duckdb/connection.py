"""DuckDB connections that reach no file, no network and no setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import duckdb
import pyarrow as pa
from attrs import evolve

from deltamark.domain.errors import DeltamarkError, UsageError
from deltamark.domain.work_limits import WorkLimits
from deltamark.infrastructure.system.per_process import OnePerProcess
from deltamark.infrastructure.system.temporary_files import TemporaryFolder
from deltamark.infrastructure.system.work_limits import work_limits

_INTERRUPTED = "Query interrupted"
"""The message of DuckDB in place of what a signal handler raised during a query."""


@contextmanager
def locked_down(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens an in-memory database that has these tables and can read nothing else.

    Arrow tables are scanned in place. Python variables cannot be read.

    :raises DeltamarkError: if a query needs too much memory.
    :raises KeyboardInterrupt: if a signal interrupted a query.
    """
    connection = _open(work_limits())
    try:
        with _as_own_errors():
            for name, table in tables.items():
                connection.register(name, table)
            yield connection
    finally:
        connection.close()


_DATABASES = OnePerProcess[duckdb.DuckDBPyConnection]()


class Workbench:
    """A locked-down database for many tasks.

    Opening one takes longer than comparing a thousand rows.

    All workbenches of a process with the same number of threads share one database. A workbench may be used from
    several threads; each connection has only its own tables.

    :param threads: of DuckDB, at most as many as the limits of the process allow; for few rows one is fastest.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads

    @property
    def limits(self) -> WorkLimits:
        """The limits of its database at present."""
        limits = work_limits()
        return limits if self._threads is None else evolve(limits, threads=min(self._threads, limits.threads))

    def prepare(self, action: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """Adds something to the database that all connections see, such as functions.

        It stays until the process ends.
        """
        with self._root() as root:
            action(root)

    @contextmanager
    def connection(self, **tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
        """Opens a connection with these tables, like `locked_down`.

        What it creates is dropped when it closes.

        :raises DeltamarkError: if a query needs too much memory.
        :raises KeyboardInterrupt: if a signal interrupted a query.
        """
        with self._root() as root:
            connection = root.cursor()
        try:
            with _as_own_errors():
                for name, table in tables.items():
                    connection.register(name, table)
                yield connection
        finally:
            connection.close()

    def _root(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        limits = self.limits
        return _DATABASES.borrowed(limits, lambda: _open(limits))


_SPILL = OnePerProcess[TemporaryFolder]()


def _open(limits: WorkLimits) -> duckdb.DuckDBPyConnection:
    with _SPILL.borrowed(limits.temporary, TemporaryFolder) as folder:
        spill = str(folder.path / "spill")
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": limits.memory,
            "threads": limits.threads,
            "temp_directory": spill,  # by default it is .tmp in the working directory
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "preserve_insertion_order": "false",
            "ieee_floating_point_ops": "false",  # division by zero is an error, not "inf"
        },
    )
    try:
        connection.execute("SET enable_external_access=false")
    except duckdb.IOException as e:  # DuckDB looks up the working directory
        connection.close()
        raise UsageError("the working directory is not there any more. Go to one that is, and try again.") from e
    connection.execute("SET lock_configuration=true")
    return connection


@contextmanager
def _as_own_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as e:
        raise DeltamarkError(
            f"comparing or computing needs more memory than {work_limits().memory}. Nothing was changed. Look for "
            "values of many megabytes in the extracts, or allow more memory with the setting `memory`."
        ) from e
    except RuntimeError as e:
        if str(e) == _INTERRUPTED:
            raise KeyboardInterrupt from e
        raise


def quoted(identifier: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    assert "\0" not in text, "no text of a configuration or header holds NUL"
    return "'" + text.replace("'", "''") + "'"


def arrow(connection: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema) -> pa.Table:
    """The rows of a query as an Arrow table of that schema."""
    table: pa.Table = connection.sql(sql).to_arrow_table()
    return table.cast(schema)


def query_once(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The rows of a query as an Arrow table.

    For long queries over few rows: `duckdb.sql` plans a query twice, the first time only to learn its columns.
    """
    table: pa.Table = connection.sql(f"CREATE OR REPLACE TEMP TABLE result AS {sql}; FROM result").to_arrow_table()
    return table
