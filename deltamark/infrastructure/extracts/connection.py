"""DuckDB connections that read extracts.

Unlike those of `duckdb.connection`, they reach files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from deltamark.domain.work_limits import WorkLimits
from deltamark.infrastructure.system.per_process import OnePerProcess
from deltamark.infrastructure.system.temporary_files import TemporaryFolder
from deltamark.infrastructure.system.work_limits import work_limits


class _Database:
    """A DuckDB in memory that spills to a folder of its own and loads no extensions."""

    def __init__(self, limits: WorkLimits) -> None:
        self._folder = TemporaryFolder()
        self.root = duckdb.connect(
            config={
                "threads": limits.threads,
                "memory_limit": limits.memory,
                "temp_directory": str(self._folder.path / "spill"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": True,
                "enable_external_file_cache": False,  # it tells files apart by path, size and time of modification
            }
        )


_DATABASES = OnePerProcess[_Database]()


@contextmanager
def extract_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one extract, to the database that all extracts of the process share.

    Opening a database takes longer than reading a thousand rows.
    """
    limits = work_limits()
    with _DATABASES.borrowed(limits, lambda: _Database(limits)) as database:
        connection = database.root.cursor()
    try:
        connection.execute("set python_enable_replacements = false")
        connection.execute("set enable_progress_bar = false")
        # The statistics of a Parquet file leave NaN out: a column with 1.0 and NaN would be taken for all 1.0.
        connection.execute("set disabled_optimizers = 'statistics_propagation'")
        yield connection
    finally:
        connection.close()
