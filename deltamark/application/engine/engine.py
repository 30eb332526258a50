"""The engine: the public face of Deltamark for programs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Self

import pyarrow as pa

from deltamark.application import arguments
from deltamark.application.derivation.user_functions.call import refuse_inside_a_function
from deltamark.application.engine.history import LookingBack
from deltamark.application.engine.integrity import Rebuilding
from deltamark.application.engine.retention import Keeping
from deltamark.application.engine.runs import Resuming
from deltamark.application.engine.scheduling import Scheduling
from deltamark.application.execution.run_job import run_job, tasks_to_lease
from deltamark.application.history import history
from deltamark.application.history.export import as_table
from deltamark.application.history.follow import Following, follow
from deltamark.application.history.history import ExportedResource
from deltamark.application.integrity.backup import Backup, back_up
from deltamark.application.lookup import entity_type_named, job_named, never_was
from deltamark.application.pending_changes.show import pending_changes
from deltamark.application.ports.progress import no_progress
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.store import Store
from deltamark.application.runs.leases import as_they_are, refuse_if_running
from deltamark.application.runs.observer import Observer, checked
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import RunNotFound, UsageError
from deltamark.domain.history.changes import Horizon, LoggedChange, PendingChange, Position, When
from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import Resource
from deltamark.domain.runs.run import JobRun


class Engine(Resuming, Scheduling, Keeping, LookingBack, Rebuilding):
    """A store with a configuration: runs jobs, and answers what is, was, changed and is dirty.

    Use it in a `with` block, or call `close`. One engine may be used from several threads; a process that was
    forked opens its own. Every method raises `UsageError` for an argument of a wrong type, and after `close`.
    """

    def run_job(
        self,
        job: str,
        *,
        force: bool = False,
        dry_run: bool = False,
        observer: Observer | None = None,
        rehearsed: Callable[[Iterator[LoggedChange | PendingChange]], None] | None = None,
    ) -> JobRun:
        """Runs a job and gives back its record; look at its `state` and at that of its tasks.

        Tasks run one after another, or, where they have levels, those of a level at the same time.

        Each task is one transaction: it happened whole or not at all. A task never runs twice at once, here or on
        other machines; jobs that share no task may run side by side. A run whose process died is ended on record by
        the next one that wants its tasks, a minute after it was heard from last.

        :param force: lets pass what a threshold would hold back.
        :param dry_run: does everything and then undoes it.
        :param observer: is told what happens, by the thread that runs the task: tasks of a level have threads of their
            own, but it is never told twice at once. What it raises stops the run, which is put on record as failed,
            and comes out of this method.
        :param rehearsed: with `dry_run`, is given the changes that would have been made, then those (without a
            position) that a threshold would have held back.
        :raises AlreadyRunning: if another run runs one of the tasks, also for a dry run; nothing was started.
        :raises TakenOver: if this process was stopped, or cut off from the store, for so long that another run took
            the tasks over; nothing was written since.
        :raises UserStartDenied: if only the schedule may start the job; a dry run is nobody denied.
        :raises UsageError: if there is no such job, or if this is called inside a dry run.
        :raises StoreError: if the store cannot be written.
        """
        refuse_inside_a_function("Engine.run_job")
        store = self._store
        found = job_named(job, self.configuration)
        arguments.boolean("force", force)
        watching = checked(observer)
        arguments.boolean("dry_run", dry_run)
        self._refuse_in_a_dry_run()
        refuse_if_running(store, tasks_to_lease(self._services, found))
        with self._rehearsal(store) if dry_run else nullcontext():
            run = run_job(self._services, found, forced=force, observer=watching, is_dry_run=dry_run)
            if dry_run and rehearsed is not None:
                rehearsed(self._rehearsed(run))
        return run

    def _rehearsed(self, run: JobRun) -> Iterator[LoggedChange | PendingChange]:
        yield from self.changes(run=run.number)
        if any(task.state is TaskState.BLOCKED for task in run.tasks):
            yield from self.pending(run.number)

    @contextmanager
    def _rehearsal(self, store: Store) -> Iterator[None]:
        with store.dry_run():
            self._rehearsing.now = True
            try:
                yield
            finally:
                self._rehearsing.now = False

    def changes(
        self,
        after: Position = 0,
        until: When | None = None,
        *,
        entity_type: str | None = None,
        key: str | None = None,
        run: int | None = None,
        kept_only: bool = False,
    ) -> Iterator[LoggedChange]:
        """The log, oldest first.

        Reads in chunks: memory does not grow with the log. Sees the store as it is when the iteration begins;
        what only the store can tell is refused then, not before.

        :param after: exclusive; 0 is before the first change.
        :param until: the last moment, inclusive; None for the present.
        :param kept_only: gives what was not discarded instead of raising `HistoryDiscarded`; `horizons` says what
            is missing then.
        :raises HistoryDiscarded: if `after` lies below a horizon of the entity types asked for.
        :raises UsageError: for an entity type, run or moment that does not exist.
        """
        arguments.position("after", after)
        arguments.moment("until", until)
        arguments.boolean("kept_only", kept_only)
        if entity_type is not None:
            entity_type_named(entity_type, self.configuration)
        wanted = history.ChangeFilter(
            entity_type=entity_type,
            key=arguments.optional_text("a key", key),
            run=None if run is None else arguments.whole_number("the number of a run", run),
        )
        return self._changes(self._store, after, until, wanted, kept_only=kept_only)

    def _changes(
        self, store: Store, after: Position, until: When | None, wanted: history.ChangeFilter, *, kept_only: bool
    ) -> Iterator[LoggedChange]:
        with store.reading() as reading:
            last = None if until is None else history.position_of(reading, until)
            history.position_of(reading, after)
            if not kept_only:
                self._refuse_discarded(reading, after, wanted.entity_type, wanted.run)
            yield from history.changes(reading, after, last, wanted)

    def pending(self, run: int, *, entity_type: str | None = None, key: str | None = None) -> Iterator[PendingChange]:
        """The changes that a threshold held back in a run, in the order in which they would be made.

        They have no position, for they did not happen. They are kept until they are applied, dropped, or superseded by
        a run that synchronizes the connector as a whole.

        :raises UsageError: for an entity type or a run that does not exist, or a run that has no pending changes; when
            the iteration begins.
        """
        arguments.whole_number("the number of a run", run)
        if entity_type is not None:
            entity_type_named(entity_type, self.configuration)
        wanted = history.ChangeFilter(entity_type=entity_type, key=arguments.optional_text("a key", key))
        return self._pending(self._store, run, wanted)

    def _pending(self, store: Store, run: int, wanted: history.ChangeFilter) -> Iterator[PendingChange]:
        with store.reading() as reading:
            yield from pending_changes(reading, run, wanted)

    def follow(
        self,
        after: Position | None = None,
        *,
        entity_type: str | None = None,
        key: str | None = None,
        kept_only: bool = False,
        timeout: float | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[LoggedChange]:
        """The log as it grows: every change beyond a position, oldest first, once; then it waits for more.

        It goes on when the server of the store was away for some minutes. To go on later, another time, give the
        position of the last change that was worked on. PostgreSQL tells of new changes at once; an SQLite file is
        looked at ten times a second.

        :param after: exclusive; None: what happens from now on.
        :param kept_only: as for `changes`.
        :param timeout: ends after so many seconds without a change; None: waits for ever.
        :param stop: ends soon after this is set, in another thread or a signal handler.
        :raises HistoryDiscarded: if changes beyond the place reached were discarded before they were read.
        :raises StoreUnreachable: if the server of the store stays away.
        :raises UsageError: for an entity type or position that does not exist.
        """
        if after is not None:
            arguments.position("after", after)
        if entity_type is not None:
            entity_type_named(entity_type, self.configuration)
        if not isinstance(stop, threading.Event | None):
            raise UsageError(f"stop is a threading.Event, not {type(stop).__name__}.")
        following = Following(
            wanted=history.ChangeFilter(entity_type=entity_type, key=arguments.optional_text("a key", key)),
            kept_only=arguments.boolean("kept_only", kept_only),
            timeout_s=arguments.optional_seconds("timeout", timeout),
            stop=stop or threading.Event(),
        )
        store = self._store
        with store.reading() as reading:
            place = reading.head() if after is None else history.position_of(reading, after)
        return follow(store, self.configuration, place, following)

    def _refuse_discarded(self, reading: Reading, after: Position, entity_type: str | None, run: int | None) -> None:
        if run is None or after:
            history.refuse_below(history.horizon_of(reading, self.configuration, entity_type), after)
            return
        summary = reading.run(run, with_rows=False)
        if summary is not None:
            concerned = history.horizons_of(reading, self.configuration, entity_type)
            mine = [horizon for horizon in concerned if _changed(summary.run, horizon.subject)]
            history.refuse_below(max(mine, key=lambda horizon: horizon.position, default=None), summary.first)

    def horizons(self, entity_type: str | None = None) -> list[Horizon]:
        """How far changes of an entity type and of associations, or of all, were discarded; by name.

        :raises UsageError: for an entity type that does not exist.
        """
        if entity_type is not None:
            entity_type_named(entity_type, self.configuration)
        with self._store.reading() as reading:
            return history.horizons_of(reading, self.configuration, entity_type)

    def history(
        self, entity_type: str, key: str, *, after: Position = 0, until: When | None = None, kept_only: bool = False
    ) -> list[LoggedChange]:
        """One resource's changes and those of its links, oldest first; costs time in proportion to those.

        :param until: the last moment, inclusive; None for the present.
        :param kept_only: as for `changes`.
        :raises HistoryDiscarded: if `after` lies below the horizon of the entity type.
        :raises UsageError: for an entity type that does not exist, or a resource that never did.
        """
        ref = self._ref(entity_type, key)
        found = list(self.changes(after, until, entity_type=entity_type, key=key, kept_only=kept_only))
        if not found:
            with self._store.reading() as reading:
                if reading.resource(ref) is None:
                    raise never_was(reading, ref)
        return found

    def resource(self, entity_type: str, key: str, at: When | None = None) -> Resource | None:
        """A resource now, or as it was; None if it did not exist then.

        :raises HistoryDiscarded: if the moment lies below the horizon.
        :raises UsageError: for an entity type or moment that does not exist.
        """
        ref = self._ref(entity_type, key)
        arguments.moment("at", at)
        with self._store.reading() as reading:
            position = self._moment(reading, entity_type, at)
            found = history.resource_at(reading, ref, position)
        return found if found is not None and found.live else None

    def links(self, entity_type: str, key: str, at: When | None = None) -> list[LinkRef]:
        """The links of a resource now, or as they were, in both directions; raises as `resource` does."""
        ref = self._ref(entity_type, key)
        arguments.moment("at", at)
        with self._store.reading() as reading:
            position = self._moment(reading, entity_type, at)
            return history.links_of(reading, ref, position)

    def _moment(self, reading: Reading, entity_type: str, at: When | None) -> Position | None:
        if at is None:
            return None
        position = history.position_of(reading, at)
        history.refuse_below(history.horizon_of(reading, self.configuration, entity_type), position)
        return position

    def export_resources(self, entity_type: str, at: When | None = None) -> Iterator[ExportedResource]:
        """All resources of a type in key order, now or as they were, with the links that start at them.

        Reads in chunks; raises as `resource` does, when the iteration begins.
        """
        entity_type_named(entity_type, self.configuration)
        arguments.moment("at", at)
        return self._exported(self._store, entity_type, at)

    def _exported(self, store: Store, entity_type: str, at: When | None) -> Iterator[ExportedResource]:
        with store.reading() as reading:
            position = self._moment(reading, entity_type, at)
            yield from history.exported(reading, self.configuration, entity_type, position)

    def export(self, entity_type: str, at: When | None = None) -> pa.Table:
        """All resources of a type in key order as an Arrow table.

        A column for each property in the order of the entity type, typed, then one of keys (a list of texts)
        for each association that starts at the type. Raises as `resource` does.
        """
        found = entity_type_named(entity_type, self.configuration)
        return as_table(self.configuration, found, self.export_resources(entity_type, at))

    def runs(self, newest: int | None = None) -> list[JobRun]:
        """The runs, oldest first, without the rows they set aside; only the `newest` ones if given.

        A run whose process was not heard from for a minute is shown as aborted, before anybody puts that on record.
        """
        if newest is not None:
            arguments.whole_number("the number of newest runs", newest)
        with self._store.reading() as reading:
            return as_they_are(reading, [summary.run for summary in reading.runs(newest)])

    def run(self, number: int) -> JobRun:
        """One run with the rows it set aside; see `runs` for one whose process died.

        :raises UsageError: if there is no run of that number.
        """
        arguments.whole_number("the number of a run", number)
        with self._store.reading() as reading:
            summary = reading.run(number)
            if summary is None:
                raise RunNotFound(number)
            (found,) = as_they_are(reading, [summary.run])
        return found

    def position(self, when: When | None = None) -> Position:
        """The position of a moment, or of the newest event.

        :raises UsageError: for a moment that does not exist.
        """
        arguments.moment("when", when)
        with self._store.reading() as reading:
            return reading.head() if when is None else history.position_of(reading, when)

    def backup(self, file: str | os.PathLike[str], *, overwrite: bool = False) -> Backup:
        """Copies an SQLite store to a file, whole, while jobs run; the copy is a store itself.

        It holds everything that was committed before the call, and takes its name when it is complete, checked and on
        the disk. Jobs do not wait for it.

        :param overwrite: whether a file of that name is replaced.
        :raises UsageError: if there must be no copy in that place; for a store in PostgreSQL, names the command.
        :raises StoreError: if the copy cannot be written; then nothing is left of it.
        """
        target = arguments.path("file", file)
        return back_up(self._store, target, overwrite=arguments.boolean("overwrite", overwrite), progress=no_progress)

    def close(self) -> None:
        """Closes the store. The engine cannot be used afterwards; closing it again does nothing.

        In a process that was forked from the one that opened it, the store is left to that one.
        """
        if not self._is_closed and os.getpid() == self._services.operator.process:
            self._services.store.close()
        self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _changed(run: JobRun, subject: str) -> bool:
    return any(read.subject == subject and task.counts.changed for task in run.tasks for read in task.extracts)
