"""What stores of every kind share: transactions, dry runs, and the explanation of errors."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import datetime
from typing import Generic, TypeVar

from eventsourcing.persistence import PersistenceError

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import ExportedView
from deltamark.application.ports.store import Clock
from deltamark.domain.errors import ROW_ERRORS, DeltamarkError, StoreError, StoreMissing, store_damaged
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.mapper import ChangeMapper, from_micros
from deltamark.infrastructure.store.transactions import DryRunWriting, StoreReading
from deltamark.infrastructure.system.processes import end_stopped, number_of

DriverError = TypeVar("DriverError", bound=Exception)


class DatabaseStore(ABC, Generic[DriverError]):
    """A store in a database. Each kind adds its connections, its transactions and its errors."""

    _driver_error: type[DriverError]
    """The base of the errors that the database driver raises."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._mapper = ChangeMapper()
        self._dry_runs = threading.local()

    @abstractmethod
    def _reading_transaction(self, token: str | None = None) -> AbstractContextManager[Database]:
        """A transaction that reads one state of the store.

        :param token: of an exported view, which is read instead of what is there now.
        """

    @abstractmethod
    def _writing_transaction(self) -> AbstractContextManager[Writing]:
        """A transaction that commits at the end of the block.

        It undoes everything if the block raises.
        """

    @abstractmethod
    def _explained(self, error: DriverError) -> DeltamarkError:
        """Returns what users read about an error of the driver."""

    @property
    def _dry_run(self) -> Callable[[], Database] | None:
        """Makes a database in the dry run of this thread, or None if this thread has no dry run."""
        return getattr(self._dry_runs, "new_database", None)

    @contextmanager
    def reading(self, view: ExportedView | None = None) -> Iterator[StoreReading]:
        with (
            self._explained_errors(),
            self._database(None if view is None else view.token) as database,
            closing(StoreReading(database, self._mapper, self._clock)) as reading,
        ):
            if view is not None and (reading.epoch(), reading.head()) != (view.epoch, view.head):
                raise StoreError(
                    f"{self._name}: it is not what the run sees: position {reading.head():,} in place of "
                    f"{view.head:,}, or another store. The run has ended, or the settings name another store."
                )
            yield reading

    @contextmanager
    def _database(self, token: str | None = None) -> Iterator[Database]:
        if self._dry_run is not None:
            yield self._dry_run()
            return
        with self._reading_transaction(token) as database:
            yield database

    @contextmanager
    def transaction(self) -> Iterator[Writing]:
        with (
            self._explained_errors(),
            self._writing_transaction() if self._dry_run is None else self._savepoint(self._dry_run()) as writing,
        ):
            yield writing

    def _run_of(self, is_writer: Callable[[str], bool]) -> tuple[str, tuple[int, datetime]] | None:
        """Returns the process that `is_writer` recognizes among those that hold leases, its run, and since when."""
        with suppress(self._driver_error, StoreError), self._reading_transaction() as database:
            for process, run, taken_at in database.all(
                "SELECT process, run, min(taken_at) FROM leases GROUP BY process, run ORDER BY run DESC"
            ):
                if process and is_writer(process):
                    return process, (run, from_micros(taken_at))
        return None

    def end_unresponsive(self, run: int) -> bool:
        with self._explained_errors(), self._database() as database:
            processes = database.all("SELECT DISTINCT process FROM leases WHERE run=?1", (run,))
        ended = False
        for (process,) in processes:
            try:
                ended |= end_stopped(process)
            except PermissionError:
                raise StoreError(
                    f"{self._name}: process {number_of(process)} of run {run} is stopped, and belongs to another user. "
                    "Nothing was changed. Let its user, or an administrator, end it."
                ) from None
        return ended

    @contextmanager
    def _as_dry_run(self, new_database: Callable[[], Database]) -> Iterator[None]:
        """Makes the transactions of this thread savepoints of one transaction during the block."""
        self._dry_runs.new_database, self._dry_runs.ended_by = new_database, None
        try:
            yield
        finally:
            self._dry_runs.new_database = self._dry_runs.ended_by = None

    @contextmanager
    def _savepoint(self, database: Database) -> Iterator[Writing]:
        if not database.is_in_transaction:
            raise self._dry_runs.ended_by or StoreError(
                f"{self._name}: the database ended the transaction of this dry run. Nothing was changed. Run it again."
            )
        database.execute("SAVEPOINT dry_run")
        try:
            with closing(DryRunWriting(database, self._mapper, self._clock)) as writing:
                yield writing
                writing.finish()
        except BaseException as e:
            if database.is_in_transaction:
                database.execute("ROLLBACK TO dry_run")
            else:
                # The database undid the whole transaction, for example on a full disk. Further statements would commit.
                self._dry_runs.ended_by = e
            raise
        finally:
            if database.is_in_transaction:
                database.execute("RELEASE dry_run")

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except self._driver_error as e:
            raise self._explained(e) from e
        except PersistenceError as e:
            if isinstance(e.__cause__, self._driver_error):
                raise self._explained(e.__cause__) from e
            raise StoreError(f"{self._name}: {e}. What was being written was undone.") from e
        except ROW_ERRORS as e:
            damage = self.damage()
            if damage is None:
                raise
            raise damage from e

    def damage(self) -> StoreError | None:
        """Checks the whole store, and returns the error for what is found first, or None if it is intact."""
        try:
            with (
                self._reading_transaction() as database,
                closing(StoreReading(database, self._mapper, self._clock)) as view,
            ):
                verification = view.verify(lambda done, total: None)
        except self._driver_error as e:
            return store_damaged(f"{self._name}: it cannot be read ({e})")
        except StoreError:
            return None  # it was closed, or cannot be reached
        found = next(iter(verification.discrepancies), None)
        if found is None:
            return None
        return store_damaged(
            f"{self._name}: {found.subject}: {found.problem}",
            effect="What was being written was undone.",
            alternative="" if found.needs_backup else "replay the log: `deltamark replay`",
        )

    def _no_store_yet(self, place: object) -> StoreMissing:
        return StoreMissing(
            f"{place}: there is no store yet. Run a job first (`deltamark run JOB`), or name another with --store."
        )
