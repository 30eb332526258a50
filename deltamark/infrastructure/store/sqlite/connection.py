"""Connections to an SQLite store: one that writes, several that read.

SQLite up to 3.51.2 can lose committed writes when two connections write and checkpoint at the same time (the
"WAL-reset" race, https://sqlite.org/wal.html#walresetbug), and Python brings such a version. So a process has
exactly one writing connection, only that one checkpoints, and a lock file keeps the writers of several
processes apart, across write and checkpoint. See ADR 0002.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventsourcing.sqlite import (
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteTransaction,
)
from filelock import FileLock, Timeout

from deltamark.domain.errors import ConcurrentRun

LOCK_TIMEOUT_S = 60
_CACHE_KIB = 64_000


class ImmediateTransaction(SQLiteTransaction):
    """A transaction that takes the write lock at once: reading first and writing later cannot fail."""

    def __enter__(self) -> SQLiteCursor:
        cursor = self.connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        return cursor


class ChangeConnection(SQLiteConnection):
    """A connection whose committing transactions begin immediately."""

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SQLiteCursor]:
        """A cursor inside a transaction."""
        kind = ImmediateTransaction if commit else SQLiteTransaction
        with kind(self, commit=commit) as cursor, cursor:
            yield cursor

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection of the standard library."""
        return self._sqlite_conn


class ChangeConnectionPool(SQLiteConnectionPool):
    """Connections that read; `writer` makes the one that writes."""

    def _create_connection(self) -> SQLiteConnection:
        connection = self._prepared()
        connection.raw.execute("PRAGMA query_only=ON")
        connection.raw.execute("PRAGMA wal_autocheckpoint=0")
        return connection

    def writer(self) -> ChangeConnection:
        """A new writing connection."""
        connection = self._prepared()
        connection.raw.execute("PRAGMA wal_autocheckpoint=4000")
        return connection

    def _prepared(self) -> ChangeConnection:
        raw = super()._create_connection()._sqlite_conn
        for setting in (
            "synchronous=FULL",
            "foreign_keys=ON",
            "trusted_schema=OFF",
            "cell_size_check=ON",
            f"cache_size=-{_CACHE_KIB}",
            "temp_store=MEMORY",
        ):
            raw.execute(f"PRAGMA {setting}")
        return ChangeConnection(raw, max_age=self.max_age)


class ChangeDatastore(SQLiteDatastore):
    """The connections to one store file."""

    def __init__(self, path: Path, *, lock_timeout_s: int = LOCK_TIMEOUT_S) -> None:
        super().__init__(
            path.absolute().as_uri(), lock_timeout=lock_timeout_s, originator_id_type="text", pool_timeout=60
        )
        self.pool.close()
        self.pool = ChangeConnectionPool(db_name=path.absolute().as_uri(), lock_timeout=lock_timeout_s, pool_timeout=60)
        self._writer: ChangeConnection | None = None
        self._mine = threading.Lock()
        self._everyones = FileLock(f"{path.absolute()}.lock", timeout=lock_timeout_s, thread_local=False)

    @contextmanager
    def get_connection(self, *, commit: bool) -> Iterator[SQLiteConnection]:
        """A reading connection from the pool, or the writing one, for this block alone."""
        if not commit:
            with super().get_connection(commit=False) as connection:
                yield connection
            return
        with self._mine, self._locked():
            if self._writer is None:
                assert isinstance(self.pool, ChangeConnectionPool)
                self._writer = self.pool.writer()
            yield self._writer

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._everyones.acquire()
        except Timeout:
            raise ConcurrentRun(
                f"another process has been writing to this store for more than {LOCK_TIMEOUT_S} seconds. Nothing "
                "was changed. Wait until its run has ended (`deltamark runs` shows it), then run again."
            ) from None
        try:
            yield
        finally:
            self._everyones.release()

    def close(self) -> None:
        """Closes every connection."""
        writer = getattr(self, "_writer", None)
        if writer is not None:
            with self._mine, self._locked():
                writer.close()
            self._writer = None
        super().close()
