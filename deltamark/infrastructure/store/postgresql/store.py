"""The shared store: a schema of a PostgreSQL database."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import psycopg
from psycopg import Connection, errors
from psycopg.rows import DictRow

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.progress import Progress
from deltamark.application.ports.records import Space
from deltamark.application.ports.store import Clock, Watch
from deltamark.domain.errors import DeltamarkError, StoreError, StoreUnreachable, UsageError
from deltamark.domain.history.changes import Position
from deltamark.domain.processes import ProcessState
from deltamark.infrastructure.store.database_store import DatabaseStore
from deltamark.infrastructure.store.events.mapper import to_micros
from deltamark.infrastructure.store.migrations import STEPS, Step
from deltamark.infrastructure.store.postgresql import schema
from deltamark.infrastructure.store.postgresql.address import address_of, dump_command
from deltamark.infrastructure.store.postgresql.connection import (
    RECONNECT_S,
    ChangeDatastore,
    check_client,
    is_name_of,
    process_name,
    session_name,
)
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.errors import LOCK_TIMEOUT_S, explained
from deltamark.infrastructure.store.postgresql.grants import grants
from deltamark.infrastructure.store.postgresql.notifications import NotificationWatch
from deltamark.infrastructure.store.postgresql.recorder import LOCK_LOG, ChangeRecorder
from deltamark.infrastructure.store.postgresql.statistics import renew_statistics
from deltamark.infrastructure.store.queries.leases import renew
from deltamark.infrastructure.store.transactions import TOLD_AFTER_S, StoreWriting, Writer, tell_of_wait
from deltamark.infrastructure.store.urls import StoreKind, kind_of
from deltamark.infrastructure.system.processes import host_of, number_of, state_of

_DECIDED_S = 10.0
_ASK_AGAIN_S = 0.1
"""A server that loses its client during a commit completes the commit: how long and how often to ask for the result."""

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Not the default of the server: under a stricter level, a heartbeat would make the transaction of its run fail.
_WRITE = f"BEGIN ISOLATION LEVEL READ COMMITTED; {LOCK_LOG}"
_RENEW = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout TO '1s'"
"""Without the lock of writers, which another run may hold for any time."""

_SNAPSHOT = re.compile(r"[0-9A-Fa-f]{1,16}(-[0-9A-Fa-f]{1,16}){1,2}")


def _read_exported(snapshot: str) -> str:
    if not _SNAPSHOT.fullmatch(snapshot):
        raise StoreError("the name of an exported snapshot is not one that PostgreSQL gives.")
    return f"{_READ}; SET TRANSACTION SNAPSHOT '{snapshot}'"


_LOCKED = """JOIN pg_locks l USING (pid)
    WHERE l.relation = 'log_end'::regclass AND l.mode = 'ExclusiveLock' AND l.granted"""
_SESSION = """SELECT pid, usename, coalesce(application_name, ''), host(client_addr),
    to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM pg_stat_activity"""
"""Who has a session. The server hides address and time of sessions of other roles from those who may not see them."""

_WRITER = f"{_SESSION} {_LOCKED}"
_BLOCKER = f"""{_SESSION} WHERE pid = ANY(pg_blocking_pids(?1::integer))
    ORDER BY pid IN (SELECT pid FROM pg_locks WHERE relation = 'log_end'::regclass AND granted) DESC, xact_start, pid
    LIMIT 1"""
"""Who keeps a session waiting: who has the lock before who waits for it, too."""

_IS_BLOCKED = "SELECT cardinality(pg_blocking_pids(?1::integer)) > 0"
_END_WRITER = f"""SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity {_LOCKED}
    AND (application_name = ?1 OR starts_with(application_name, ?1 || ': ')) AND pid <> pg_backend_pid()"""
_NAME_SESSION = "SELECT set_config('application_name', ?1, true)"

_SCRUBBED = ("stored_events", "snapshots", "resources", "links", "correlation_keys", "awaited", "pending")


class PostgreSQLStore(DatabaseStore[psycopg.Error]):
    """A store in a schema of a database.

    Safe to use from several threads, processes and machines.

    :raises StoreError: if the database cannot be reached or used, or holds a store of a newer version.
    """

    _driver_error = psycopg.Error

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
        super().__init__(f"store {self._address}", clock)
        self._steps = steps
        self._datastore = ChangeDatastore(self._address, lock_timeout_s=lock_timeout_s, reconnect_s=reconnect_s)
        self._recorder = ChangeRecorder(self._datastore)
        try:
            with self._explained_errors():
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
                raise self._no_store_yet(self._address)
        with self._connection(f"BEGIN; SELECT pg_advisory_xact_lock({schema.LOCK})") as connection:
            # Two processes may get here: the second one finds the tables of the first.
            schema.prepare(
                PostgreSQLDatabase(connection),
                self._address,
                self._steps,
                lambda: self._recorder._create_table(connection.cursor()),
            )
            connection.execute("COMMIT")

    def _connection(self, begin: str) -> AbstractContextManager[Connection[DictRow]]:
        return self._datastore.connections.connection(begin)

    def _sole_writer(self) -> AbstractContextManager[Connection[DictRow]]:
        return self._datastore.connections.connection(_WRITE, self._telling_of_waits)

    @contextmanager
    def _telling_of_waits(self, session: int) -> Iterator[None]:
        """Tells for whom a session waits if the block lasts long, unless there is no memory for a thread."""
        timer = threading.Timer(TOLD_AFTER_S, self._tell_of_wait, (session,))
        timer.daemon = True
        with suppress(RuntimeError):
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _tell_of_wait(self, session: int) -> None:
        with suppress(DeltamarkError):
            try:
                with self._connection("") as connection:
                    database = PostgreSQLDatabase(connection)
                    if not database.one(_IS_BLOCKED, (session,)):
                        return
                    row = database.row(_BLOCKER, (session,))
            except psycopg.Error:  # the function may be forbidden
                tell_of_wait(self._writer())
            else:
                tell_of_wait(None if row is None else self._described(*row))

    @property
    def recorder(self) -> ChangeRecorder:
        """The recorder of the log, for projections of the `eventsourcing` library."""
        return self._recorder

    @contextmanager
    def _reading_transaction(self, token: str | None = None) -> Iterator[PostgreSQLDatabase]:
        with self._connection(_READ if token is None else _read_exported(token)) as connection:
            yield PostgreSQLDatabase(connection)

    @contextmanager
    def _writing_transaction(self) -> Iterator[Writing]:
        with self._sole_writer() as connection:
            database = PostgreSQLDatabase(connection)
            with closing(_NamedWriting(database, self._mapper, self._clock)) as writing:
                yield writing
                writing.finish()
                self._commit(connection)
            renew_statistics(connection, database.added)

    def _commit(self, connection: Connection[DictRow]) -> None:
        """Commits.

        If the connection is lost before the server confirms it, asks the server for the result.
        """
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
            return False  # "in the future": the server crashed, and restarted without knowing the transaction
        except psycopg.Error:
            pass
        raise StoreUnreachable(
            f"store {self._address}: the connection was lost during the commit, and the server does not answer whether "
            "it committed. When it is back, `deltamark runs` shows whether the task has ended. Run again then."
        ) from lost

    @contextmanager
    def dry_run(self) -> Iterator[None]:
        with (
            self._explained_errors(),
            self._sole_writer() as connection,
            self._as_dry_run(lambda: PostgreSQLDatabase(connection)),
        ):
            yield

    def renew_leases(self, run: int, time_to_live_s: float) -> bool:
        with self._explained_errors(), self._connection(_RENEW) as connection:
            done = renew(PostgreSQLDatabase(connection), run, time_to_live_s, to_micros(self._clock()))
            connection.execute("COMMIT")
            return done

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        with (
            self._explained_errors(),
            closing(NotificationWatch(self._datastore.connections, self._recorder.channel_name)) as watch,
        ):
            yield _ExplainedWatch(watch, self._explained_errors)

    def backup(self, target: Path, *, overwrite: bool, progress: Progress) -> Position:
        """Refuses: PostgreSQL has a program for it."""
        raise UsageError(
            f"store {self._address}: PostgreSQL's own program makes the backup, also while jobs run:\n"
            f"  {dump_command(self._address, target)}"
        )

    def space(self) -> Space:
        sql = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ?1 AND c.relkind = 'r'"""
        with self._explained_errors(), self._connection(_READ) as connection:
            return Space(size=PostgreSQLDatabase(connection).one(sql, (self._address.schema,)), free=None)

    def check_shrinkable(self) -> None:
        """Refuses: PostgreSQL does it by itself, and its owner may do more."""
        raise UsageError(
            f"store {self._address}: PostgreSQL reuses the space by itself (autovacuum). To give it back to the disk, "
            f"its owner can run VACUUM FULL on the tables of schema {self._address.schema}, at a time when no job runs."
        )

    def scrub(self) -> str | None:
        """The statements for the owner.

        Only the owner may rewrite the tables, which locks them meanwhile.
        """
        tables = ", ".join(f"{self._address.schema}.{table}" for table in _SCRUBBED)
        return f"VACUUM (FULL) {tables}"

    def shrink(self) -> None:
        self.check_shrinkable()

    def grants(self, *, writer: str | None, reader: str | None) -> str:
        """Returns the SQL that lets one role write and another read (see `grants.grants`)."""
        with self._explained_errors(), self._connection(_READ) as connection:
            return grants(PostgreSQLDatabase(connection), self._address, writer=writer, reader=reader)

    def _explained(self, error: psycopg.Error) -> DeltamarkError:
        writer = self._writer() if isinstance(error, errors.LockNotAvailable) else None
        return explained(error, self._address, writer)

    def _writer(self) -> Writer | None:
        """Returns which session keeps others from writing; None where the server does not say it."""
        row = None
        with suppress(psycopg.Error), self._connection("") as connection:
            row = PostgreSQLDatabase(connection).row(_WRITER)
        return None if row is None else self._described(*row)

    def _described(self, session: int, user: str, name: str, host: str | None, since: str | None) -> Writer:
        """Describes a session on the server, as far as this user may see it."""
        running = self._run_of(lambda process: is_name_of(process_name(number_of(process), host_of(process)), name))
        is_stopped = running is not None and state_of(running[0]) is ProcessState.STOPPED
        words = f"session {session} of {user} on the server ({name or 'without a name'})"
        words += f" from {host}" if host else ""
        return Writer(
            words=f"{words}, in a transaction since {since}" if since else words,
            run=running[1] if running else None,
            stopped=number_of(running[0]) if running and is_stopped else None,
        )

    def end_unresponsive(self, run: int) -> bool:
        ended = super().end_unresponsive(run)
        with self._explained_errors(), self._connection("") as connection:
            database = PostgreSQLDatabase(connection)
            sql = f"SELECT DISTINCT process FROM leases WHERE run=?1 AND until <= {database.current_time(2)}"
            for (process,) in database.all(sql, (run,)):
                if process:
                    name = process_name(number_of(process), host_of(process))
                    ended |= bool(database.all(_END_WRITER, (name,)))
        return ended

    def close(self) -> None:
        self._datastore.close()


