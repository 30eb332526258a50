"""The shared store: a schema of a PostgreSQL database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

import psycopg
from eventsourcing.persistence import PersistenceError
from psycopg import Connection, errors
from psycopg.rows import DictRow

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.records import Space
from deltamark.application.ports.store import Clock, Watch
from deltamark.application.ports.writing import Writing
from deltamark.domain.errors import StoreError, StoreUnreachable, UsageError
from deltamark.domain.history.changes import Position
from deltamark.infrastructure.store.events.mapper import ChangeMapper, to_micros
from deltamark.infrastructure.store.migrations import STEPS, Step
from deltamark.infrastructure.store.postgresql import schema
from deltamark.infrastructure.store.postgresql.address import address_of, dump_command
from deltamark.infrastructure.store.postgresql.connection import RECONNECT_S, ChangeDatastore, check_client
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.errors import LOCK_TIMEOUT_S, explained
from deltamark.infrastructure.store.postgresql.grants import grants
from deltamark.infrastructure.store.postgresql.notifications import Listening
from deltamark.infrastructure.store.postgresql.recorder import LOCK_LOG, ChangeRecorder
from deltamark.infrastructure.store.postgresql.statistics import renew_statistics
from deltamark.infrastructure.store.queries.leases import renew
from deltamark.infrastructure.store.transactions import DryRunWriting, StoreReading, StoreWriting
from deltamark.infrastructure.store.urls import StoreKind, kind_of

_DECIDED_S = 10.0
_ASK_AGAIN_S = 0.1
"""A server that lost its client in a commit goes on with it: how long, and how often it is asked."""

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Whatever the server's default: under a stricter level, a heartbeat would fail the transaction beside which it beats.
_WRITE = f"BEGIN ISOLATION LEVEL READ COMMITTED; {LOCK_LOG}"
_RENEW = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout TO '1s'"
"""Without the writers' lock, which another may hold for as long as it takes."""

_SCRUBBED = ("stored_events", "snapshots", "resources", "links", "correlation_keys")


