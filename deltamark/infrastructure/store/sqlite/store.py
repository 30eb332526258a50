"""The embedded store: one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from eventsourcing.persistence import PersistenceError
from eventsourcing.sqlite import SQLiteCursor

from deltamark.application.ports.store import Clock, Reading, Watch, Writing
from deltamark.domain.errors import StoreError
from deltamark.infrastructure.store.mapper import ChangeMapper
from deltamark.infrastructure.store.sqlite import schema
from deltamark.infrastructure.store.sqlite.connection import LOCK_TIMEOUT_S, ChangeConnection, ChangeDatastore
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from deltamark.infrastructure.store.sqlite.recorder import ChangeRecorder
from deltamark.infrastructure.store.tables import STEPS, Step
from deltamark.infrastructure.store.views import RehearsedWriting, StoreReading, StoreWriting, conflict

_POLL_S = 0.1


class SQLiteStore:
    """A store in one file, for one machine. Safe to use from several threads and processes.

    :raises StoreError: if the file cannot be opened, is not a store, or is one of a newer version.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        create: bool = True,
        lock_timeout_s: int = LOCK_TIMEOUT_S,
        steps: Sequence[Step] = STEPS,
    ) -> None:
        self._path = path
        self._steps = steps
        self._clock = clock
        self._mapper = ChangeMapper()
        schema.check_file(path, steps)
        if not create and not (path.exists() and path.stat().st_size):
            raise StoreError(
                f"{path}: there is no store yet. Run a job first (`deltamark run JOB`), or name another with --store."
            )
        self._datastore = ChangeDatastore(path, lock_timeout_s=lock_timeout_s)
        self._rehearsals = threading.local()
        try:
            with self._explaining():
                self._recorder = ChangeRecorder(self._datastore)
                self._prepare()
        except BaseException:
            self._datastore.close()
            raise

    def _prepare(self) -> None:
        if self._path.exists() and self._path.stat().st_size:
            with self._datastore.transaction(commit=False) as c:
                if not schema.is_new(c) and not schema.missing_steps(c, self._path, self._steps):
                    return
        with self._datastore.transaction(commit=True) as c:
            # Two processes may have come this far: the second finds what the first made.
            schema.prepare(c, self._path, self._steps, self._recorder._create_table)

    @staticmethod
    def _database(c: SQLiteCursor) -> SQLiteDatabase:
        return SQLiteDatabase(c.sqlite_cursor.connection)

    @property
    def _rehearsed(self) -> SQLiteCursor | None:
        """The transaction that this thread rehearses in; other threads take no part in it."""
        return getattr(self._rehearsals, "cursor", None)

    @property
    def recorder(self) -> ChangeRecorder:
        """The recorder of the log, for projections of the `eventsourcing` library."""
        return self._recorder

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """See `Store.reading`."""
        with self._explaining():
            if self._rehearsed is not None:
                with closing(StoreReading(self._database(self._rehearsed), self._mapper)) as view:
                    yield view
                return
            with (
                self._datastore.get_connection(commit=False) as connection,
                connection.transaction(commit=False),
            ):
                assert isinstance(connection, ChangeConnection)
                with closing(StoreReading(SQLiteDatabase(connection.raw), self._mapper)) as view:
                    yield view

    @contextmanager
    def transaction(self) -> Iterator[Writing]:
        """See `Store.transaction`."""
        with self._explaining():
            if self._rehearsed is not None:
                with self._savepoint(self._rehearsed) as rehearsed:
                    yield rehearsed
                return
            with (
                self._datastore.transaction(commit=True) as c,
                closing(StoreWriting(self._database(c), self._mapper, self._clock)) as writing,
            ):
                yield writing
                writing.finish()

    @contextmanager
    def _savepoint(self, c: SQLiteCursor) -> Iterator[Writing]:
        connection = c.sqlite_cursor.connection
        if not connection.in_transaction:
            raise self._rehearsals.ended_by
        c.execute("SAVEPOINT rehearsed")
        try:
            with closing(RehearsedWriting(self._database(c), self._mapper, self._clock)) as writing:
                yield writing
                writing.finish()
        except BaseException as e:
            if connection.in_transaction:
                c.execute("ROLLBACK TO rehearsed")
            else:
                # SQLite undid everything at once, as it may on a full disk: what came now would be committed.
                self._rehearsals.ended_by = e
            raise
        finally:
            if connection.in_transaction:
                c.execute("RELEASE rehearsed")

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """See `Store.rehearsal`."""
        with self._explaining(), self._datastore.get_connection(commit=True) as connection:
            assert isinstance(connection, ChangeConnection)
            cursor = connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            self._rehearsals.cursor = cursor
            try:
                yield
            finally:
                self._rehearsals.cursor = None
                connection.rollback()

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """See `Store.watching`."""
        yield _Polling()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as e:
            raise conflict(e) from e
        except sqlite3.Error as e:
            raise schema.explained(e, self._path) from e
        except PersistenceError as e:
            cause = e.__cause__
            if isinstance(cause, sqlite3.IntegrityError):
                raise conflict(cause) from e
            if isinstance(cause, sqlite3.Error):
                raise schema.explained(cause, self._path) from e
            raise StoreError(f"store {self._path}: {e}. What was being written was undone.") from e

    def close(self) -> None:
        """See `Store.close`."""
        with self._explaining():
            self._datastore.close()


class _Polling:
    """A watch on a file: nobody tells of a commit, so the log is looked at again and again."""

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        """See `Watch.wait`."""
        stop.wait(min(timeout_s, _POLL_S))