class _NamedWriting(StoreWriting):
    """Names the run in the session while it writes."""

    def take_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> None:
        super().take_leases(run, tasks, time_to_live_s)
        self._name(run)

    def extend_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> bool:
        self._name(run)
        return super().extend_leases(run, tasks, time_to_live_s)

    def _name(self, run: int) -> None:
        if run > 0:  # others are leases without a run
            self._db.execute(_NAME_SESSION, (session_name(run),))


class _ExplainedWatch:
    """A watch whose errors are explained."""

    def __init__(self, watch: Watch, explained_errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._watch = watch
        self._explained_errors = explained_errors

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        with self._explained_errors():
            self._watch.wait(timeout_s, stop)


def grants_for(url: str, clock: Clock, *, writer: str | None, reader: str | None) -> str:
    """Returns the SQL by which the owner of a store lets one role run jobs and another read.

    The caller must be the role that owns the store, or will own it: a store is created or upgraded if necessary.

    :raises UsageError: for a role that cannot get such rights, or a store in a file.
    :raises StoreError: if the store cannot be opened.
    """
    if kind_of(url) is StoreKind.SQLITE:
        raise UsageError(
            "an SQLite store is a file, which knows no roles. The rights of the file and of its folder decide who may "
            "write to it, and who may only read it."
        )
    with closing(PostgreSQLStore(url, clock)) as store:
        return store.grants(writer=writer, reader=reader)