class PostgreSQLStore:
    """A store in a schema of a database. Safe to use from several threads, processes and machines.

    :raises StoreError: if the database cannot be reached or used, or holds a store of a newer version.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        create: bool = True,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        reconnect_s: float = RECONNECT_S,
        steps: Sequence[Step] = STEPS,
    ) -> None:
        check_client()
        self._address = address_of(url)
        self._clock = clock
        self._steps = steps
        self._mapper = ChangeMapper()
        self._datastore = ChangeDatastore(self._address, lock_timeout_s=lock_timeout_s, reconnect_s=reconnect_s)
        self._recorder = ChangeRecorder(self._datastore)
        self._dry_runs = threading.local()
        try:
            with self._explaining():
                self._prepare(create=create)
        except BaseException:
            self._datastore.close()
            raise

    def _prepare(self, *, create: bool) -> None:
        with self._connection(_READ) as connection:
            database = PostgreSQLDatabase(connection)
            if not schema.missing_steps(database, self._address, self._steps):
                return
            if not create and not schema.version_of(database, self._address):
                raise StoreError(
                    f"{self._address}: there is no store yet. Run a job first (`deltamark run JOB`), or name another "
                    "with --store."
                )
        with self._connection(f"BEGIN; SELECT pg_advisory_xact_lock({schema.LOCK})") as connection:
            # Two processes may have come this far: the second finds what the first made.
            schema.prepare(
                PostgreSQLDatabase(connection),
                self._address,
                self._steps,
                lambda: self._recorder._create_table(connection.cursor()),
            )
            connection.execute("COMMIT")

    def _connection(self, begin: str) -> AbstractContextManager[Connection[DictRow]]:
        return self._datastore.connections.connection(begin)

    @property
    def _dry_run(self) -> Connection[DictRow] | None:
        """The dry run of this thread; other threads take no part in it."""
        return getattr(self._dry_runs, "connection", None)

    @property
    def recorder(self) -> ChangeRecorder:
        """The recorder of the log, for projections of the `eventsourcing` library."""
        return self._recorder

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        with self._explaining():
            if self._dry_run is not None:
                with closing(StoreReading(PostgreSQLDatabase(self._dry_run), self._mapper, self._clock)) as view:
                    yield view
                return
            with (
                self._connection(_READ) as connection,
                closing(StoreReading(PostgreSQLDatabase(connection), self._mapper, self._clock)) as view,
            ):
                yield view

    @contextmanager
    def transaction(self) -> Iterator[Writing]:
        with self._explaining():
            if self._dry_run is not None:
                with self._savepoint(self._dry_run) as writing:
                    yield writing
                return
            with self._connection(_WRITE) as connection:
                database = PostgreSQLDatabase(connection)
                with closing(StoreWriting(database, self._mapper, self._clock)) as writing:
                    yield writing
                    writing.finish()
                    self._commit(connection)
                renew_statistics(connection, database.added)

    def _commit(self, connection: Connection[DictRow]) -> None:
        """Commits. Where the connection is lost before the server said that it did, asks it again."""
        transaction = PostgreSQLDatabase(connection).one("SELECT pg_current_xact_id()::text")
        try:
            connection.execute("COMMIT")
        except psycopg.OperationalError as lost:
            if not connection.broken:
                raise
            if not self._was_committed(transaction, lost):
                raise

    def _was_committed(self, transaction: str, lost: psycopg.Error) -> bool:
        deadline = monotonic() + _DECIDED_S
        try:
            with self._connection("") as other:
                while True:
                    state = PostgreSQLDatabase(other).one("SELECT pg_xact_status(?1::xid8)", (transaction,))
                    if state != "in progress":
                        return bool(state == "committed")
                    if monotonic() > deadline:
                        break
                    sleep(_ASK_AGAIN_S)
        except errors.InvalidParameterValue:
            return False  # "in the future": the server crashed and came back without ever having heard of it
        except psycopg.Error:
            pass
        raise StoreUnreachable(
            f"store {self._address}: the connection was lost while the server committed, and it cannot be asked "
            "whether it did. `deltamark runs` shows, when it is back, whether the task has ended. Run again then."
        ) from lost

    @contextmanager
    def _savepoint(self, connection: Connection[DictRow]) -> Iterator[Writing]:
        connection.execute("SAVEPOINT dry_run")
        try:
            with closing(DryRunWriting(PostgreSQLDatabase(connection), self._mapper, self._clock)) as writing:
                yield writing
                writing.finish()
        except BaseException:
            connection.execute("ROLLBACK TO dry_run")
            raise
        finally:
            connection.execute("RELEASE dry_run")

    @contextmanager
    def dry_run(self) -> Iterator[None]:
        with self._explaining(), self._connection(_WRITE) as connection:
            self._dry_runs.connection = connection
            try:
                yield
            finally:
                self._dry_runs.connection = None

    def renew_leases(self, run: int, time_to_live_s: float) -> bool:
        with self._explaining(), self._connection(_RENEW) as connection:
            done = renew(PostgreSQLDatabase(connection), run, time_to_live_s, to_micros(self._clock()))
            connection.execute("COMMIT")
            return done

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        with self._explaining(), closing(Listening(self._datastore.connections, self._recorder.channel_name)) as watch:
            yield _Explained(watch, self._explaining)

    def backup(self, target: Path, *, overwrite: bool, progress: Progress) -> Position:
        """Refuses: PostgreSQL has a program for it."""
        raise UsageError(
            f"store {self._address}: PostgreSQL's own program makes the backup, also while jobs run:\n"
            f"  {dump_command(self._address, target)}"
        )

    def space(self) -> Space:
        sql = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ?1 AND c.relkind = 'r'"""
        with self._explaining(), self._connection(_READ) as connection:
            return Space(size=PostgreSQLDatabase(connection).one(sql, (self._address.schema,)), free=None)

    def check_shrinkable(self) -> None:
        """Refuses: PostgreSQL does it by itself, and its owner may do more."""
        raise UsageError(
            f"store {self._address}: PostgreSQL reuses the space by itself (autovacuum). To give it back to the disk, "
            f"its owner can run VACUUM FULL on the tables of schema {self._address.schema}, at a time when no job runs."
        )

    def scrub(self) -> str | None:
        """The statements for the owner, who alone may rewrite the tables, which locks them meanwhile."""
        tables = ", ".join(f"{self._address.schema}.{table}" for table in _SCRUBBED)
        return f"VACUUM (FULL) {tables}"

    def shrink(self) -> None:
        self.check_shrinkable()

    def grants(self, *, writer: str | None, reader: str | None) -> str:
        """The SQL by which the owner lets one role write and another read; raises as `grants.grants` does."""
        with self._explaining(), self._connection(_READ) as connection:
            return grants(PostgreSQLDatabase(connection), self._address, writer=writer, reader=reader)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as e:
            raise explained(e, self._address) from e
        except PersistenceError as e:
            if isinstance(e.__cause__, psycopg.Error):
                raise explained(e.__cause__, self._address) from e
            raise StoreError(f"store {self._address}: {e}. What was being written was undone.") from e

    def close(self) -> None:
        self._datastore.close()


class _Explained:
    """A watch whose errors are explained."""

    def __init__(self, watch: Watch, explaining: Callable[[], AbstractContextManager[None]]) -> None:
        self._watch = watch
        self._explaining = explaining

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        with self._explaining():
            self._watch.wait(timeout_s, stop)


def grants_for(url: str, clock: Clock, *, writer: str | None, reader: str | None) -> str:
    """The SQL by which the owner of a store lets one role run jobs and another read.

    To be called as the role that owns the store, or will own it: the store is made if there is none yet, or brought
    up to date.

    :raises UsageError: for a role that cannot be let in like that, or a store in a file.
    :raises StoreError: if the store cannot be opened.
    """
    if kind_of(url) is StoreKind.SQLITE:
        raise UsageError(
            "an SQLite store is a file, which knows no roles. The rights of the file and of its folder decide who may "
            "write to it, and who may only read it."
        )
    with closing(PostgreSQLStore(url, clock)) as store:
        return store.grants(writer=writer, reader=reader)
