"""The engine: the public face of Deltamark for programs.

Every method checks what it is given, and hands over to the use case that does the work. What only some methods need
is imported where they hand over: importing this module loads neither DuckDB nor pyarrow.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from deltamark.application import arguments, lookup
from deltamark.application.derivation.user_functions.call import refuse_in_function
from deltamark.application.history import history
from deltamark.application.history.history import ChangeFilter, ExportedResource
from deltamark.application.integrity.backup import Backup, back_up
from deltamark.application.ports.progress import Progress, no_progress
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Space
from deltamark.application.ports.store import Clock, Store
from deltamark.application.runs.observer import Observer, checked
from deltamark.application.runs.show import recorded_run, recorded_runs
from deltamark.application.services import Services, utc_now
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.differences import Verification
from deltamark.domain.derivation.explanation import Explanation
from deltamark.domain.errors import Fault, UsageError
from deltamark.domain.history.changes import (
    Classification,
    CorrelationKey,
    DirtyResource,
    Horizon,
    LoggedChange,
    MatchedPair,
    PendingChange,
    Position,
    RunMoment,
    When,
)
from deltamark.domain.history.diff import LinkDelta, ResourceDelta
from deltamark.domain.history.intervals import HeldLink, HeldValue
from deltamark.domain.integrity.verification import Checkpoint, LogVerification, Replayed
from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import Resource
from deltamark.domain.retention.erasure import Erasure
from deltamark.domain.retention.retention import Retention, keep_of
from deltamark.domain.runs.run import JobRun, LeftOut

if TYPE_CHECKING:
    import pyarrow as pa

    from deltamark.application.scheduling.health import Health
    from deltamark.application.scheduling.notices import Notice

_Row = TypeVar("_Row")


class Engine:
    """A store with a configuration: runs jobs, and answers what is, was, changed and is dirty.

    Open one with `Engine.open`, use it in a `with` block or call `close`. One engine may be used from several
    threads; a process that was forked opens its own. Every method raises `UsageError` for an argument of a wrong type,
    and after `close`.
    """

    # Opening and closing.

    def __init__(self, services: Services, not_built: Sequence[Fault] = ()) -> None:
        self._services = services
        self._not_built = tuple(not_built)
        self._is_closed = False
        self._this_thread = threading.local()

    @classmethod
    def open(
        cls,
        store: str,
        *,
        configuration: Configuration | str | os.PathLike[str] = "configuration",
        export_output: str | os.PathLike[str] = "exports",
        tasks: Iterable[UserTask] = (),
        create: bool = True,
        clock: Clock = utc_now,
        leave_out_unbuilt: bool = False,
    ) -> Engine:
        """Opens a store with a configuration.

        :param store: a URL such as ``sqlite:///deltamark.db`` or ``postgresql://user@host/database``.
        :param configuration: a `Configuration`, or the XML file or folder to load it from.
        :param export_output: the folder of the extracts.
        :param tasks: functions that `task` decorates, for a `PythonTask` to name; besides those of the entry point
            group ``deltamark.tasks``, which is read where a task names a function that is not among them.
        :param create: whether a store that does not exist is made; otherwise it is an error.
        :param clock: gives the time of changes and runs.
        :param leave_out_unbuilt: whether what the files name and this version does not do is left out (`not_built`);
            otherwise it is a fault.
        :raises ConfigurationError: with every fault of the configuration.
        :raises StoreError: if the store cannot be opened.
        :raises UsageError: for an argument of a wrong type.
        """
        from deltamark import bootstrap
        from deltamark.application.derivation.user_functions.decorator import registered

        arguments.text("store, a URL such as sqlite:///deltamark.db,", store)
        arguments.boolean("create", create)
        arguments.boolean("leave_out_unbuilt", leave_out_unbuilt)
        folder = arguments.file("export_output", export_output)
        now = arguments.clock(clock)
        reload, functions = None, tuple(registered(tasks).values())
        if not isinstance(configuration, Configuration):
            files = arguments.file("configuration", configuration, kinds="a Configuration or a path")
            reload = bootstrap.reload_of(files, functions, leave_out_unbuilt=leave_out_unbuilt)
        loaded = bootstrap.checked_configuration(configuration, functions, leave_out_unbuilt=leave_out_unbuilt)
        services = bootstrap.services(loaded, store, folder, create=create, clock=now, reload=reload)
        return cls(services, loaded.notices)

    @property
    def configuration(self) -> Configuration:
        """The configuration in force.

        It is the one that the engine was opened with, or that its schedule loaded since.
        """
        return self._services.configuration

    @property
    def not_built(self) -> tuple[Fault, ...]:
        """A notice for each thing that is not built and was left out when the engine was opened, in file order."""
        return self._not_built

    def close(self) -> None:
        """Closes the store.

        The engine cannot be used afterwards. Closing it again does nothing.

        In a process that was forked from the one that opened it, the store stays open for that one.
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

    # Running jobs.

    def run_job(
        self,
        job: str,
        *,
        force: bool = False,
        dry_run: bool = False,
        observer: Observer | None = None,
        rehearsed: Callable[[Iterator[LoggedChange | PendingChange]], None] | None = None,
    ) -> JobRun:
        """Runs a job and returns its record.

        Look at its `state` and at that of its tasks.

        Tasks run one after another, or, where they have levels, those of a level at the same time.

        Each task is one transaction: it happened whole or not at all. A task never runs twice at once, here or on
        other machines; jobs that share no task may run side by side. A run whose process died is recorded as ended by
        the next one that needs its tasks, a minute after its last heartbeat.

        :param force: ignores thresholds, which would hold changes back.
        :param dry_run: does everything and then undoes it.
        :param observer: is called for what happens, by the thread that runs the task: tasks of a level have threads of
            their own, but it is never called twice at once. What it raises stops the run, which is recorded as failed,
            and is raised again.
        :param rehearsed: with `dry_run`, is given the changes that would have been made, then those (without a
            position) that a threshold would have held back.
        :raises AlreadyRunning: if another run runs one of the tasks, also for a dry run; nothing was started.
        :raises TakenOver: if this process was stopped, or cut off from the store, for so long that another run took
            the tasks over; nothing was written since.
        :raises UserStartDenied: if only the schedule may start the job; dry runs are always allowed.
        :raises UsageError: if there is no such job, or if this is called inside a dry run.
        :raises StoreError: if the store cannot be written.
        """
        from deltamark.application.execution.dry_run import dry_run as run_dry
        from deltamark.application.execution.run_job import run_if_free

        services = self._writing("run_job")
        definition = lookup.job_named(job, services.configuration)
        arguments.boolean("force", force)
        watching = checked(observer)
        if not arguments.boolean("dry_run", dry_run):
            return run_if_free(services, definition, forced=force, observer=watching)
        with self._dry_run():
            return run_dry(services, definition, forced=force, observer=watching, show_changes=rehearsed)

    def resume(self, run: int, *, observer: Observer | None = None) -> JobRun:
        """Resumes a run that was blocked, failed, was interrupted or died, and returns its record.

        It keeps its number and starts with the first task that did not complete. Completed tasks are not run again,
        except a preparation whose synchronization is still to come, and those that flag and compute after a task that
        runs again. A blocked synchronization applies exactly the changes that were held back, whatever its extracts
        hold now. The configuration is the one of this engine.

        :param observer: is called for what happens; see `run_job`.
        :raises CannotResume: if the run is still running, has completed, was cancelled, or its job calls other tasks
            now; or if a later run of the job has completed, unless there are changes held back to apply.
        :raises AlreadyRunning: if another run runs one of the tasks.
        :raises TakenOver: as `run_job`.
        :raises UsageError: if there is no run of that number.
        """
        from deltamark.application.execution.resume_run import resume_run

        arguments.whole_number("the number of a run", run)
        watching = checked(observer)
        return resume_run(self._writing("resume"), run, observer=watching)

    def cancel(self, run: int) -> JobRun:
        """Stops a run, in whatever process and on whatever machine it runs, and returns its record.

        A run that is going on finishes the tasks that are running, starts no more and ends as cancelled; this does not
        wait for that. One that has ended with changes held back drops them, and is cancelled. One whose process died
        is recorded as aborted.

        :raises CannotCancel: if the run has ended and holds nothing back.
        :raises UsageError: if there is no run of that number.
        """
        from deltamark.application.execution.cancel_run import cancel_run

        arguments.whole_number("the number of a run", run)
        return cancel_run(self._writing("cancel"), run)

    def schedule(
        self,
        stop: threading.Event | None = None,
        *,
        told: Callable[[Notice], None] | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Runs jobs with a `CronTabExpression` when they are due, one after another, until stopped.

        Any number of schedulers may share a store: one leads, and another takes over when it ends, or has sent no
        heartbeat for a minute. Each time that a job is due starts one run. What was missed, because no scheduler was at
        work or another run had the tasks, starts one run, late, for all times that were missed together; the record
        of the run says when it was due. A job that is new is due from then on.

        An engine that was opened with the files of a configuration loads them again when they were changed; where they
        have faults, a notice says so, and what was loaded before stays in force.

        :param stop: ends it, soon after this is set in another thread. A run that is going on finishes the tasks that
            are running, starts no more and is cancelled.
        :param told: is given notices of what the scheduler does, by the threads that do it; what it raises stops the
            run that is going on, and ends this.
        :param observer: is called for what happens in every run, as in `run_job`.
        :raises UsageError: if no job has a schedule, or if this is called inside a dry run or a function of a task.
        """
        from deltamark.application.scheduling.scheduler import schedule

        stopped = arguments.event("stop", stop)
        if told is not None and not callable(told):
            raise UsageError(f"told is a function that is given notices, not {type(told).__name__}.")
        watching = checked(observer)
        services = self._writing("schedule")
        schedule(services, stop=stopped, receive=told or (lambda notice: None), observer=watching, adopt=self._adopt)

    def held_back(self) -> tuple[LeftOut, ...]:
        """The connectors whose changes a run holds back until a person decides, by name.

        Incremental jobs leave them out; `resume` applies what a run holds back, `cancel` drops it.
        """
        from deltamark.application.synchronization.hold_back import held_back_connectors

        with self._store.reading() as reading:
            return held_back_connectors(reading, self.configuration)

    def health(self, *, writable: bool = False) -> Health:
        """Whether the schedule is kept.

        It is kept if a scheduler is at work, no job is overdue, and the last runs ended well.

        :param writable: whether to check that the store can be written, too.
        :raises StoreError: if the store cannot be read, or not written.
        """
        from deltamark.application.scheduling.health import health

        return health(self._open, writable=arguments.boolean("writable", writable))

    def runs(self, newest: int | None = None) -> list[JobRun]:
        """The runs, oldest first, without the rows they set aside.

        Only the `newest` ones if given.

        A run without a heartbeat for a minute is shown as aborted, before that is recorded.
        """
        if newest is not None:
            arguments.whole_number("the number of newest runs", newest)
        with self._store.reading() as reading:
            return recorded_runs(reading, newest)

    def run(self, number: int) -> JobRun:
        """One run with the rows it set aside.

        See `runs` for one whose process died.

        :raises UsageError: if there is no run of that number.
        """
        arguments.whole_number("the number of a run", number)
        with self._store.reading() as reading:
            return recorded_run(reading, number)

    def pending(self, run: int, *, entity_type: str | None = None, key: str | None = None) -> Iterator[PendingChange]:
        """The changes that a threshold held back in a run, in the order in which they would be made.

        They have no position, for they did not happen. They are kept until they are applied, dropped, or superseded by
        a run that synchronizes the connector as a whole.

        :raises UsageError: for an entity type or a run that does not exist, or a run that has no pending changes; when
            the iteration begins.
        """
        from deltamark.application.pending_changes.show import pending_changes

        arguments.whole_number("the number of a run", run)
        admitted = self._filter(entity_type, key)
        return self._rows(lambda reading: pending_changes(reading, run, admitted))

    # Reading the log and the state.

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
        :param kept_only: leaves out what was discarded instead of raising `HistoryDiscarded`; `horizons` says what
            is missing then.
        :raises HistoryDiscarded: if `after` lies below a horizon of the entity types asked for.
        :raises UsageError: for an entity type, run or moment that does not exist.
        """
        arguments.position("after", after)
        self._moment("until", until)
        arguments.boolean("kept_only", kept_only)
        admitted = self._filter(entity_type, key, run)
        return self._rows(
            lambda reading: history.kept_changes(
                reading, self.configuration, after, until, admitted, kept_only=kept_only
            )
        )

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
        """The log as it grows: every change beyond a position, oldest first, once.

        Then it waits for more.

        It survives some minutes in which the server of the store is away. To go on another time, give the position of
        the last change that was handled. PostgreSQL announces new changes at once; an SQLite file is looked at ten
        times a second.

        :param after: exclusive; None: what happens from now on.
        :param kept_only: as for `changes`.
        :param timeout: ends after so many seconds without a change; None: waits for ever.
        :param stop: ends soon after this is set, in another thread or a signal handler.
        :raises HistoryDiscarded: if changes beyond the place reached were discarded before they were read.
        :raises StoreUnreachable: if the server of the store stays away.
        :raises UsageError: for an entity type or position that does not exist.
        """
        from deltamark.application.history.follow import FollowOptions, follow

        if after is not None:
            arguments.position("after", after)
        lookup.check_entity_type(entity_type, self.configuration)
        options = FollowOptions(
            stop=arguments.event("stop", stop),
            admitted=self._filter(entity_type, key),
            kept_only=arguments.boolean("kept_only", kept_only),
            timeout_s=arguments.optional_seconds("timeout", timeout),
        )
        return follow(self._store, self.configuration, after, options)

    def history(
        self, entity_type: str, key: str, *, after: Position = 0, until: When | None = None, kept_only: bool = False
    ) -> list[LoggedChange]:
        """The changes of one resource and those of its links, oldest first.

        Costs time in proportion to those.

        :param until: the last moment, inclusive; None for the present.
        :param kept_only: as for `changes`.
        :raises HistoryDiscarded: if `after` lies below the horizon of the entity type.
        :raises UsageError: for an entity type that does not exist, or a resource that never did.
        """
        ref = lookup.ref_of(entity_type, key, self.configuration)
        arguments.position("after", after)
        self._moment("until", until)
        arguments.boolean("kept_only", kept_only)
        with self._store.reading() as reading:
            return history.resource_history(
                reading, self.configuration, ref, after=after, until=until, kept_only=kept_only
            )

    def resource(self, entity_type: str, key: str, at: When | None = None) -> Resource | None:
        """A resource now, or as it was, or None if it did not exist then.

        :raises HistoryDiscarded: if the moment lies below the horizon.
        :raises UsageError: for an entity type or moment that does not exist.
        """
        ref = lookup.ref_of(entity_type, key, self.configuration)
        self._moment("at", at)
        with self._store.reading() as reading:
            return history.resource_at_moment(reading, self.configuration, ref, at)

    def links(self, entity_type: str, key: str, at: When | None = None) -> list[LinkRef]:
        """The links of a resource now, or as they were, in both directions.

        Raises as `resource` does.
        """
        ref = lookup.ref_of(entity_type, key, self.configuration)
        self._moment("at", at)
        with self._store.reading() as reading:
            return history.links_at_moment(reading, self.configuration, ref, at)

    def export_resources(self, entity_type: str, at: When | None = None) -> Iterator[ExportedResource]:
        """All resources of a type in key order, now or as they were, with links that start there.

        Reads in chunks; raises as `resource` does, when the iteration begins.
        """
        lookup.entity_type_named(entity_type, self.configuration)
        self._moment("at", at)
        return self._rows(lambda reading: history.exported(reading, self.configuration, entity_type, at))

    def export(self, entity_type: str, at: When | None = None) -> pa.Table:
        """All resources of a type in key order as an Arrow table.

        A column for each property in the order of the entity type, typed, then one of keys (a list of texts)
        for each association that starts at the type. Raises as `resource` does.
        """
        from deltamark.application.history.export import as_table

        definition = lookup.entity_type_named(entity_type, self.configuration)
        return as_table(self.configuration, definition, self.export_resources(entity_type, at))

    def position(self, when: When | None = None) -> Position:
        """The position of a moment, or of the newest event.

        :raises UsageError: for a moment that does not exist.
        """
        self._moment("when", when)
        with self._store.reading() as reading:
            return reading.head() if when is None else history.position_of(reading, when)

    def horizons(self, entity_type: str | None = None) -> list[Horizon]:
        """How far changes of an entity type and of associations, or of all, were discarded.

        They are in the order of their names.

        :raises UsageError: for an entity type that does not exist.
        """
        lookup.check_entity_type(entity_type, self.configuration)
        with self._store.reading() as reading:
            return history.horizons_of(reading, self.configuration, entity_type)

    # Comparing moments and answering audits.

    def diff(self, entity_type: str, from_: When, to: When) -> Iterator[ResourceDelta | LinkDelta]:
        """What differs between two moments.

        First resources of an entity type by key, then links that start or end at one.

        Applied to the state at `from_` it gives the state at `to`, which may be the earlier moment. Costs time in
        proportion to the changes between the two, and to the own history of the resources that they changed. What only
        the store can tell is refused when the iteration begins.

        :raises HistoryDiscarded: if one of the moments lies below the horizon of the entity type.
        :raises UsageError: for an entity type or moment that does not exist.
        """
        from deltamark.application.history.diff import deltas

        lookup.entity_type_named(entity_type, self.configuration)
        self._some_moment("from_", from_)
        self._some_moment("to", to)
        return self._rows(
            lambda reading: deltas(
                reading,
                entity_type,
                *history.positions_to_compare(reading, self.configuration, entity_type, from_, to),
            )
        )

    def audit(
        self, entity_type: str, property_name: str, from_: When, to: When, *, key: str | None = None
    ) -> Iterator[HeldValue]:
        """Who had what between two moments, and since which change.

        Yields every value of a property, by key and time.

        The property may be a computed one. A value counts if a resource had it at either moment or in between; while a
        resource had no value, there is none. An interval that began before the first moment has the change that began
        it, one that ended after the second the change that ended it. With a key it costs time in proportion
        to the changes of that resource, otherwise to those of the entity type. What only the store can tell is refused
        when the iteration begins.

        :raises HistoryDiscarded: if the first moment lies below the horizon of the entity type.
        :raises UsageError: for an entity type, property or moment that does not exist, a key that never did, or if the
            second moment lies before the first.
        """
        from deltamark.application.history.audit import span_between, values_between

        definition = lookup.entity_type_named(entity_type, self.configuration)
        lookup.property_named(property_name, definition, self.configuration)
        between = self._some_moment("from_", from_), self._some_moment("to", to)
        arguments.optional_text("a key", key)
        return self._rows(
            lambda reading: values_between(
                reading, entity_type, property_name, span_between(reading, entity_type, *between), key
            )
        )

    def audit_association(
        self, association: str, from_: When, to: When, *, key: str | None = None
    ) -> Iterator[HeldLink]:
        """Who was linked to whom between two moments, and since which change.

        Yields every link of an association.

        A link counts if it existed at either moment or in between; they come by source, target and time.

        :param key: only links of the resource with that key, at either end.
        :raises HistoryDiscarded: if the first moment lies below the horizon of the association.
        :raises UsageError: as `audit`.
        """
        from deltamark.application.history.audit import links_between, span_between

        definition = lookup.association_named(association, self.configuration)
        between = self._some_moment("from_", from_), self._some_moment("to", to)
        arguments.optional_text("a key", key)
        return self._rows(
            lambda reading: links_between(reading, definition, span_between(reading, association, *between), key)
        )

    def erased_changes(self, after: When = 0, until: When | None = None, *, run: int | None = None) -> dict[int, int]:
        """How many changes between two moments were erased and are no longer shown.

        Maps the run of each erasure to a count.

        The log no longer holds which resources they belonged to.

        :param after: exclusive; 0 is before the first change.
        :param until: inclusive; None for the present.
        :param run: only those that this run had made.
        :raises UsageError: for a moment that does not exist.
        """
        self._some_moment("after", after)
        self._moment("until", until)
        if run is not None:
            arguments.whole_number("the number of a run", run)
        with self._store.reading() as reading:
            return history.erased_changes(reading, after, until, run)

    def epoch(self) -> str:
        """Which store this is: a text that only this store and its copies have, the same for ever."""
        with self._store.reading() as reading:
            return reading.epoch()

    # What is derived.

    def dirty(self, entity_type: str | None = None, *, task: str | None = None) -> list[DirtyResource]:
        """What the dirty tasks, or one of them, would compute now, by task, entity type and key.

        Also what may follow: resources that read computed values which are about to be computed. They have `through`.
        Changes that no flag task has seen yet are not in it (`unflagged_after`).

        :raises UsageError: for an entity type or task that does not exist, or a task that is not dirty.
        """
        from deltamark.application.flagging.dirty import dirty_resources

        lookup.check_entity_type(entity_type, self.configuration)
        consumers = lookup.dirty_tasks(task, self.configuration)
        with self._store.reading() as reading:
            tasks = self.configuration.all_calls_of(ComputingTask)
            return list(dirty_resources(reading, self._services.plan, tasks, consumers, entity_type))

    def unflagged_after(self) -> Position | None:
        """The position beyond which changes have not been flagged yet, or None where all have been.

        What those make dirty is known once a flag task has run.
        """
        with self._store.reading() as reading:
            after = reading.flagged_to()
            return after if reading.changed_since(after) else None

    def why(self, entity_type: str, key: str, *, task: str | None = None) -> Explanation:
        """Why dirty tasks, or one of them, would compute a resource now.

        Names each change with the path that leads to it, also over computed values that are about to be computed: what
        reads those may follow.

        For a resource that none would compute, since when its derived values are true.

        :raises UsageError: for an entity type or task that does not exist, a task that is not dirty, or a resource
            that never existed.
        """
        from deltamark.application.flagging.explain import explanation

        ref = lookup.ref_of(entity_type, key, self.configuration)
        consumers = lookup.dirty_tasks(task, self.configuration)
        with self._store.reading() as reading:
            tasks = self.configuration.all_calls_of(ComputingTask)
            return explanation(reading, self._services.plan, tasks, consumers, ref)

    def keys(self, rule: str | None = None) -> Iterator[CorrelationKey]:
        """Correlation keys by rule, side and resource.

        :raises UsageError: for a rule that does not exist.
        """
        lookup.check_rule(rule, self.configuration)
        return self._rows(lambda reading: reading.correlation_keys(None if rule is None else [rule]))

    def matches(self, rule: str | None = None) -> Iterator[MatchedPair]:
        """The pairs of a source and a target resource whose keys are equal.

        Raises as `keys` does.
        """
        from deltamark.application.derivation.results import matched_pairs

        lookup.check_rule(rule, self.configuration)
        return self._rows(lambda reading: matched_pairs(reading, self.configuration, rule))

    def classifications(self, entity_type: str | None = None) -> Iterator[Classification]:
        """The resource type that was found for each resource, by entity type and key.

        Gives those of one entity type, or of all.

        :raises UsageError: for an entity type that does not exist.
        """
        from deltamark.application.derivation.results import classifications

        lookup.check_entity_type(entity_type, self.configuration)
        return self._rows(lambda reading: classifications(reading, self.configuration, entity_type))

    def verify_derived(self, *, sample: int | None = None, seed: int = 0) -> Verification:
        """Computes derived values beside those stored, and returns the differences.

        Writes nothing.

        :param sample: checks only so many resources of each entity type, chosen by `seed`; each of their values is
            then computed out of the stored values of what it reads.
        :raises UsageError: for a sample that is no number of 1 or more.
        """
        from deltamark.application.verification.verify import verify_derived

        refuse_in_function("Engine.verify_derived")
        if sample is not None:
            arguments.whole_number("the size of the sample", sample, least=1)
        arguments.whole_number("the seed", seed)
        with self._store.reading() as reading:
            return verify_derived(reading, self._services, sample, seed)

    def repair(self, verification: Verification, *, observer: Observer | None = None) -> JobRun | None:
        """Flags the resources with faults found by a verification, and runs the tasks for them.

        The run is recorded among the others, as job ``*repair*``. None where there were no faults.

        :raises AlreadyRunning: if one of these tasks runs now; the flags are set, and the next run repairs.
        :raises UsageError: if no task of the configuration computes what is wrong, or inside a dry run.
        """
        from deltamark.application.execution.repair import repair

        return repair(self._writing("repair"), verification, observer=checked(observer))

    # The log and the state: proof, repair, copies.

    def checkpoint(self) -> Checkpoint | None:
        """What the log is now, to be kept elsewhere and given to `verify` later.

        None where it is empty.
        """
        with self._store.reading() as reading:
            return reading.checkpoint()

    def verify(self, checkpoint: Checkpoint | None = None) -> LogVerification:
        """Reads the whole log, checks that it is unaltered, and compares its replay with the state.

        Events that were altered, removed, put in or exchanged are found by the digests of the transactions, and their
        positions named. Compared are resources with their values, computed ones too, links, runs, horizons and the
        links that wait for a resource. Jobs may run meanwhile: the store is seen as it is at one instant. Memory does
        not grow with the log.

        Someone who can alter the store can alter the digests alike, or cut off the end of the log: only a checkpoint
        that was kept elsewhere reveals that.

        :param checkpoint: what the log must begin with.
        :raises UsageError: if that is no checkpoint.
        """
        from deltamark.application.integrity.replay import verify_log

        refuse_in_function("Engine.verify")
        if checkpoint is not None:
            if not isinstance(checkpoint, Checkpoint):
                raise UsageError(f"checkpoint is what Engine.checkpoint gave, not {type(checkpoint).__name__}.")
            arguments.whole_number("the position of a checkpoint", checkpoint.position, least=1)
        return verify_log(self._store, no_progress, checkpoint=checkpoint)

    def replay(self, into: str | None = None) -> Replayed:
        """Rebuilds the stored state from the log, in one transaction.

        Readers see the old state until it is done.

        Rows that are as the log says are not written again. Where resources or links were not, the next runs compute
        everything that is derived anew; otherwise flags, places and keys stay as they are.

        :param into: the URL of a new store, of any kind, to fill with the log and its state, instead of this one.
            Flags, keys, pending changes and schedules are copied, leases are not.
        :raises ConcurrentRun: while a run is going on.
        :raises StoreError: if the log is not whole, or a store cannot be written; nothing was changed.
        :raises UsageError: if the store to fill holds anything.
        """
        from deltamark.application.integrity.replay import replay, replay_to

        services = self._writing("replay")
        if into is None:
            return replay(services.store, no_progress)
        arguments.text("into, the URL of a new store,", into)
        return replay_to(services, into, no_progress)

    def backup(self, file: str | os.PathLike[str], *, overwrite: bool = False) -> Backup:
        """Copies an SQLite store to a file, whole, while jobs run.

        The copy is a store itself.

        It holds everything that was committed before the call, and takes its name when it is complete, checked and on
        the disk. Jobs do not wait for it.

        :param overwrite: whether a file of that name is replaced.
        :raises UsageError: if there must be no copy in that place; for a store in PostgreSQL, names the command.
        :raises StoreError: if the copy cannot be written; then nothing is left of it.
        """
        target = arguments.path("file", file)
        return back_up(self._store, target, overwrite=arguments.boolean("overwrite", overwrite), progress=no_progress)

    # Discarding and erasing.

    def retain(
        self,
        connector: str,
        *,
        keep: str | int | timedelta | RunMoment,
        dry_run: bool = False,
        even_unread: bool = False,
        vacuum: bool = False,
        told: Progress = no_progress,
    ) -> Retention:
        """Discards the changes of a connector that are older than what is kept.

        The present state stays.

        Changes that no flag task has flagged, or that made resources dirty for a task that has not computed them yet,
        are kept, and so is what lies beyond them; the result says who has still to read them. It is a run, recorded
        among the others as job ``*retain*``, except where there is nothing to discard. It works in transactions of
        some thousand changes: wherever it is interrupted, the store is whole, and less history is left.

        :param keep: a time span (``"90d"``, a timedelta): the changes that are younger; a number: the newest so many of
            the connector; ``"run:7"`` or ``RunMoment(7)``: those since the beginning of that run.
        :param dry_run: returns what would be discarded, and writes nothing.
        :param even_unread: discards unread changes too. The next flag task flags every resource that depends on the
            connector where it had not seen some of them.
        :param vacuum: gives the space back to the disk afterwards, which needs as much again for a while (SQLite only).
            Without it the store reuses the space.
        :param told: is called with how many changes were discarded, and of how many, again and again.
        :raises AlreadyRunning: if the connector is being synchronized now; nothing was discarded.
        :raises TakenOver: as `run_job`; what was discarded before stays so.
        :raises UsageError: for a connector or a run that does not exist, for what does not say what to keep, and for
            `vacuum` in PostgreSQL, which does it by itself; nothing was discarded.
        """
        from deltamark.application.retention.retain import retain, retain_and_shrink, would_retain

        services = self._writing("retain")
        name = lookup.connector_named(connector, services.configuration).identifier
        kept = keep_of(keep)
        arguments.boolean("even_unread", even_unread)
        if arguments.boolean("vacuum", vacuum):
            services.store.check_shrinkable()
        if arguments.boolean("dry_run", dry_run):
            return would_retain(services, name, kept, even_unread=even_unread)
        discard = retain_and_shrink if vacuum else retain
        return discard(services, name, kept, even_unread=even_unread, progress=told)

    def erase(self, entity_type: str, key: str, *, reason: str, dry_run: bool = False) -> Erasure:
        """Makes what a resource was unreadable, for good: its values, its key and its links.

        Computed values are erased too; all of it in the log, the state, snapshots, correlation keys and flags. A
        resource that exists is deleted first, and what depends on it is flagged. What stays is that changes were made,
        when and by which run, and the record of the erasure with its reason: job ``*erase*`` among the runs. The chain
        of digests still verifies. Rows that were set aside and links that wait are erased too, if they name it. Not
        reached are what other resources computed from it in the past, messages in records of runs that name the key
        (the result lists the runs), extracts, exports and backups. If a source still has the resource, the next
        synchronization creates it anew.

        What is deleted may still lie on the disk until it is overwritten; `scrub` overwrites it.

        :param reason: why, or by which request; it is recorded.
        :param dry_run: returns what would be erased, and writes nothing.
        :raises ConcurrentRun: while a run is going on; nothing was erased.
        :raises ErasedResource: if it was erased before.
        :raises UsageError: for an entity type or a resource that never existed, an empty reason, or while changes are
            held back; nothing was erased.
        """
        from deltamark.application.retention.erase import erase, would_erase

        services = self._writing("erase")
        ref = lookup.ref_of(entity_type, key, services.configuration)
        arguments.text("reason", reason)
        use_case = would_erase if arguments.boolean("dry_run", dry_run) else erase
        return use_case(services, ref, reason)

    def scrub(self) -> str | None:
        """Overwrites what was deleted and may still lie on the disk.

        Needs as much space again for a while.

        :returns: None when it is done; in PostgreSQL, the statements by which the owner of the tables does it.
        """
        return self._store.scrub()

    def space(self) -> Space:
        """How much of the disk the store takes, and how much of that is free inside."""
        return self._store.space()

    # What the methods share.

    @property
    def _open(self) -> Services:
        """The parts of the engine, refused when it is closed or when another process opened it."""
        if self._is_closed:
            raise UsageError("this engine is closed. Open another one with Engine.open.")
        process = self._services.operator.process
        if os.getpid() != process:
            raise UsageError(
                f"this engine was opened by process {process}, of which this one ({os.getpid()}) was forked. Open "
                "another one here with Engine.open."
            )
        return self._services

    @property
    def _store(self) -> Store:
        return self._open.store

    def _writing(self, method: str) -> Services:
        """The parts of the engine.

        Refused inside a function of a task and inside a dry run of this thread.
        """
        refuse_in_function(f"Engine.{method}")
        services = self._open
        if getattr(self._this_thread, "is_in_a_dry_run", False):
            raise UsageError("a dry run is going on in this thread: what runs inside it would be undone with it.")
        return services

    @contextmanager
    def _dry_run(self) -> Iterator[None]:
        self._this_thread.is_in_a_dry_run = True
        try:
            yield
        finally:
            self._this_thread.is_in_a_dry_run = False

    def _adopt(self, services: Services) -> None:
        """Takes over the services that the schedule made for a changed configuration."""
        self._services = services

    def _filter(self, entity_type: str | None, key: str | None, run: int | None = None) -> ChangeFilter:
        lookup.check_entity_type(entity_type, self.configuration)
        return ChangeFilter(
            entity_type=entity_type,
            key=arguments.optional_text("a key", key),
            run=None if run is None else arguments.whole_number("the number of a run", run),
        )

    def _moment(self, what: str, value: object) -> When | None:
        """The value, which must name a moment that is not in the future, or None."""
        when = arguments.moment(what, value)
        if isinstance(when, datetime):
            with self._store.reading() as reading:
                history.refuse_future(reading, when, self._services.clock())
        return when

    def _some_moment(self, what: str, value: object) -> When:
        """The value, which must name a moment that is not in the future."""
        self._moment(what, value)
        return arguments.some_moment(what, value)

    def _rows(self, query: Callable[[Reading], Iterable[_Row]]) -> Iterator[_Row]:
        """What a query gives.

        The store is refused now and read when the iteration begins.
        """
        return _read(self._store, query)


def _read(store: Store, query: Callable[[Reading], Iterable[_Row]]) -> Iterator[_Row]:
    with store.reading() as reading:
        yield from query(reading)
