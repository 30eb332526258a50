"""The embedded store: one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic

from eventsourcing.persistence import PersistenceError
from eventsourcing.sqlite import SQLiteCursor

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.records import Space
from deltamark.application.ports.store import Clock, Watch
from deltamark.application.ports.writing import Writing
from deltamark.domain.errors import StoreError
from deltamark.domain.history.changes import Position
from deltamark.infrastructure.store.events.mapper import ChangeMapper, to_micros
from deltamark.infrastructure.store.migrations import STEPS, Step
from deltamark.infrastructure.store.queries.leases import renew, to_span
from deltamark.infrastructure.store.sqlite import schema
from deltamark.infrastructure.store.sqlite.backup import check_target, copy_store
from deltamark.infrastructure.store.sqlite.connection import LOCK_TIMEOUT_S, ChangeConnection, ChangeDatastore
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from deltamark.infrastructure.store.sqlite.recorder import ChangeRecorder
from deltamark.infrastructure.store.transactions import DryRunWriting, StoreReading, StoreWriting, conflict

_POLL_S = 0.1

_UNCOUNTED_S = 0.25
"""A transaction that kept others from writing for longer than that does not count for their leases."""

_PATIENCE_S = 0.5
"""How long the renewal of a lease waits for others that write, in this process and then in others."""


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
        self._dry_runs = threading.local()
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
    def _dry_run(self) -> SQLiteCursor | None:
        """The dry run of this thread; other threads take no part in it."""
        return getattr(self._dry_runs, "cursor", None)

    @property
    def recorder(self) -> ChangeRecorder:
        """The recorder of the log, for projections of the `eventsourcing` library."""
        return self._recorder

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        with self._explaining():
            if self._dry_run is not None:
                with closing(StoreReading(self._database(self._dry_run), self._mapper, self._clock)) as view:
                    yield view
                return
            with (
                self._datastore.get_connection(commit=False) as connection,
                connection.transaction(commit=False),
            ):
                assert isinstance(connection, ChangeConnection)
                with closing(StoreReading(SQLiteDatabase(connection.raw), self._mapper, self._clock)) as view:
                    yield view

    @contextmanager
    def transaction(self) -> Iterator[Writing]:
        with self._explaining():
            if self._dry_run is not None:
                with self._savepoint(self._dry_run) as writing:
                    yield writing
                return
            with self._standing_still() as (connection, renewed):
                with (
                    connection.transaction(commit=True) as c,
                    closing(StoreWriting(self._database(c), self._mapper, self._clock)) as writing,
                ):
                    yield writing
                    writing.finish()
                renewed.extend(writing.renewed[:1] if writing.renewed else ())

    @contextmanager
    def _standing_still(self) -> Iterator[tuple[ChangeConnection, list[int]]]:
        """The writing connection. The time for which the block keeps others from writing does not count for their
        leases: nobody could renew one in it, and nobody could take one over.

        The block adds the run whose leases it renewed to the list.
        """
        with self._datastore.get_connection(commit=True) as connection:
            assert isinstance(connection, ChangeConnection)
            began, renewed = monotonic(), list[int]()
            try:
                yield connection, renewed
            finally:
                stood_still_s = monotonic() - began
                if stood_still_s > _UNCOUNTED_S and not connection.raw.in_transaction:
                    # Should it fail: what the block did stands all the same, and who loses a lease notices.
                    with suppress(sqlite3.Error):
                        sql = f"UPDATE leases SET until = until + ?1 {'WHERE run <> ?2' if renewed else ''}"
                        connection.raw.execute(sql, (to_span(stood_still_s), *renewed))

    @contextmanager
    def _savepoint(self, c: SQLiteCursor) -> Iterator[Writing]:
        connection = c.sqlite_cursor.connection
        if not connection.in_transaction:
            raise self._dry_runs.ended_by
        c.execute("SAVEPOINT dry_run")
        try:
            with closing(DryRunWriting(self._database(c), self._mapper, self._clock)) as writing:
                yield writing
                writing.finish()
        except BaseException as e:
            if connection.in_transaction:
                c.execute("ROLLBACK TO dry_run")
            else:
                # SQLite undid everything at once, as it may on a full disk: what came now would be committed.
                self._dry_runs.ended_by = e
            raise
        finally:
            if connection.in_transaction:
                c.execute("RELEASE dry_run")

    @contextmanager
    def dry_run(self) -> Iterator[None]:
        with self._explaining(), self._standing_still() as (connection, _):
            cursor = connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            self._dry_runs.cursor = cursor
            try:
                yield
            finally:
                self._dry_runs.cursor = None
                connection.rollback()

    def renew_leases(self, run: int, time_to_live_s: float) -> bool:
        with self._explaining(), self._datastore.writer_at_rest(_PATIENCE_S) as connection:
            if connection is None:
                return False
            with connection.transaction(commit=True) as c:
                return renew(self._database(c), run, time_to_live_s, to_micros(self._clock()))

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        yield _Polling()

    def backup(self, target: Path, *, overwrite: bool, progress: Progress) -> Position:
        check_target(self._path, target, overwrite=overwrite)
        with (
            self._explaining(),
            self._datastore.get_connection(commit=False) as connection,
            connection.transaction(commit=False),
        ):
            assert isinstance(connection, ChangeConnection)
            with closing(SQLiteDatabase(connection.raw)) as database:  # its first question settles what it sees
                position: Position = database.one("SELECT max(notification_id) FROM stored_events") or 0
            copy_store(connection.raw, self._path, target, overwrite=overwrite, progress=progress)
        return position

    def space(self) -> Space:
        with self._explaining(), self._datastore.get_connection(commit=False) as connection:
            assert isinstance(connection, ChangeConnection)
            pages, free, size = (
                int(connection.raw.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return Space(size=pages * size, free=free * size)

    def check_shrinkable(self) -> None:
        """Always possible."""

    def shrink(self) -> None:
        with self._explaining(), self._standing_still() as (connection, _):
            connection.raw.execute("PRAGMA temp_store=FILE")  # the copy that it makes may be larger than the memory
            try:
                connection.raw.execute("VACUUM")
                connection.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.raw.execute("PRAGMA temp_store=MEMORY")

    def scrub(self) -> None:
        """Writes the file anew, without what was deleted."""
        self.shrink()

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
        with self._explaining():
            self._datastore.close()


class _Polling:
    """A watch on a file: nobody tells of a commit, so the log is looked at again and again."""

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        stop.wait(min(timeout_s, _POLL_S))
