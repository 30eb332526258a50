"""The shared store: a schema of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import psycopg
from eventsourcing.persistence import PersistenceError
from psycopg import Connection
from psycopg.rows import DictRow

from deltamark.application.ports.store import Clock, Reading, Writing
from deltamark.domain.errors import StoreError
from deltamark.infrastructure.store.mapper import ChangeMapper
from deltamark.infrastructure.store.postgresql import schema
from deltamark.infrastructure.store.postgresql.address import address_of
from deltamark.infrastructure.store.postgresql.connection import ChangeDatastore, check_client
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.faults import LOCK_TIMEOUT_S, explained
from deltamark.infrastructure.store.postgresql.recorder import LOCK_LOG, ChangeRecorder
from deltamark.infrastructure.store.tables import STEPS, Step
from deltamark.infrastructure.store.views import RehearsedWriting, StoreReading, StoreWriting

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = f"BEGIN; {LOCK_LOG}"


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
        steps: Sequence[Step] = STEPS,
    ) -> None:
        check_client()
        self._address = address_of(url)
        self._clock = clock
        self._steps = steps
        self._mapper = ChangeMapper()
        self._datastore = ChangeDatastore(self._address, lock_timeout_s=lock_timeout_s)
        self._recorder = ChangeRecorder(self._datastore)
        self._rehearsed: Connection[DictRow] | None = None
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
            schema.prepare(PostgreSQLDatabase(connection), self._address, self._steps)
            self._recorder._create_table(connection.cursor())
            connection.execute("COMMIT")

    def _connection(self, begin: str) -> AbstractContextManager[Connection[DictRow]]:
        return self._datastore.connections.connection(begin)

    @property
    def recorder(self) -> ChangeRecorder:
        """The recorder of the log, for projections of the `eventsourcing` library."""
        return self._recorder

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """See `Store.reading`."""
        with self._explaining():
            if self._rehearsed is not None:
                yield StoreReading(PostgreSQLDatabase(self._rehearsed), self._mapper)
                return
            with self._connection(_READ) as connection:
                yield StoreReading(PostgreSQLDatabase(connection), self._mapper)

    @contextmanager
    def transaction(self) -> Iterator[Writing]:
        """See `Store.transaction`."""
        with self._explaining():
            if self._rehearsed is not None:
                with self._savepoint(self._rehearsed) as rehearsed:
                    yield rehearsed
                return
            with self._connection(_WRITE) as connection:
                writing = StoreWriting(PostgreSQLDatabase(connection), self._mapper, self._clock)
                yield writing
                writing.finish()
                connection.execute("COMMIT")

    @contextmanager
    def _savepoint(self, connection: Connection[DictRow]) -> Iterator[Writing]:
        connection.execute("SAVEPOINT rehearsed")
        try:
            writing = RehearsedWriting(PostgreSQLDatabase(connection), self._mapper, self._clock)
            yield writing
            writing.finish()
        except BaseException:
            connection.execute("ROLLBACK TO rehearsed")
            raise
        finally:
            connection.execute("RELEASE rehearsed")

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """See `Store.rehearsal`."""
        with self._explaining(), self._connection(_WRITE) as connection:
            self._rehearsed = connection
            try:
                yield
            finally:
                self._rehearsed = None

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
        """See `Store.close`."""
        self._datastore.close()
