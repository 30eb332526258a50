"""Connections to an SQLite store: one for writing, several for reading.

SQLite up to 3.51.2 can lose committed writes when two connections write and checkpoint at the same time (the
"WAL-reset" race, https://sqlite.org/wal.html#walresetbug), and Python brings such a version. So a process has
exactly one writing connection, only that one checkpoints, and a lock file lets only one process at a time write and
checkpoint. See ADR 0002.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
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

from deltamark.domain.errors import StoreError
from deltamark.infrastructure.store.sqlite.read_only import ReadOnlyFile
from deltamark.infrastructure.store.transactions import TOLD_AFTER_S, Writer, tell_of_wait, written_for_long
from deltamark.infrastructure.system.processes import holder_of

LOCK_TIMEOUT_S = 60

PAGE_BYTES = 8_192
"""The size of the pages of a new store: with smaller ones, the system is called more often for the same bytes.

With larger ones, jobs that change few resources would write much more than these.
"""

CHECKPOINT_BYTES = 64_000_000
"""Size of the write-ahead log at which a commit copies it into the file.

As large as the cache. A job that changes a thousand resources writes some 30 MB. It need not wait until they are
copied, and a page that several such jobs change is copied once.
"""

READING_CACHE_KB = 4_000
"""The pages that a reading connection keeps: a server has several, for hours, and the system keeps the file as well."""

_SETTINGS_OF_FILE = (f"page_size={PAGE_BYTES}", "journal_mode=WAL")
"""The first one holds for a new file; the second writes to the file."""

_SETTINGS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "cache_size=-64000",
    "temp_store=MEMORY",
)


class ImmediateTransaction(SQLiteTransaction):
    """A transaction that takes the write lock at once.

    Writing after reading then cannot fail.
    """

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
    """Connections for reading.

    `writer` makes the connection for writing.
    """

    is_read_only = False
    """Whether the file cannot be written."""

    is_private = False
    """Whether the file is gone with this process, so that no commit need wait for the disk."""

    def _create_connection(self) -> SQLiteConnection:
        connection = self._prepared()
        connection.raw.execute("PRAGMA query_only=ON")
        connection.raw.execute("PRAGMA wal_autocheckpoint=0")
        connection.raw.execute(f"PRAGMA cache_size=-{READING_CACHE_KB}")
        return connection

    def writer(self) -> ChangeConnection:
        """A new writing connection."""
        connection = self._prepared()
        (size,) = connection.raw.execute("PRAGMA page_size").fetchone()
        connection.raw.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_BYTES // size}")
        return connection

    def put_connection(self, conn: SQLiteConnection) -> None:
        """Takes a connection back, and closes it if the pool is closed."""
        with self._put_condition:
            if self.closed:
                conn.close()
            else:
                super().put_connection(conn)

    def close(self) -> None:
        """Closes the idle connections.

        A connection in use is closed when it comes back.

        Closing it while another thread reads through it would crash the process.
        """
        with self._put_condition:
            self._in_use.clear()
            super().close()

    def _prepared(self) -> ChangeConnection:
        raw = sqlite3.connect(
            self.db_name, uri=True, check_same_thread=False, isolation_level=None, timeout=self.lock_timeout or 0
        )
        try:
            for setting in (*(() if self.is_read_only else _SETTINGS_OF_FILE), *_SETTINGS):
                raw.execute(f"PRAGMA {setting}")
            if self.is_private:
                raw.execute("PRAGMA synchronous=OFF")
        except BaseException as e:
            # Not left to garbage collection: an open connection keeps files beside the store.
            raw.close()
            if isinstance(e, UnicodeDecodeError):
                raise sqlite3.DatabaseError("the names of its tables are no text") from e
            raise
        raw.row_factory = sqlite3.Row
        return ChangeConnection(raw, max_age=self.max_age)


class ChangeDatastore(SQLiteDatastore):
    """The connections to one store file."""

    def __init__(
        self,
        path: Path,
        *,
        lock_timeout_s: int = LOCK_TIMEOUT_S,
        read_only: ReadOnlyFile | None = None,
        writer_of: Callable[[int], Writer | None] = lambda number: None,
        is_private: bool = False,
    ) -> None:
        """Opens no connection yet.

        :param writer_of: returns what is known of the process of a number, which keeps others from writing.
        :param is_private: whether only this process uses the file, which is gone with it: no lock file is needed, and
            no commit waits for the disk.
        """
        uri = path.absolute().as_uri() + (read_only.options if read_only else "")
        super().__init__(uri, lock_timeout=lock_timeout_s, originator_id_type="text", pool_timeout=60)
        self.pool.close()
        self.pool = ChangeConnectionPool(db_name=uri, lock_timeout=lock_timeout_s, pool_timeout=60)
        self.pool.is_read_only = read_only is not None
        self.pool.is_private = is_private
        self._read_only = read_only
        self._writer: ChangeConnection | None = None
        self._thread_lock = threading.Lock()
        self._process_lock = (
            None if is_private else FileLock(f"{path.absolute()}.lock", timeout=lock_timeout_s, thread_local=False)
        )
        self._lock_timeout_s = lock_timeout_s
        self._writer_of = writer_of

    @contextmanager
    def get_connection(self, *, commit: bool) -> Iterator[SQLiteConnection]:
        """A reading connection from the pool, or the writing connection, for this block alone.

        :raises StoreError: if the datastore is closed, or for a connection that commits to a read-only file.
        :raises ConcurrentRun: if another process writes for longer than the timeout.
        """
        if self.pool.closed:
            raise StoreError("the store was closed. Open it again.")
        if not commit:
            with super().get_connection(commit=False) as connection:
                yield connection
            return
        if self._read_only is not None:
            raise self._read_only.refusal()
        with self._thread_lock, self._locked():
            yield self._writing()

    @contextmanager
    def idle_writer(self, patience_s: float) -> Iterator[ChangeConnection | None]:
        """The writing connection for this block alone.

        None if others write for longer than `patience_s`, or the file is read-only.
        """
        if self._read_only is not None or not self._thread_lock.acquire(timeout=patience_s):
            yield None
            return
        try:
            if self.pool.closed:
                yield None
                return
            if self._process_lock is None:
                yield self._writing()
                return
            try:
                self._process_lock.acquire(timeout=patience_s)
            except (Timeout, OSError):
                yield None
                return
            try:
                yield self._writing()
            finally:
                self._process_lock.release()
        finally:
            self._thread_lock.release()

    def _writing(self) -> ChangeConnection:
        if self._writer is None:
            assert isinstance(self.pool, ChangeConnectionPool)
            self._writer = self.pool.writer()
        return self._writer

    def _acquire(self, lock: FileLock) -> None:
        """Waits for the lock; after a moment, tells for whom.

        :raises Timeout: if it takes too long.
        """
        try:
            lock.acquire(timeout=min(TOLD_AFTER_S, self._lock_timeout_s))
        except Timeout:
            if self._lock_timeout_s <= TOLD_AFTER_S:
                raise
            holder = holder_of(Path(lock.lock_file))
            tell_of_wait(self._writer_of(holder) if holder is not None else None)
            lock.acquire(timeout=self._lock_timeout_s - TOLD_AFTER_S)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._process_lock
        if lock is None:
            yield
            return
        try:
            self._acquire(lock)
        except Timeout:
            holder = holder_of(Path(lock.lock_file))
            writer = self._writer_of(holder) if holder is not None else None
            raise written_for_long(self._lock_timeout_s, writer) from None
        except OSError as e:
            raise StoreError(
                f"{lock.lock_file}: {e.strerror}. This lock file of writers could not be opened. "
                "Make the folder of the store writable, or remove what is in the place of the file."
            ) from e
        try:
            yield
        finally:
            lock.release()

    def close(self) -> None:
        """Closes every connection."""
        writer = getattr(self, "_writer", None)
        if writer is not None:
            with self._thread_lock, self._locked():
                writer.close()
            self._writer = None
        super().close()
