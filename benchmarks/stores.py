"""The stores of the benchmarks: they are emptied, saved and restored without Deltamark."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.postgresql import running

_DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB"}


class BenchmarkStore(ABC):
    """A store under a URL."""

    kind: str
    raw_work: str
    """The name of the raw work, for output."""

    raw_goal: float
    """The goal for the first load, as a multiple of the time of the raw work."""

    def __init__(self, url: str) -> None:
        self.url = url

    compare_goal: float
    """The goal for 1 % changed in a complete extract, as a multiple of the CPU of DuckDB comparing the files."""

    @abstractmethod
    def empty(self) -> None:
        """Removes the store."""

    @abstractmethod
    def disk_bytes(self) -> int:
        """The bytes that the store takes on disk."""

    @abstractmethod
    def save(self) -> None:
        """Saves a copy of the store."""

    @abstractmethod
    def restore(self) -> None:
        """Restores the saved copy."""


class SQLiteStore(BenchmarkStore):
    """A store in an SQLite file."""

    kind = "SQLite"
    raw_work = "executemany"
    raw_goal = 2.5
    compare_goal = 2.0

    def __init__(self, folder: Path) -> None:
        self._path, self._saved = folder / "store.db", folder / "saved.db"
        super().__init__(f"sqlite:///{self._path}")

    def empty(self) -> None:
        _remove(self._path)

    def disk_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._path.parent.glob(f"{self._path.name}*"))

    def save(self) -> None:
        _copy(self._path, self._saved)

    def restore(self) -> None:
        _copy(self._saved, self._path)


class PostgreSQLStore(BenchmarkStore):
    """A store in a database of a PostgreSQL server."""

    kind = "PostgreSQL"
    raw_work = "binary COPY"
    raw_goal = 3.0
    compare_goal = 3.0

    def __init__(self, server: str) -> None:
        self._server = server
        super().__init__(urlunsplit(urlsplit(server)._replace(path="/deltamark_bench")))

    def empty(self) -> None:
        self._create("deltamark_bench", "template0")

    def disk_bytes(self) -> int:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])

    def save(self) -> None:
        self._create("deltamark_bench_saved", "deltamark_bench")

    def restore(self) -> None:
        self._create("deltamark_bench", "deltamark_bench_saved")

    def remove(self) -> None:
        """Removes the databases."""
        for name in ("deltamark_bench", "deltamark_bench_saved"):
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _create(self, name: str, template: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self._execute("CHECKPOINT")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def benchmark_stores(kinds: Sequence[str], folder: Path) -> Iterator[list[BenchmarkStore]]:
    """The stores of these kinds: `sqlite`, `postgresql` (starts a server), or the URL of a server."""
    with ExitStack() as stack:
        stores: list[BenchmarkStore] = []
        for kind in kinds:
            if kind == "sqlite":
                stores.append(SQLiteStore(folder))
                continue
            server = kind if "://" in kind else stack.enter_context(running(_DURABLE)).url("postgres")
            store = PostgreSQLStore(server)
            stack.callback(store.remove)
            stores.append(store)
        yield stores


def _copy(source: Path, target: Path) -> None:
    _remove(target)
    shutil.copy(source, target)
    with target.open("rb") as copy:
        os.fsync(copy.fileno())  # otherwise the first commit waits until the copy is on disk


def _remove(store: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{store}{suffix}").unlink(missing_ok=True)
