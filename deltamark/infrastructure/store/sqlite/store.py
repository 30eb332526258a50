"""The embedded store: one SQLite file."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.progress import Progress
from deltamark.application.ports.records import Space
from deltamark.application.ports.store import Clock, Watch
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.history.changes import Position
from deltamark.domain.processes import ProcessState
from deltamark.infrastructure.store.database_store import DatabaseStore
from deltamark.infrastructure.store.events.mapper import to_micros
from deltamark.infrastructure.store.migrations import STEPS, Step
from deltamark.infrastructure.store.queries.leases import renew, to_span
from deltamark.infrastructure.store.sqlite import schema
from deltamark.infrastructure.store.sqlite.backup import check_target, copy_store
from deltamark.infrastructure.store.sqlite.connection import LOCK_TIMEOUT_S, ChangeConnection, ChangeDatastore
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from deltamark.infrastructure.store.sqlite.errors import explained
from deltamark.infrastructure.store.sqlite.read_only import read_only_file
from deltamark.infrastructure.store.sqlite.recorder import ChangeRecorder
from deltamark.infrastructure.store.sqlite.store_files import LOST, NOT_WRITTEN, UNDONE, LogLost, StoreFiles
from deltamark.infrastructure.store.transactions import StoreWriting, Writer
from deltamark.infrastructure.system.processes import is_stopped, number_of, state_of

_POLL_S = 0.1

_UNCOUNTED_S = 0.25
"""Leases of others are extended by the time of a transaction that kept them from writing for longer than that."""

_PATIENCE_S = 0.5
"""How long the renewal of a lease waits for other writers, in this process and then in others."""


class SQLiteStore(DatabaseStore[sqlite3.Error]):
    """A store in one file, for one machine. Safe to use from several threads and processes.

    :raises StoreError: if the file cannot be opened, is not a store, or is one of a newer version.
    """

    _driver_error = sqlite3.Error

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        create: bool = True,
        lock_timeout_s: int = LOCK_TIMEOUT_S,
        steps: Sequence[Step] = STEPS,
        is_private: bool = False,
    ) -> None:
        """Opens the store.

        :param is_private: whether only this process uses the file, which is gone with it.
        """
        super().__init__(f"store {path}", clock)
        self._path = path
        self._steps = steps
        schema.check_file(path, steps)
        if not create and not (path.exists() and path.stat().st_size):
            raise self._no_store_yet(path)
        self._files = StoreFiles(path)
        self._read_only = read_only_file(path)
        self._datastore = ChangeDatastore(
            path,
            lock_timeout_s=lock_timeout_s,
            read_only=self._read_only,
            writer_of=self._writer_of,
            is_private=is_private,
        )
        try:
            with self._explained_errors():
                self._recorder = ChangeRecorder(self._datastore)
                self._prepare()
                self._files.remember()
        except BaseException:
            self._datastore.close()
            raise

    def _prepare(self) -> None:
        if self._path.exists() and self._path.stat().st_size:
            with self._datastore.transaction(commit=False) as c:
                if not schema.is_new(c) and not schema.missing_steps(c, self._path, self._steps):
                    return
        with self._datastore.transaction(commit=True) as c:
            # Two processes may get here: the second one finds the tables of the first.
            schema.prepare(c, self._path, self._steps, self._recorder._create_table)

    @property
    def recorder(self) -> ChangeRecorder:
        """The recorder of the log, for projections of the `eventsourcing` library."""
        return self._recorder

    def _writer_of(self, number: int) -> Writer:
        """Returns what is known of the process of this machine that keeps others from writing."""
        running = self._run_of(
            lambda process: number_of(process) == number and state_of(process) is not ProcessState.ENDED
        )
        return Writer(
            words=f"process {number} on {socket.gethostname()}",
            run=running[1] if running else None,
            stopped=number if is_stopped(number) else None,
        )

    @contextmanager
    def _reading_transaction(self, token: str | None = None) -> Iterator[SQLiteDatabase]:
        with self._datastore.get_connection(commit=False) as connection, connection.transaction(commit=False):
            assert isinstance(connection, ChangeConnection)
            if self._read_only is not None:
                self._read_only.check_unchanged()
            yield SQLiteDatabase(connection.raw)
            if self._read_only is not None:
                self._read_only.check_unchanged()

    @contextmanager
    def _writing_transaction(self) -> Iterator[Writing]:
        with self._sole_writer() as (connection, renewed):
            with (
                self._log_saved(connection),
                connection.transaction(commit=True),
                closing(StoreWriting(SQLiteDatabase(connection.raw), self._mapper, self._clock)) as writing,
            ):
                self._files.check(NOT_WRITTEN)
                yield writing
                writing.finish()
                self._files.check(UNDONE)
            self._files.check(LOST)
            renewed.extend(writing.renewed[:1] if writing.renewed else ())

    @contextmanager
    def _log_saved(self, connection: ChangeConnection) -> Iterator[None]:
        """Copies what was committed into the file if its write-ahead log was deleted; only this process has it."""
        try:
            yield
        except LogLost as e:
            if e.is_missing:
                with suppress(sqlite3.Error):
                    connection.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            raise

    @contextmanager
    def _sole_writer(self) -> Iterator[tuple[ChangeConnection, list[int]]]:
        """The writing connection, and a list of the runs whose leases the block renews.

        The time for which the block keeps others from writing does not count for their leases, which could neither be
        renewed nor taken over meanwhile. The block adds the run whose leases it renewed to the list.
        """
        with self._datastore.get_connection(commit=True) as connection:
            assert isinstance(connection, ChangeConnection)
            began, renewed = monotonic(), list[int]()
            try:
                yield connection, renewed
            finally:
                blocked_s = monotonic() - began
                if blocked_s > _UNCOUNTED_S and not connection.raw.in_transaction:
                    # If it fails, the work of the block is still committed, and a run that loses a lease notices.
                    with suppress(sqlite3.Error):
                        sql = f"UPDATE leases SET until = until + ?1 {'WHERE run <> ?2' if renewed else ''}"
                        connection.raw.execute(sql, (to_span(blocked_s), *renewed))

    @contextmanager
    def dry_run(self) -> Iterator[None]:
        with self._explained_errors(), self._sole_writer() as (connection, _):
            connection.raw.execute("BEGIN IMMEDIATE")
            try:
                with self._as_dry_run(lambda: SQLiteDatabase(connection.raw)):
                    yield
            finally:
                connection.rollback()

    def renew_leases(self, run: int, time_to_live_s: float) -> bool:
        with self._explained_errors(), self._datastore.idle_writer(_PATIENCE_S) as connection:
            if connection is None:
                return False
            with connection.transaction(commit=True) as c:
                return renew(SQLiteDatabase(c.sqlite_cursor.connection), run, time_to_live_s, to_micros(self._clock()))

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        yield _TimedWatch()

    def backup(self, target: Path, *, overwrite: bool, progress: Progress) -> Position:
        check_target(self._path, target, overwrite=overwrite)
        with (
            self._explained_errors(),
            self._datastore.get_connection(commit=False) as connection,
            connection.transaction(commit=False),
        ):
            assert isinstance(connection, ChangeConnection)
            with closing(SQLiteDatabase(connection.raw)) as database:  # its first query fixes the state that it sees
                position: Position = database.one("SELECT max(notification_id) FROM stored_events") or 0
            copy_store(connection.raw, self._path, target, overwrite=overwrite, progress=progress)
        return position

    def space(self) -> Space:
        with self._explained_errors(), self._datastore.get_connection(commit=False) as connection:
            assert isinstance(connection, ChangeConnection)
            pages, free, size = (
                int(connection.raw.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return Space(size=pages * size, free=free * size)

    def check_shrinkable(self) -> None:
        """Always possible."""

    def shrink(self) -> None:
        with self._explained_errors(), self._sole_writer() as (connection, _):
            connection.raw.execute("PRAGMA temp_store=FILE")  # its copy may be larger than the memory
            try:
                connection.raw.execute("VACUUM")
                connection.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.raw.execute("PRAGMA temp_store=MEMORY")

    def scrub(self) -> None:
        """Writes the file anew, without what was deleted."""
        self.shrink()

    def _explained(self, error: sqlite3.Error) -> DeltamarkError:
        return explained(error, self._path)

    def close(self) -> None:
        with self._explained_errors():
            self._datastore.close()


class _TimedWatch:
    """A watch that only waits, because a file sends no notification of a commit."""

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        stop.wait(min(timeout_s, _POLL_S))
