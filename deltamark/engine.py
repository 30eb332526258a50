"""The engine: the public face of Deltamark for programs.

Every method checks what it is given, and hands over to the use case that does the work. What only some methods need
is imported where they hand over: importing this module loads neither DuckDB nor pyarrow.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from attrs import evolve

from deltamark.application import arguments, lookup
from deltamark.application.adoption.configurations import adoptions, known_configuration
from deltamark.application.derivation.user_functions.call import refuse_in_function
from deltamark.application.history import arrow_rows, history
from deltamark.application.history.arrow_rows import RowIterator, RowList
from deltamark.application.history.history import ChangeFilter, ExportedResource, Folded
from deltamark.application.history.model import (
    ModelChoice,
    TypeModel,
    check_property,
    known_association,
    known_type,
    present_type_model,
    type_model_at,
)
from deltamark.application.history.projection import Misfit, Projection
from deltamark.application.integrity.backup import Backup, back_up
from deltamark.application.ports.progress import Progress, no_progress
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Space
from deltamark.application.ports.sources import Probe
from deltamark.application.ports.store import Clock, Store
from deltamark.application.runs.observer import Observer, checked
from deltamark.application.runs.show import newest_runs, recorded_run, recorded_runs, set_aside_page
from deltamark.application.services import Services, utc_now
from deltamark.domain.adoption.configuration_adopted import AdoptedConfiguration, Adoption
from deltamark.domain.adoption.decommission import Decommission, DecommissionAction, NameKind
from deltamark.domain.adoption.plan import ADOPTION_LIMIT, AdoptionPlan
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask, Job, Task, TaskState
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.differences import Verification
from deltamark.domain.derivation.explanation import Explanation
from deltamark.domain.derivation.plan import Planned
from deltamark.domain.derivation.simulation import SAMPLES
from deltamark.domain.errors import Fault, UsageError
from deltamark.domain.history.changes import (
    ChangeKind,
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
from deltamark.domain.history.consumer import ConsumerPlace, ConsumerStatus, checked_name
from deltamark.domain.history.diff import LinkDelta, ResourceDelta
from deltamark.domain.history.intervals import HeldLink, HeldValue
from deltamark.domain.history.pages import (
    AmbiguousKey,
    ChangePage,
    DirtyCount,
    PendingCount,
    PendingPage,
    ResourcePage,
    SetAsidePage,
)
from deltamark.domain.history.report import ResourceReport
from deltamark.domain.integrity.verification import Checkpoint, LogVerification, Replayed, VerificationRecord
from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import Resource, ResourceRef
from deltamark.domain.retention.erasure import Erasure
from deltamark.domain.retention.retention import Retention, keep_of
from deltamark.domain.runs.run import JobRun, LeftOut
from deltamark.domain.sinks.dead_letters import DeadLetter
from deltamark.domain.sources.places import KeptPlace
from deltamark.domain.statements import checked_person, checked_program, checked_reason
from deltamark.domain.synchronization.direct_input import all_tables, tables_of_job
from deltamark.domain.values import Value, shown

if TYPE_CHECKING:
    import pyarrow as pa

    from deltamark.application.execution.given_jobs import JobToRun
    from deltamark.application.history.consumers import Consumer
    from deltamark.application.notifications.notify import Notified
    from deltamark.application.retention.chosen import Chosen
    from deltamark.application.scheduling.health import Health
    from deltamark.application.scheduling.notices import Notice
    from deltamark.application.simulation.simulate import Simulation
    from deltamark.application.sinks.dead_letters import Retried
    from deltamark.application.sinks.deliver import Delivered
    from deltamark.application.sinks.show import SinkStatus
    from deltamark.domain.notifications.record import NotificationRecord
    from deltamark.domain.synchronization.recorded_changes import RecordedChange

_Row = TypeVar("_Row")
_State = TypeVar("_State")


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
        self._is_borrowed = False
        self._counted: tuple[Position, dict[str, int]] | None = None
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
        adoption: int = ADOPTION_LIMIT,
        sources: Mapping[str, Any] | None = None,
        connections: Mapping[str, Mapping[str, object]] | None = None,
        notify: Mapping[str, Mapping[str, object]] | None = None,
        memory: str | None = None,
        threads: int | None = None,
        temporary: str | os.PathLike[str] | None = None,
        workers: str | None = None,
        cluster: Mapping[str, str] | None = None,
    ) -> Engine:
        """Opens a store with a configuration.

        :param store: a URL such as ``sqlite:///deltamark.db`` or ``postgresql://user@host/database``; ``sqlite://`` is
            a new store in memory, which only this engine has, and which is gone when it is closed.
        :param configuration: a `Configuration`, or the XML file or folder to load it from.
        :param export_output: the folder of the extracts.
        :param tasks: functions that `task` decorates, for a `PythonTask` to name; besides those of the entry point
            group ``deltamark.tasks``, which is read where a task names a function that is not among them.
        :param create: whether a store that does not exist is made; otherwise it is an error (`StoreMissing`).
        :param clock: gives the time of changes and runs.
        :param leave_out_unbuilt: whether what the files name and this version does not do is left out (`not_built`);
            otherwise it is a fault.
        :param adoption: how many values, resources and links a run may convert or remove by adopting a changed
            configuration, and a tenth of that of an entity type or association that was dropped as a whole; more waits
            for `adopt`.
        :param sources: connection table -> what stands for it in every run: a function without arguments that returns
            what `run_job` takes as one of its `extracts`, or a table that can be read again and again.
        :param connections: connection -> its settings, as they would be in `[deltamark.connections.NAME]`:
            ``{"HR_Source": {"server": "postgresql://host/hr", "user": "reader", "password": "env:HR_PASSWORD"}}``. In
            place of a reference, a secret may be a `Secret`.
        :param notify: channel by which people are told of runs -> its settings, as in `[deltamark.notify.NAME]`. What
            happens is sent when `notify` is called.
        :param memory: the most memory that a comparison or computation may take, such as ``2GB``; what needs more is
            written to the temporary folder. This and the next two are those of the process: None leaves them as they
            are, at first ``1GB``, 2 threads and the temporary folder of the system.
        :param threads: how many threads a comparison or computation uses.
        :param temporary: the folder in which temporary folders are made, which only this user may read.
        :param workers: processes that compute for runs: ``processes:4``, ``dask://127.0.0.1:8786`` for a scheduler of
            Dask on this machine, or ``tls://host:8786`` for one elsewhere; None for none. A program with workers begins
            its work below ``if __name__ == "__main__":``.
        :param cluster: what would be in `[deltamark.cluster]`: ``ca``, ``certificate`` and ``key`` for TLS, and the
            ``store`` and ``password`` of workers.
        :raises ConfigurationError: with every fault of the configuration, or of the settings of connections.
        :raises StoreError: if the store cannot be opened.
        :raises UsageError: for an argument of a wrong type.
        """
        from deltamark import bootstrap
        from deltamark.application.derivation.user_functions.decorator import registered
        from deltamark.config.connections import checked_settings
        from deltamark.config.notifications import checked_channels

        arguments.text("store, a URL such as sqlite:///deltamark.db,", store)
        arguments.boolean("create", create)
        arguments.boolean("leave_out_unbuilt", leave_out_unbuilt)
        arguments.whole_number("adoption, the limit,", adoption)
        bootstrap.change_work_limits(
            memory, threads, None if temporary is None else arguments.file("temporary", temporary)
        )
        folder = arguments.file("export_output", export_output)
        now = arguments.clock(clock)
        reload, functions = None, tuple(registered(tasks).values())
        if not isinstance(configuration, Configuration):
            files = arguments.file("configuration", configuration, kinds="a Configuration or a path")
            reload = bootstrap.reload_of(files, functions, leave_out_unbuilt=leave_out_unbuilt)
        settings, channels = checked_settings(connections), checked_channels(notify)
        loaded = bootstrap.checked_configuration(configuration, functions, leave_out_unbuilt=leave_out_unbuilt)
        direct_input = bootstrap.direct_input(
            "sources",
            sources,
            all_tables(loaded.configuration, loaded.evaluator.transformed),
            "the configuration",
            again=True,
        )
        services = bootstrap.services(
            loaded,
            store,
            folder,
            create=create,
            clock=now,
            reload=reload,
            adoption_limit=adoption,
            connections=settings,
            channels=channels,
            check_other=lambda other: bootstrap.checked_configuration(
                other, functions, leave_out_unbuilt=leave_out_unbuilt
            ),
            direct_input=direct_input,
            workers=bootstrap.checked_workers(workers, cluster),
        )
        return cls(services, loaded.notices)

    @property
    def configuration(self) -> Configuration:
        """The configuration in force.

        It is the one that the engine was opened with, or that its schedule loaded since.
        """
        return self._services.configuration

    def configuration_changed(self) -> bool:
        """Whether the files of the configuration differ from those in force: they were changed since.

        False where the engine was opened with a `Configuration`. A schedule loads them by itself.
        """
        reload = self._open.reload
        return reload is not None and reload.differs()

    def as_operator(self, user: str, *, via: str | None = None) -> Engine:
        """This engine in the name of a person: what it writes on record is done `by` that person.

        It shares the store with this one; closing it does not close that. So a server records who did what::

            engine.as_operator("ann", via="web").cancel(30, reason="wrong file")

        :param user: recorded as `by`, beside the account of the process; not verified.
        :param via: the program by which it is done, a short word; recorded with runs that are started, resumed or
            cancelled.
        """
        services = self._open
        person = checked_person(arguments.text("user", user))
        program = None if via is None else checked_program(arguments.text("via", via))
        engine = Engine(evolve(services, operator=evolve(services.operator, by=person, via=program)), self._not_built)
        engine._is_borrowed = True
        engine._counted = self._counted
        engine._this_thread = self._this_thread
        return engine

    @property
    def not_built(self) -> tuple[Fault, ...]:
        """A notice for each thing that is not built and was left out when the engine was opened, in file order."""
        return self._not_built

    def close(self) -> None:
        """Closes the store.

        The engine cannot be used afterwards. Closing it again does nothing.

        In a process that was forked from the one that opened it, the store stays open for that one.
        """
        if not self._is_closed and not self._is_borrowed and os.getpid() == self._services.operator.process:
            if self._services.workers is not None:
                self._services.workers.close()
            self._services.store.close()
        self._is_closed = True

    def __repr__(self) -> str:
        return f"<Engine: {'closed' if self._is_closed else 'open'}, {self.configuration!r}>"

    def _repr_html_(self) -> str:
        return f"<p>{'Closed' if self._is_closed else 'Open'} engine</p>{self.configuration._repr_html_()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Running jobs.

    def run_job(
        self,
        job: str | Job,
        *,
        force: bool = False,
        force_read: bool = False,
        dry_run: bool = False,
        by: str | None = None,
        reason: str | None = None,
        observer: Observer | None = None,
        rehearsed: Callable[[Iterator[LoggedChange | PendingChange]], None] | None = None,
        extracts: Mapping[str, Any] | None = None,
    ) -> JobRun:
        """Runs a job and returns its record.

        Look at its `state` and at that of its tasks, or call its `raise_for_state`.

        Tasks run one after another, or, where they have levels, those of a level at the same time.

        Each task is one transaction: it happened whole or not at all. A task never runs twice at once, here or on
        other machines; jobs that share no task may run side by side. A run whose process died is recorded as ended by
        the next one that needs its tasks, a minute after its last heartbeat.

        :param job: the identifier of a job of the configuration; or a `Job` that the configuration does not have. It is
            checked like one that it has, and recorded with the run, so that `resume` and ``deltamark resume`` go on
            with it. Tasks that the configuration has under the same identifier must be the same; functions must be
            called by tasks of the configuration.
        :param force: ignores thresholds, which would hold changes back.
        :param force_read: compares every extract, also one that an earlier run applied as it is, and that would change
            nothing: corrects what was altered in the store by other means.
        :param dry_run: does everything and then undoes it.
        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why, or by which request; it is recorded.
        :param observer: is called for what happens, by the thread that runs the task: tasks of a level have threads of
            their own, but it is never called twice at once. What it raises stops the run, which is recorded as failed,
            and is raised again.
        :param rehearsed: with `dry_run`, is given the changes that would have been made, then those (without a
            position) that a threshold would have held back.
        :param extracts: connection table -> what stands for its file in this run: an Arrow table or stream (of
            pyarrow, pandas, Polars, a DuckDB relation), a list or generator of rows (mappings, instances of attrs or
            data classes) or of batches, or a function that returns one of these. It is read once, by the task that
            needs it, which may be in another thread; what it raises fails that task. `Delta` says that each row has a
            command; otherwise it is the whole table, and what is missing in it is deleted.
        :raises AdoptionWaits: if the configuration was changed, and adopting it converts or removes more than a run
            may; nothing was started.
        :raises AlreadyRunning: if another run runs one of the tasks, also for a dry run; nothing was started.
        :raises TakenOver: if this process was stopped, or cut off from the store, for so long that another run took
            the tasks over; nothing was written since.
        :raises UserStartDenied: if only the schedule may start the job; dry runs are always allowed.
        :raises ConfigurationError: with every fault of a `Job` that does not fit the configuration.
        :raises UsageError: if there is no such job, if the configuration has another job or task of the same
            identifier, or if this is called inside a dry run.
        :raises StoreError: if the store cannot be written.
        """
        from deltamark.application.execution.given_jobs import job_to_run

        services = self._recording("run_job", by, reason, of="the run")
        return self._run(services, job_to_run(services, job), force, dry_run, observer, rehearsed, extracts, force_read)

    def run_task(
        self,
        task: str | Task,
        *,
        force: bool = False,
        force_read: bool = False,
        dry_run: bool = False,
        by: str | None = None,
        reason: str | None = None,
        observer: Observer | None = None,
        rehearsed: Callable[[Iterator[LoggedChange | PendingChange]], None] | None = None,
        extracts: Mapping[str, Any] | None = None,
    ) -> JobRun:
        """Runs one task alone and returns the record of the run, whose job is called ``*task:IDENTIFIER*``.

        Its parents and its level do not matter. Everything else is as `run_job` does it.

        :param task: the identifier of a task of the configuration; or a task that it does not have, such as
            ``SynchronizeTask("HR", identifier="HR now")``.
        """
        from deltamark.application.execution.given_jobs import task_to_run

        services = self._recording("run_task", by, reason, of="the run")
        return self._run(
            services, task_to_run(services, task), force, dry_run, observer, rehearsed, extracts, force_read
        )

    def record(
        self,
        connector: str,
        changes: Iterable[RecordedChange],
        *,
        force: bool = False,
        dry_run: bool = False,
        by: str | None = None,
        reason: str | None = None,
        observer: Observer | None = None,
    ) -> JobRun:
        """Records single changes of what a connector feeds, and returns the record of the run.

        It is a run of its own, whose job is called ``*record:CONNECTOR*``, and one transaction. Values are checked and
        converted, rows set aside, and thresholds applied as for a delta of the connector; incremental tasks follow with
        the next job. A complete extract that does not hold the changes undoes them.

        :param changes: `Upsert`, `Delete`, `Link` and `Unlink`; those of one resource or link apply in their order, and
            links after resources. Texts are written as the mapping says; other values are taken as they are. The line
            of a change in the log counts the changes of its entity type or association.
        :param force: ignores thresholds, which would hold changes back.
        :param dry_run: does everything and then undoes it.
        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why, or by which request; it is recorded.
        :param observer: is called for what happens; see `run_job`.
        :raises UsageError: for a connector that does not exist, and for a change of what it does not feed; nothing was
            started.
        """
        from deltamark.application.execution.record_changes import changes_to_record

        services = self._recording("record", by, reason, of="the changes")
        arguments.text("a connector", connector)
        given, job = changes_to_record(services, connector, changes)
        return self._run(given, job, force, dry_run, observer, None, None)

    def _run(
        self,
        services: Services,
        chosen: JobToRun,
        force: bool,
        dry_run: bool,
        observer: Observer | None,
        rehearsed: Callable[[Iterator[LoggedChange | PendingChange]], None] | None,
        extracts: Mapping[str, Any] | None,
        force_read: bool = False,
    ) -> JobRun:
        from deltamark.application.execution.dry_run import dry_run as run_dry
        from deltamark.application.execution.run_job import run_if_free

        services = self._with_input(services, chosen.job, extracts)
        arguments.boolean("force", force)
        arguments.boolean("force_read", force_read)
        watching = checked(observer)
        if not arguments.boolean("dry_run", dry_run):
            return run_if_free(
                services,
                chosen.job,
                forced=force,
                reads_anew=force_read,
                observer=watching,
                definition=chosen.definition,
            )
        with self._dry_run():
            return run_dry(
                services,
                chosen.job,
                forced=force,
                reads_anew=force_read,
                observer=watching,
                show_changes=rehearsed,
            )

    def resume(
        self,
        run: int,
        *,
        dry_run: bool = False,
        by: str | None = None,
        reason: str | None = None,
        observer: Observer | None = None,
        rehearsed: Callable[[Iterator[LoggedChange | PendingChange]], None] | None = None,
        extracts: Mapping[str, Any] | None = None,
    ) -> JobRun:
        """Resumes a run that was blocked, failed, was interrupted or died, and returns its record.

        It keeps its number and starts with the first task that did not complete. Completed tasks are not run again,
        except a preparation whose synchronization is still to come, and those that flag and compute after a task that
        runs again. A blocked synchronization applies exactly the changes that were held back, whatever its extracts
        hold now. The configuration is the one of this engine; a job or task that was given to the run is the one on
        record. The engine keeps what was given as `extracts` to the run and read as a whole, as long as the run is
        among the last few that did not complete. Another engine must be given it again.

        :param dry_run: does everything and then undoes it: what accepting would do to everything that is computed.
        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why, or by which request; it is recorded.
        :param observer: is called for what happens; see `run_job`.
        :param rehearsed: with `dry_run`, is given the changes that would have been made, then those that a threshold
            would hold back again.
        :param extracts: connection table -> what stands for it, as in `run_job`; what it does not name is as it was.
        :raises CannotResume: if the run is still running, has completed, was cancelled, or its job calls other tasks
            now; or if a later run of the job has completed, unless there are changes held back to apply; or if it
            needs a table that was given to it, and is not there any more.
        :raises AdoptionWaits: as `run_job`.
        :raises AlreadyRunning: if another run runs one of the tasks.
        :raises TakenOver: as `run_job`.
        :raises UsageError: if there is no run of that number.
        """
        from deltamark.application.execution.dry_run import dry_resume
        from deltamark.application.execution.resume_run import resume_run

        arguments.whole_number("the number of a run", run)
        watching = checked(observer)
        services = self._recording("resume", by, reason, of="resuming the run")
        given = self._checked_input(services, None, extracts)
        if not arguments.boolean("dry_run", dry_run):
            return resume_run(services, run, observer=watching, given=given)
        with self._dry_run():
            return dry_resume(services, run, observer=watching, show_changes=rehearsed, given=given)

    def cancel(self, run: int, *, by: str | None = None, reason: str | None = None) -> JobRun:
        """Stops a run, in whatever process and on whatever machine it runs, and returns its record.

        A run that is going on finishes the tasks that are running, starts no more and ends as cancelled; a user's
        function that is being called is ended. This does not wait for that. One that has ended with changes held back
        drops them, and is cancelled. One whose process died is recorded as aborted.

        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why, or by which request; it is recorded.
        :raises CannotCancel: if the run has ended and holds nothing back.
        :raises UsageError: if there is no run of that number.
        """
        from deltamark.application.execution.cancel_run import cancel_run

        arguments.whole_number("the number of a run", run)
        return cancel_run(self._recording("cancel", by, reason, of="cancelling the run"), run)

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

    def left_out(self, job: str) -> tuple[LeftOut, ...]:
        """The connectors that a job leaves out if it runs now, because a run holds their changes back.

        :raises UsageError: if there is no such job.
        """
        from deltamark.application.lookup import job_named
        from deltamark.application.synchronization.hold_back import left_out_by_job

        with self._store.reading() as reading:
            return left_out_by_job(reading, self.configuration, job_named(job, self.configuration))

    def health(self, *, writable: bool = False) -> Health:
        """Whether the schedule is kept.

        It is kept if a scheduler is at work, no job is overdue, and the last runs ended well.

        :param writable: whether to check that the store can be written, too.
        :raises StoreError: if the store cannot be read, or not written.
        """
        from deltamark.application.scheduling.health import health

        return health(self._open, writable=arguments.boolean("writable", writable))

    def runs(
        self,
        newest: int | None = None,
        *,
        before: int | None = None,
        job: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> RowList[JobRun]:
        """The runs, oldest first, without the rows they set aside: a list with Arrow forms (`RowList`).

        Only the `newest` ones if given. With any of the other parameters, those that are all that is named, newest
        first.

        A run without a heartbeat for a minute is shown as aborted, before that is recorded.

        :param before: only runs with a number below this one: that of the last run of the page before.
        :param job: only of the job of this identifier; also of one that left the configuration.
        :param state: only in this state, such as ``completed``, ``blocked`` or ``running``.
        :param since: only those that started then or later.
        :param limit: how many at most; 50 where one of the others is given.
        :raises UsageError: for something that is no state, a time without zone, and `newest` with one of the others.
        """
        if newest is not None:
            arguments.whole_number("the number of newest runs", newest)
        others = (before, job, state, since, limit)
        if all(value is None for value in others):
            with self._store.reading() as reading:
                return arrow_rows.run_list(recorded_runs(reading, newest))
        if newest is not None:
            raise UsageError("newest gives the oldest first, all others the newest: give limit in its place.")
        if since is not None and (not isinstance(since, datetime) or since.tzinfo is None):
            raise UsageError("since is a datetime with a time zone.")
        number = None if before is None else arguments.whole_number("the number of a run", before)
        most = 50 if limit is None else arguments.whole_number("the limit", limit)
        wanted = None if state is None else arguments.member("the state of a run", TaskState, state)
        with self._store.reading() as reading:
            return arrow_rows.run_list(
                newest_runs(
                    reading,
                    before=number,
                    job=arguments.optional_text("the name of a job", job),
                    state=wanted,
                    since=since,
                    limit=most,
                )
            )

    def run(self, number: int, *, with_rows: bool = True) -> JobRun:
        """One run with the rows it set aside.

        See `runs` for one whose process died.

        :param with_rows: whether with the rows that it set aside; without them it is read in no time (`set_aside`).
        :raises UsageError: if there is no run of that number.
        """
        arguments.whole_number("the number of a run", number)
        arguments.boolean("with_rows", with_rows)
        with self._store.reading() as reading:
            return recorded_run(reading, number, with_rows=with_rows)

    def set_aside(self, run: int, *, after: int = 0, limit: int = 50) -> SetAsidePage:
        """Some of the rows that a run set aside, in the order in which they were recorded.

        :param after: what the page before has as `next`; 0 for the first page.
        :param limit: how many at most.
        :raises UsageError: if there is no run of that number.
        """
        arguments.whole_number("the number of a run", run)
        arguments.whole_number("after", after)
        arguments.whole_number("the limit", limit, least=1)
        with self._store.reading() as reading:
            return set_aside_page(reading, run, after, limit)

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

    def pending_page(
        self,
        run: int,
        *,
        after: int = 0,
        limit: int = 50,
        kind: str | None = None,
        entity_type: str | None = None,
        key: str | None = None,
    ) -> PendingPage:
        """Some of the changes that a threshold held back in a run, in the order in which they would be made.

        :param after: what the page before has as `next`; 0 for the first page.
        :param limit: how many at most.
        :param kind: only of this kind, as for `changes`.
        :param entity_type: only of resources of this type, and of links at either end.
        :raises UsageError: as `pending`, at once.
        """
        from deltamark.application.pending_changes.show import pending_page

        arguments.whole_number("the number of a run", run)
        arguments.whole_number("after", after)
        arguments.whole_number("the limit", limit, least=1)
        admitted = self._filter(entity_type, key, kind=kind)
        with self._store.reading() as reading:
            return pending_page(reading, run, admitted, after, limit)

    def pending_counts(self, run: int) -> list[PendingCount]:
        """How many changes a threshold held back in a run, by task, kind and entity type or association.

        :raises UsageError: for a run that does not exist, or that has no pending changes.
        """
        from deltamark.application.pending_changes.show import pending_counts

        arguments.whole_number("the number of a run", run)
        with self._store.reading() as reading:
            return pending_counts(reading, run)

    # The configuration as part of history.

    def plan(self) -> AdoptionPlan:
        """What adopting the configuration of this engine will do.

        Says for each difference from the configuration in force how many values, resources and links are converted,
        removed or added, and what is computed anew. Writes nothing. `adopt` and the next run do exactly that, if
        nothing else is changed before.

        :raises StoreError: if the store cannot be read.
        """
        from deltamark.application.adoption.plan import adoption_plan

        refuse_in_function("Engine.plan")
        with self._store.reading() as reading:
            return adoption_plan(self._open, reading)

    def adopt(self, *, by: str | None = None, reason: str | None = None) -> AdoptedConfiguration | None:
        """Puts the configuration of this engine into force, and returns it as the log has it.

        Converts and removes what `plan` shows, in the same transaction. Returns None where it is in force already. The
        first run under a configuration adopts it too, unless that converts or removes too much; this does it
        without a job, whatever it converts or removes, and can say why. It is a run, recorded among the others as job
        ``*adopt*``.

        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why, or by which request; it is recorded.
        :raises ConfigurationError: if the configuration holds what XML cannot express.
        :raises OtherConfigurationInUse: while a run goes on; nothing was changed.
        :raises UsageError: for an empty reason, or if this is called inside a dry run.
        """
        from deltamark.application.adoption.adopt import adopt_now

        services = self._recording("adopt", by, reason, of="the adoption")
        position = adopt_now(services)
        if position is None:
            return None
        with services.store.reading() as reading:
            return known_configuration(reading, services, position)

    def simulate(
        self,
        configuration: Configuration | str | os.PathLike[str],
        at: When | None = None,
        job: str | None = None,
        *,
        samples: int = SAMPLES,
        told: Progress = no_progress,
    ) -> Simulation:
        """What computed properties, correlation keys, matches and classifications would be under a configuration.

        Returns them as a difference from what they are now, or were at a moment. It is what a copy of the store would
        hold that adopts the configuration and computes everything. Nothing is written to the store; others may write
        to it meanwhile. The state is copied to a temporary folder, which is removed at the end.

        Functions of users are called. They are those that this engine was opened with, or those of the configuration.

        :param configuration: a `Configuration`, or the XML file or folder to load it from.
        :param at: the moment of the state; the present if it is None. Keys and classifications of a past moment, which
            the log does not have, are those that the configuration in force then gives.
        :param job: a job of the configuration: only what its tasks compute; None for the tasks of all jobs.
        :param samples: how many changes of each property and rule are among its `differences`; `table` has all.
        :param told: is called with how many steps were done, and of how many, again and again.
        :raises ConfigurationError: with every fault of the configuration.
        :raises HistoryDiscarded: if changes after the moment were discarded.
        :raises UsageError: for a job or a moment that does not exist.
        """
        from deltamark.application.simulation.simulate import simulate

        refuse_in_function("Engine.simulate")
        services = self._open
        arguments.whole_number("samples, their number,", samples)
        when = self._moment("at", at)
        if job is not None:
            arguments.text("a job", job)
        assert services.other_configuration is not None, "the services of an engine can take another configuration"
        other = (
            services
            if configuration is services.configuration
            else services.other_configuration(services, configuration)
        )
        return simulate(services, other, at=when, job=job, samples=samples, progress=told)

    def configurations(self) -> list[Adoption]:
        """The adoptions of configurations, oldest first, without the configurations themselves.

        A configuration that came into force again is there again.
        """
        with self._store.reading() as reading:
            return adoptions(reading)

    def configuration_at(self, when: When) -> AdoptedConfiguration:
        """The configuration that was in force at a moment, with its adoption.

        :raises ConfigurationUnknown: if it is unknown: before the first adoption of a log that an earlier version
            began, which did not keep configurations.
        :raises UsageError: for a moment that does not exist.
        """
        moment = self._some_moment("when", when)
        services = self._open
        with services.store.reading() as reading:
            return known_configuration(reading, services, history.position_of(reading, moment))

    def decommission(
        self,
        name: str,
        how: Literal["delete", "freeze"] | None = None,
        *,
        by: str | None = None,
        reason: str | None = None,
        kind: Literal["connector", "type", "association"] | None = None,
        force: bool = False,
        dry_run: bool = False,
    ) -> Decommission:
        """Decides about what the store holds and nothing feeds any more: deletes it, or freezes it on purpose.

        Nothing feeds an entity type or association that no mapping fills, or whose connector no job synchronizes, under
        the configuration of this engine and the one in force. A connector stands for all that it fed last and nothing
        feeds now. It is a run, recorded among the others as job ``*decommission*``, and one transaction.

        Deleting removes resources and links with ordinary events of that run, and flags what depends on them: the next
        incremental jobs compute it anew. Links that a connector still names wait for their resources. What was deleted
        stays in history. Freezing changes no resource: it is an event of its own, and `health`, `plan` and the check of
        the configuration no longer warn of what is frozen. Both last until a configuration is adopted that feeds it.

        :param how: ``"delete"`` or ``"freeze"``; None only asks what there is, as in a dry run.
        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why, or by which request; it is recorded, and required to delete and freeze.
        :param kind: what the name is of, where a connector, an entity type and an association share it.
        :param force: deletes also more than a tenth of what `Engine.open` calls `adoption`.
        :param dry_run: returns what would be decommissioned, and writes nothing.
        :returns: what the store holds of it; `run` is None where that is nothing, and nothing was recorded.
        :raises ConcurrentRun: while a run goes on, if something is to be deleted.
        :raises DecommissionWaits: if more would be deleted than that, without `force`; nothing was changed.
        :raises UsageError: for a name that nothing ever had, for what is fed, for an empty reason, and while changes
            that concern it are held back; nothing was changed.
        """
        from deltamark.application.decommission.decommission import Order, decommission, would_decommission

        services = self._recording("decommission", by, reason, of="the decision")
        arguments.text("the name of a connector, an entity type or an association", name)
        is_dry = arguments.boolean("dry_run", dry_run) or how is None
        if not is_dry:
            arguments.text("reason", reason)
        order = Order(
            name=name,
            kind=None if kind is None else arguments.member("kind", NameKind, kind),
            action=None if how is None else arguments.member("how", DecommissionAction, how),
            forced=arguments.boolean("force", force),
        )
        return would_decommission(services, order) if is_dry else decommission(services, order)

    # Reading the log and the state.

    def changes(
        self,
        after: Position = 0,
        until: When | None = None,
        *,
        entity_type: str | None = None,
        key: str | None = None,
        run: int | None = None,
        task: str | None = None,
        user: str | None = None,
        property_name: str | None = None,
        association: str | None = None,
        rule: str | None = None,
        connector: str | None = None,
        kind: str | None = None,
        before: Position | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        kept_only: bool = False,
    ) -> RowIterator[LoggedChange]:
        """The log, oldest first: the changes that are all that is named. An iterator with Arrow forms (`RowIterator`).

        Reads in chunks: memory does not grow with the log. Sees the store as it is when the iteration begins;
        what only the store can tell is refused then, not before. To show some of a long log, see `changes_page`.

        :param after: exclusive; 0 is before the first change.
        :param until: the last moment, inclusive; None for the present.
        :param task: only by the task of this identifier.
        :param user: only of runs that this account made, or that were made for this person (`by`).
        :param property_name: only where this property was created, changed or deleted.
        :param association: only of its links.
        :param rule: only values that this rule computed: named by its property (``Mail`` or ``Person:Mail``), the
            identifier of its expression, or its function.
        :param connector: only changes of the resources and links that this connector feeds, or fed by a configuration
            of the past, without computed values.
        :param kind: only ``created``, ``updated``, ``deleted``, ``linked`` or ``unlinked``; or ``computed``, which are
            those updates that a task computed.
        :param before: the first position that is not wanted any more; None for the end of the log.
        :param newest_first: gives the newest change first.
        :param limit: how many at most; None for all.
        :param kept_only: leaves out what was discarded instead of raising `HistoryDiscarded`; `horizons` says what
            is missing then.
        :raises HistoryDiscarded: if `after` lies below a horizon of the entity types asked for.
        :raises UsageError: for a run or moment that does not exist, for a name that neither the log nor a configuration
            ever knew, and for a property or rule together with an association.
        """
        arguments.position("after", after)
        self._moment("until", until)
        arguments.boolean("kept_only", kept_only)
        arguments.boolean("newest_first", newest_first)
        most = None if limit is None else arguments.whole_number("the limit", limit)
        if before is not None:
            arguments.position("before", before)
            if until is not None:
                raise UsageError("until and before both name an end. Give one of them.")
        admitted = self._change_filter(
            self._filter(entity_type, key, run, kind), task, user, property_name, association, rule, connector
        )

        def query(reading: Reading) -> Iterator[LoggedChange]:
            end = until if before is None else min(max(before - 1, 0), reading.head())
            changes = history.kept_changes(
                reading, self.configuration, after, end, admitted, kept_only=kept_only, newest_first=newest_first
            )
            return islice(changes, most)

        def read(schema: pa.Schema, at_most: int) -> Iterator[pa.RecordBatch]:
            with self._store.reading() as reading:
                for batch, names in history.kept_change_batches(
                    reading, self.configuration, after, until, at_most, kept_only=kept_only
                ):
                    yield arrow_rows.named_batch(batch, names, schema)

        is_whole = admitted == ChangeFilter() and before is None and most is None and not newest_first
        return arrow_rows.changes_read(self._rows(query), read if is_whole else None)

    def changes_page(
        self,
        *,
        after: Position | None = None,
        before: Position | None = None,
        until: When | None = None,
        entity_type: str | None = None,
        key: str | None = None,
        run: int | None = None,
        kind: str | None = None,
        task: str | None = None,
        user: str | None = None,
        property_name: str | None = None,
        association: str | None = None,
        rule: str | None = None,
        connector: str | None = None,
        limit: int = 50,
        budget_s: float | None = None,
    ) -> ChangePage:
        """Some changes of the log that are all that is named, newest first, with how far the log was searched for them.

        ``page = engine.changes_page(entity_type="Person")`` are the newest; while ``page.more``,
        ``engine.changes_page(before=page.scanned_to, entity_type="Person")`` are the next.

        The other filters are those of `changes`. What was discarded is not refused: `horizon` of the page says so.

        :param after: gives the changes beyond this position, oldest first.
        :param before: gives the changes below this position, newest first; None, without `after`: the newest.
        :param until: only changes up to this moment, inclusive.
        :param limit: how many at most.
        :param budget_s: ends the search after about so many seconds, with what was found by then, and `more` is True;
            None: searches until there are `limit` changes or the log ends.
        :raises UsageError: as for `changes`; and for both of `after` and `before`.
        """
        from deltamark.application.history.pages import change_page

        if after is not None and before is not None:
            raise UsageError("after and before name two directions. Give one of them.")
        if after is not None:
            arguments.position("after", after)
        if before is not None:
            arguments.position("before", before)
        self._moment("until", until)
        arguments.whole_number("the limit", limit, least=1)
        budget = arguments.optional_seconds("budget_s", budget_s)
        admitted = self._change_filter(
            self._filter(entity_type, key, run, kind), task, user, property_name, association, rule, connector
        )
        with self._store.reading() as reading:
            if after is not None:
                history.position_of(reading, after)
            last = reading.head() if until is None else history.position_of(reading, until)
            return change_page(
                reading,
                self.configuration,
                admitted,
                after=after or 0,
                until=max(last, after or 0) if before is None else min(max(before - 1, 0), last),
                newest_first=after is None,
                limit=limit,
                budget_s=budget,
            )

    def follow(
        self,
        after: Position | None = None,
        *,
        entity_type: str | None = None,
        key: str | None = None,
        task: str | None = None,
        user: str | None = None,
        property_name: str | None = None,
        association: str | None = None,
        rule: str | None = None,
        connector: str | None = None,
        kept_only: bool = False,
        timeout: float | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[LoggedChange]:
        """The log as it grows: every change beyond a position, oldest first, once.

        Then it waits for more.

        It survives some minutes in which the server of the store is away. To go on another time, give the position of
        the last change that was handled. PostgreSQL announces new changes at once; an SQLite file is looked at ten
        times a second.

        The filters are those of `changes`; a task or user may be one that is still to come.

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
        self._check_type(entity_type)
        options = FollowOptions(
            stop=arguments.event("stop", stop),
            admitted=self._change_filter(
                self._filter(entity_type, key),
                task,
                user,
                property_name,
                association,
                rule,
                connector,
                may_come=True,
            ),
            kept_only=arguments.boolean("kept_only", kept_only),
            timeout_s=arguments.optional_seconds("timeout", timeout),
        )
        return follow(self._store, self.configuration, after, options)

    def fold(
        self,
        initial: _State,
        function: Callable[[_State, LoggedChange], _State],
        *,
        after: Position = 0,
        until: When | None = None,
        entity_type: str | None = None,
        key: str | None = None,
        kept_only: bool = False,
    ) -> Folded[_State]:
        """Folds changes with a function, oldest first: ``function(… function(initial, first) …, last)``.

        Sees the store as it is now. Memory does not grow with the log, only with what the function returns. What it
        raises ends the fold.

        :param function: takes what was folded so far and the next change, and returns what was folded with it.
        :param after: exclusive; 0 is before the first change. To go on another time, give the position of the result.
        :param until: the last moment, inclusive; None for the present.
        :param kept_only: as for `changes`.
        :returns: what was folded, and the position up to which it takes account of the log.
        :raises HistoryDiscarded: if `after` lies below a horizon of the entity types asked for.
        :raises UsageError: for an entity type or moment that does not exist, or one before `after`.
        """
        from deltamark.application.history.history import folded

        arguments.position("after", after)
        self._moment("until", until)
        arguments.boolean("kept_only", kept_only)
        if not callable(function):
            raise UsageError(f"function is called with each change, and must be callable, not {shown(repr(function))}.")
        admitted = self._filter(entity_type, key)
        with self._store.reading() as reading:
            return folded(reading, self.configuration, initial, function, after, until, admitted, kept_only=kept_only)

    # Programs that read the log.

    def consumer(self, name: str, *, after: When = 0) -> Consumer:
        """A program that reads the log, with a place of its own that the store keeps under this name.

        The first call with a name makes the place. Retention keeps what it has not read; what is discarded all the same
        it is told when it reads next. `consumers` lists the places, `remove_consumer` drops one.

        :param after: where a new one begins: a moment before the first change that it reads; 0 is the beginning of
            the log. Without effect where there is one of that name.
        :raises UsageError: for something that is no name, or a moment that does not exist.
        """
        from deltamark.application.history.consumers import Consumer, registered_place

        services = self._writing("consumer")
        checked_name(arguments.text("the name of a consumer", name))
        when = self._some_moment("after", after)
        return Consumer(self, lambda: self._writing("consumer"), registered_place(services.store, name, when))

    def consumers(self) -> list[ConsumerStatus]:
        """All consumers by name, each with its place and what it has still to read.

        Counting that takes time in proportion to it.
        """
        from deltamark.application.history.consumers import consumer_statuses

        with self._store.reading() as reading:
            return consumer_statuses(reading)

    def reset_consumer(self, name: str, when: When) -> ConsumerPlace:
        """Moves the place of a consumer to any moment, backwards too, and returns it.

        A process that reads with this name now gets `ConsumerMoved` when it acknowledges.

        :raises UsageError: for a consumer or a moment that does not exist.
        """
        from deltamark.application.history.consumers import reset_consumer

        services = self._writing("reset_consumer")
        arguments.text("the name of a consumer", name)
        return reset_consumer(services.store, name, self._some_moment("when", when))

    def remove_consumer(self, name: str) -> ConsumerPlace:
        """Drops the place of a consumer, and returns it: retention keeps nothing for it any longer.

        :raises UsageError: for a consumer that does not exist.
        """
        from deltamark.application.history.consumers import remove_consumer

        services = self._writing("remove_consumer")
        return remove_consumer(services.store, arguments.text("the name of a consumer", name))

    def history(
        self,
        entity_type: str,
        key: str,
        *,
        after: Position = 0,
        until: When | None = None,
        kept_only: bool = False,
        before: Position | None = None,
        limit: int | None = None,
    ) -> RowList[LoggedChange]:
        """The changes of one resource and those of its links, oldest first: a list with Arrow forms (`RowList`).

        Costs time in proportion to those. Of a resource with very many, ask for the newest (`limit`), which come
        newest first; then for those `before` the position of the last; what was discarded is left out then.

        :param until: the last moment, inclusive; None for the present.
        :param before: gives the changes below this position, newest first.
        :param limit: gives so many at most, newest first; 50 where only `before` is given.
        :param kept_only: as for `changes`.
        :raises HistoryDiscarded: if `after` lies below the horizon of the entity type.
        :raises UsageError: for an entity type that does not exist, or a resource that never did.
        """
        ref = self._ref(entity_type, key)
        arguments.position("after", after)
        self._moment("until", until)
        arguments.boolean("kept_only", kept_only)
        if before is not None or limit is not None:
            from deltamark.application.history.pages import newest_history

            if after or until is not None:
                raise UsageError("with before or limit, the newest changes come first: leave out after and until.")
            end = None if before is None else arguments.position("before", before)
            most = 50 if limit is None else arguments.whole_number("the limit", limit)
            with self._store.reading() as reading:
                below = reading.head() + 1 if end is None else end
                return arrow_rows.change_list(newest_history(reading, ref, below, most))
        with self._store.reading() as reading:
            changes = history.resource_history(
                reading, self.configuration, ref, after=after, until=until, kept_only=kept_only
            )
        return arrow_rows.change_list(changes)

    def resource(self, entity_type: str, key: str, at: When | None = None) -> Resource | None:
        """A resource now, or as it was, or None if it did not exist then.

        :raises HistoryDiscarded: if the moment lies below the horizon.
        :raises UsageError: for an entity type or moment that does not exist.
        """
        ref = self._ref(entity_type, key)
        self._moment("at", at)
        with self._store.reading() as reading:
            return history.resource_at_moment(reading, self.configuration, ref, at)

    def links(self, entity_type: str, key: str, at: When | None = None) -> list[LinkRef]:
        """The links of a resource now, or as they were, in both directions.

        Raises as `resource` does.
        """
        ref = self._ref(entity_type, key)
        self._moment("at", at)
        with self._store.reading() as reading:
            return history.links_at_moment(reading, self.configuration, ref, at)

    def counts(self) -> dict[str, int]:
        """How many resources of each entity type exist: of those of the configuration, and others that the store has.

        They are counted once for each end of the log: a million in less than a second, asked again at once.
        """
        with self._store.reading() as reading:
            head = reading.head()
            if self._counted is None or self._counted[0] != head:
                self._counted = head, reading.live_resource_counts()
            stored = self._counted[1]
        configured = {definition.identifier: 0 for definition in self.configuration.entity_types}
        return {**configured, **stored}

    def resources(
        self,
        entity_type: str,
        *,
        after: str | None = None,
        prefix: str = "",
        where: Mapping[str, Value] | None = None,
        limit: int = 50,
        budget_s: float | None = None,
    ) -> ResourcePage:
        """Some existing resources of an entity type, as they are now, in the order of their keys.

        ``page = engine.resources("Person", where={"Location": "Lisbon"})`` are the first; while ``page.more``,
        ``engine.resources("Person", after=page.scanned_to, where=...)`` are the next.

        :param after: only with keys beyond this one.
        :param prefix: only with keys that begin so.
        :param where: property -> value: only those that have all of these values. A text also finds the number or
            Boolean that is written so; None finds those without a value. No index helps with that.
        :param limit: how many at most.
        :param budget_s: ends the search after about so many seconds, with what was found by then, and `more` is True.
        :raises UsageError: for an entity type or a property that does not exist and never did.
        """
        from deltamark.application.history.resource_pages import resource_page

        self._check_type(arguments.text("an entity type", entity_type))
        wanted = self._wanted(entity_type, where)
        after_key = arguments.optional_text("a key", after)
        arguments.text("prefix", prefix)
        arguments.whole_number("the limit", limit, least=1)
        budget = arguments.optional_seconds("budget_s", budget_s)
        with self._store.reading() as reading:
            return resource_page(
                reading, entity_type, after=after_key, prefix=prefix, where=wanted, limit=limit, budget_s=budget
            )

    def export_resources(
        self,
        entity_type: str,
        at: When | None = None,
        *,
        model: ModelChoice = "then",
        where: Mapping[str, Value] | None = None,
    ) -> Iterator[ExportedResource]:
        """All resources of a type in key order, now or as they were, with links that start there.

        Reads in chunks; raises as `export` does, when the iteration begins.

        :param where: property -> value: only those that have all of these values then (see `resources`).
        """
        services = self._of_type(entity_type, at, model)
        wanted = self._wanted(entity_type, where)

        def query(reading: Reading) -> Iterator[ExportedResource]:
            _, resources = _exported(reading, services, entity_type, at, model, wanted)
            yield from resources

        return self._rows(query)

    def export_view(
        self,
        entity_type: str,
        at: When | None = None,
        *,
        model: ModelChoice = "then",
        where: Mapping[str, Value] | None = None,
    ) -> tuple[TypeModel, Iterator[ExportedResource]]:
        """What `type_model` and `export_resources` give, of one view of the store.

        A configuration that is adopted meanwhile changes neither. Raises as `export` does. The view ends with the
        iteration, or when the iterator is closed.
        """
        services = self._of_type(entity_type, at, model)
        wanted = self._wanted(entity_type, where)

        def query(reading: Reading) -> Iterator[TypeModel | ExportedResource]:
            shown_by, resources = _exported(reading, services, entity_type, at, model, wanted)
            yield shown_by
            yield from resources

        rows = self._rows(query)
        return cast("TypeModel", next(rows)), cast("Iterator[ExportedResource]", rows)

    def export_batches(
        self,
        entity_type: str,
        at: When | None = None,
        *,
        where: Mapping[str, Value] | None = None,
        with_links: bool = True,
        rows: int = 2_000,
    ) -> pa.RecordBatchReader:
        """What `export` gives, as a stream of batches: memory does not grow with the number of resources.

        They are read twice from one view of the store, because the type of a column depends on all of its values.
        Raises as `export` does.

        :param with_links: whether associations have columns.
        :param rows: how many a batch has at most.
        """
        import pyarrow as pa

        from deltamark.application.history.export import as_batches

        services = self._of_type(entity_type, at, "then")
        wanted = self._wanted(entity_type, where)
        arguments.whole_number("the number of rows", rows, least=1)

        def query(reading: Reading) -> Iterator[pa.Schema | pa.RecordBatch]:
            shown_by, _ = _exported(reading, services, entity_type, at, "then", wanted)
            schema, batches = as_batches(
                shown_by,
                lambda: _exported(reading, services, entity_type, at, "then", wanted)[1],
                with_links=with_links,
                rows=rows,
            )
            yield schema
            yield from batches

        parts = self._rows(query)
        return pa.RecordBatchReader.from_batches(next(parts), parts)

    def export(
        self,
        entity_type: str,
        at: When | None = None,
        *,
        model: ModelChoice = "then",
        where: Mapping[str, Value] | None = None,
    ) -> pa.Table:
        """All resources of a type in key order as an Arrow table.

        A column for each property in the order of the entity type, typed, then one of keys (a list of texts)
        for each association that starts at the type: those of the model at the moment. A column in which a value is not
        of the type of its property is one of texts.

        :param model: ``"now"``: only what fits the present model of the type; `misfits` says what does not.
        :param where: property -> value: only those that have all of these values then (see `resources`).
        :raises HistoryDiscarded: if the moment lies below the horizon.
        :raises UsageError: for a moment that does not exist, or an entity type that never did; with ``"now"`` also for
            one that is not configured now.
        """
        from deltamark.application.history.export import as_table

        services = self._of_type(entity_type, at, model)
        wanted = self._wanted(entity_type, where)
        with services.store.reading() as reading:  # one: an adoption in between would give columns that rows lack
            return as_table(*_exported(reading, services, entity_type, at, model, wanted))

    def type_model(self, entity_type: str, at: When | None = None, *, model: ModelChoice = "then") -> TypeModel:
        """The properties and associations by which `export` shows an entity type.

        They are those of the configuration in force at the moment. Where none of that time was kept, they are those of
        the present one, and what the store holds besides. Raises as `export` does.
        """
        services = self._of_type(entity_type, at, model)
        with services.store.reading() as reading:
            position = history.moment(reading, services.configuration, entity_type, at)
            if model == "now":
                return present_type_model(services, entity_type)
            return type_model_at(reading, services, entity_type, position)

    def misfits(self, entity_type: str, at: When | None = None) -> list[Misfit]:
        """What resources had at a moment that the present model of their type has no place for.

        It is what `export` with the present model leaves out. Raises as that does.
        """
        services = self._of_type(entity_type, at, "now")
        with services.store.reading() as reading:
            position = history.moment(reading, services.configuration, entity_type, at)
            then = type_model_at(reading, services, entity_type, position)
            projection = Projection(then, present_type_model(services, entity_type))
            return projection.misfits(history.exported(reading, then, position))

    def position(self, when: When | None = None) -> Position:
        """The position of a moment, or of the newest event.

        :raises UsageError: for a moment that does not exist.
        """
        self._moment("when", when)
        with self._store.reading() as reading:
            return reading.head() if when is None else history.position_of(reading, when)

    def wait(self, after: Position, timeout: float | None = None) -> Position:
        """Waits until the log has grown beyond a position, and returns where it ends then.

        Returns the end of the log too when the time is over: compare it with `after`. PostgreSQL announces new events
        at once; an SQLite file is looked at ten times a second. To read the changes themselves, see `follow`.

        :param timeout: how many seconds at most; None: for ever.
        :raises StoreUnreachable: if the server of the store stays away.
        """
        from deltamark.application.history.follow import wait_beyond

        arguments.position("after", after)
        return wait_beyond(self._store, after, arguments.optional_seconds("timeout", timeout))

    def places(self) -> list[KeptPlace]:
        """How far the source of each connection was applied, by connection."""
        from deltamark.application.sources.places import kept_places

        return kept_places(self._store)

    def forget_place(self, connection: str, *, reason: str, by: str | None = None) -> KeptPlace:
        """Gives the place in the source of a connection up, on record: the next export of it reads everything.

        Returns the place that was forgotten.

        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why; it is recorded.
        :raises UsageError: if no place of it is kept, or if this is called inside a dry run.
        :raises StoreError: if the store cannot be written.
        """
        from deltamark.application.sources.places import forget_place

        arguments.text("connection, the name,", connection)
        services = self._recording("forget_place", by, arguments.text("reason", reason), of="the place")
        return forget_place(services, connection)

    def probe(self, connection: str) -> Probe:
        """Asks a source whether it can be read, without reading rows, or a sink whether it takes changes, sending none.

        :raises UsageError: if there is no such connection, or if it has no tables.
        """
        name = arguments.text("connection, the name,", connection)
        if any(sink.identifier == name for sink in self.configuration.sinks):
            from deltamark.application.sinks.deliver import probe_sink

            return probe_sink(self._services, name)
        from deltamark.application.sources.export import probe

        return probe(self._services, name)

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels by which people are told of runs."""
        return tuple(self._open.channels)

    def register_channels(self) -> None:
        """Makes new channels known: people are told of what happens from now on."""
        from deltamark.application.notifications.notify import register_channels

        services = self._writing("register_channels")
        if services.channels:
            register_channels(services)

    def notify(self) -> list[Notified]:
        """Tells people by each channel how runs ended, and of schedules that are not kept: each once.

        A process that ends between sending and putting that on record sends the same again, with the same id. What is
        not sent is tried again by later calls, after longer and longer pauses.

        :raises UsageError: if this is called inside a dry run.
        """
        from deltamark.application.notifications.notify import notify

        services = self._writing("notify")
        return notify(services) if services.channels else []

    def notifications(self, *, sent: bool = False) -> list[NotificationRecord]:
        """What channels are still to be told of, and what failed, oldest first.

        :param sent: also what was sent, of the last 90 days.
        """
        from deltamark.application.notifications.notify import notifications

        return notifications(self._open, sent=arguments.boolean("sent", sent))

    def retry_notifications(self, channel: str | None = None) -> int:
        """Makes due again what failed for good, and returns how many notifications these are.

        :param channel: only of this one.
        :raises UsageError: for a channel that there is not, or if this is called inside a dry run.
        """
        from deltamark.application.notifications.notify import retry_notifications

        return retry_notifications(self._writing("retry_notifications"), channel)

    def probe_channel(self, channel: str) -> Probe:
        """Tries a channel, without sending anything.

        :raises UsageError: for a channel that there is not.
        """
        from deltamark.application.notifications.notify import channel_named, probe_channel

        services = self._open
        return probe_channel(services, channel_named(services, arguments.text("channel, the name,", channel)))

    def deliver(self, sink: str, *, dry_run: bool = False) -> Delivered:
        """Delivers the changes beyond the place of a sink to it, up to the present end of the log.

        The sink is a consumer under the name of its connection. Its place moves as it confirms, and only then: it gets
        each change at least once, in order, with the same id whenever it is sent.

        :param dry_run: only counts what would be delivered.
        :raises SinkError: if the sink does not take them; what it confirmed before counts.
        :raises SinkStopped: if the sink said that it takes no more.
        :raises ConsumerMoved: if another process delivers to it at the same time.
        :raises UsageError: for a name that is no sink of the configuration, or if this is called inside a dry run.
        """
        from deltamark.application.sinks.deliver import deliver

        services = self._writing("deliver")
        return deliver(services, arguments.text("sink, the name,", sink), dry_run=dry_run)

    def sinks(self) -> list[SinkStatus]:
        """The sinks of the configuration, each with its place and what it refused."""
        from deltamark.application.sinks.show import sink_statuses

        return sink_statuses(self._open)

    def dead_letters(self, sink: str | None = None, *, decided: bool = False) -> list[DeadLetter]:
        """The changes that sinks refused for good, by sink and position.

        :param sink: only of this one.
        :param decided: also those that were delivered, dropped or released since.
        """
        from deltamark.application.sinks.dead_letters import dead_letters

        return dead_letters(self._open, sink, decided=decided)

    def retry_dead_letters(self, sink: str, *, by: str | None = None) -> Retried:
        """Sends what a sink refused once more, and lets its deliveries go on where it had said that it takes no more.

        :param by: the person for whom this is done; recorded beside the account, not verified.
        :raises SinkError: if the sink does not take it; what it took before counts.
        :raises UsageError: for a name that is no sink of the configuration, or if this is called inside a dry run.
        """
        from deltamark.application.sinks.dead_letters import retry

        services = self._recording("retry_dead_letters", by, None, of="the dead letters")
        return retry(services, arguments.text("sink, the name,", sink))

    def drop_dead_letters(
        self, sink: str, positions: Iterable[Position] = (), *, reason: str, by: str | None = None
    ) -> list[DeadLetter]:
        """Gives up what a sink refused, on record.

        :param positions: of the changes; none: all of the sink that nothing was decided about.
        :param reason: why; it is recorded.
        :param by: the person for whom this is done; recorded beside the account, not verified.
        :raises UsageError: for a position of which the sink refused nothing, or if this is called inside a dry run.
        """
        from deltamark.application.sinks.dead_letters import drop

        services = self._recording("drop_dead_letters", by, arguments.text("reason", reason), of="the dead letters")
        return drop(services, arguments.text("sink, the name,", sink), list(positions), reason=reason)

    def export_source(
        self, connection: str, folder: str | os.PathLike[str], *, as_csv: bool = False
    ) -> tuple[dict[str, int], tuple[str, ...]]:
        """Reads everything that a connection gives into files of a new or empty folder; no store is touched.

        A table is a Parquet or CSV file, as it is before any transformation; `delivery.json` has the number of rows.
        Returns the number of rows of each table, and what a user must know.

        :raises UsageError: if there is no such connection, or if the folder is not empty.
        :raises SourceError: if the source cannot be read as a whole: then nothing is left in the folder.
        """
        from deltamark import bootstrap

        name = arguments.text("connection, the name,", connection)
        return bootstrap.export_source(self._services, name, arguments.path("folder", folder), as_csv=as_csv)

    def horizons(self, entity_type: str | None = None) -> list[Horizon]:
        """How far changes of an entity type and of associations, or of all, were discarded.

        They are in the order of their names.

        :raises UsageError: for an entity type that does not exist.
        """
        self._check_type(entity_type)
        with self._store.reading() as reading:
            return history.horizons_of(reading, self.configuration, entity_type)

    # Comparing moments and answering audits.

    def diff(
        self, entity_type: str, from_: When, to: When, *, after: ResourceRef | LinkRef | None = None
    ) -> Iterator[ResourceDelta | LinkDelta]:
        """What differs between two moments.

        First resources of an entity type by key, then links that start or end at one.

        Applied to the state at `from_` it gives the state at `to`, which may be the earlier moment. Costs time in
        proportion to the changes between the two, and to the own history of the resources that they changed. What only
        the store can tell is refused when the iteration begins.

        :param after: only what comes after the difference of this resource or link: the last one of a page.
        :raises HistoryDiscarded: if one of the moments lies below the horizon of the entity type.
        :raises UsageError: for an entity type or moment that does not exist.
        """
        from deltamark.application.history.diff import deltas

        self._check_type(arguments.text("an entity type", entity_type))
        self._some_moment("from_", from_)
        self._some_moment("to", to)
        if after is not None and not isinstance(after, ResourceRef | LinkRef):
            raise UsageError(f"after is a ResourceRef or a LinkRef, not {type(after).__name__}.")
        return self._rows(
            lambda reading: deltas(
                reading,
                entity_type,
                *history.positions_to_compare(reading, self.configuration, entity_type, from_, to),
                after,
            )
        )

    def audit(
        self, entity_type: str, property_name: str, from_: When, to: When, *, key: str | None = None
    ) -> RowIterator[HeldValue]:
        """Who had what between two moments, and since which change. An iterator with Arrow forms (`RowIterator`).

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

        services = self._open
        self._check_type(arguments.text("an entity type", entity_type))
        with services.store.reading() as reading:
            check_property(reading, services, entity_type, property_name)
        between = self._some_moment("from_", from_), self._some_moment("to", to)
        arguments.optional_text("a key", key)
        rows = self._rows(
            lambda reading: values_between(
                reading, entity_type, property_name, span_between(reading, entity_type, *between), key
            )
        )
        return arrow_rows.values_read(rows)

    def audit_association(
        self, association: str, from_: When, to: When, *, key: str | None = None
    ) -> RowIterator[HeldLink]:
        """Who was linked to whom between two moments, and since which change. An iterator with Arrow forms.

        Yields every link of an association.

        A link counts if it existed at either moment or in between; they come by source, target and time.

        :param key: only links of the resource with that key, at either end.
        :raises HistoryDiscarded: if the first moment lies below the horizon of the association.
        :raises UsageError: as `audit`.
        """
        from deltamark.application.history.audit import links_between, span_between

        services = self._open
        with services.store.reading() as reading:
            definition = known_association(reading, services, association)
        between = self._some_moment("from_", from_), self._some_moment("to", to)
        arguments.optional_text("a key", key)
        rows = self._rows(
            lambda reading: links_between(reading, definition, span_between(reading, association, *between), key)
        )
        return arrow_rows.links_read(rows)

    def report(self, entity_type: str, key: str, from_: When | None = None, to: When | None = None) -> ResourceReport:
        """Everything that one resource was, had and was computed to be between two moments, across its links.

        Values and links with the changes that began and ended them and the grounds of these, the rules that computed
        values, keys, matches and the classification. Costs time in proportion to its changes and those of its links.
        What was discarded is named (`horizons`), not refused.

        :param from_: the first moment, inclusive; None for the beginning of the log.
        :param to: the last moment, inclusive; None for the present.
        :raises ErasedResource: if it was erased: with the run that did so, and the reason.
        :raises UsageError: for an entity type, resource or moment that does not exist, or if the second moment lies
            before the first.
        """
        from deltamark.application.derivation.report import resource_report

        ref = self._ref(entity_type, key)
        moments = self._moment("from_", from_), self._moment("to", to)
        services = self._open
        with services.store.reading() as reading:
            return resource_report(reading, services, ref, *moments)

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

    def dirty(
        self,
        entity_type: str | None = None,
        *,
        task: str | None = None,
        after: ResourceRef | None = None,
        limit: int | None = None,
    ) -> list[DirtyResource]:
        """What the dirty tasks, or one of them, would compute now, by task, entity type and key.

        Also what may follow: resources that read computed values which are about to be computed. They have `through`.
        Changes that no flag task has seen yet are not in it (`unflagged_after`). With a `limit` the first ones of one
        task, without those that may follow: what takes long to find; `dirty_counts` says how many there are.

        :param after: with `limit`, only beyond this resource: the last one of the page before.
        :param limit: how many at most; names a `task` too.
        :raises UsageError: for an entity type or task that does not exist, or a task that is not dirty.
        """
        from deltamark.application.flagging.dirty import dirty_resources, some_dirty_resources

        self._check_type(entity_type)
        consumers = lookup.dirty_tasks(task, self.configuration)
        tasks = self.configuration.all_calls_of(ComputingTask)
        if limit is not None:
            arguments.whole_number("the limit", limit)
            begin = arguments.optional("after", ResourceRef, after)
            if task is None:
                raise UsageError("with a limit, name the task.")
            with self._store.reading() as reading:
                return some_dirty_resources(
                    reading, self._services.plan, tasks, consumers[0], entity_type, begin, limit
                )
        if after is not None:
            raise UsageError("after goes with a limit.")
        with self._store.reading() as reading:
            return list(dirty_resources(reading, self._services.plan, tasks, consumers, entity_type))

    def dirty_counts(self) -> list[DirtyCount]:
        """How many resources each dirty task would compute now, by task and entity type.

        Where a task computes everything, because it never ran or its rules changed, no list is made.
        """
        from deltamark.application.flagging.dirty import dirty_counts

        consumers = lookup.dirty_tasks(None, self.configuration)
        with self._store.reading() as reading:
            tasks = self.configuration.all_calls_of(ComputingTask)
            return dirty_counts(reading, self._services.plan, tasks, consumers)

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

        ref = self._ref(entity_type, key)
        consumers = lookup.dirty_tasks(task, self.configuration)
        with self._store.reading() as reading:
            tasks = self.configuration.all_calls_of(ComputingTask)
            return explanation(reading, self._services.plan, tasks, consumers, ref)

    def derivations(self) -> tuple[Planned, ...]:
        """What the configuration derives, in the order of computation, each with what it reads.

        These are computed properties, correlation keys and classifications.
        """
        return self._open.plan.derived

    def keys(
        self, rule: str | None = None, *, after: CorrelationKey | None = None, limit: int | None = None
    ) -> RowIterator[CorrelationKey]:
        """Correlation keys by rule, side and resource: an iterator with Arrow forms (`RowIterator`).

        :param after: with `limit`, only beyond this key: the last one of the page before.
        :param limit: how many at most, found by an index.
        :raises UsageError: for a rule that does not exist.
        """
        from deltamark.application.derivation.result_pages import some_keys

        lookup.check_rule(rule, self.configuration)
        if _is_page(after, limit):
            most = arguments.whole_number("the limit", limit)
            begin = arguments.optional("after", CorrelationKey, after)
            return arrow_rows.keys_read(self._rows(lambda reading: some_keys(reading, rule, begin, most)))
        rules = None if rule is None else [rule]
        return arrow_rows.keys_read(self._rows(lambda reading: reading.correlation_keys(rules)))

    def keys_of(self, entity_type: str, key: str) -> list[CorrelationKey]:
        """The correlation keys of one resource, by rule and side.

        :raises UsageError: for an entity type that does not exist.
        """
        ref = self._ref(entity_type, key)
        with self._store.reading() as reading:
            stream = reading.stream_of(ref)
            return [] if stream is None else reading.keys_of(stream)

    def matches(
        self, rule: str | None = None, *, after: MatchedPair | None = None, limit: int | None = None
    ) -> Iterator[MatchedPair]:
        """The pairs of a source and a target resource whose keys are equal, by rule and value.

        :param after: with `limit`, only beyond this pair: the last one of the page before.
        :param limit: how many at most, found by an index.
        :raises UsageError: as `keys` does.
        """
        from deltamark.application.derivation.result_pages import some_pairs
        from deltamark.application.derivation.results import matched_pairs

        lookup.check_rule(rule, self.configuration)
        if _is_page(after, limit):
            most = arguments.whole_number("the limit", limit)
            begin = arguments.optional("after", MatchedPair, after)
            return self._rows(lambda reading: some_pairs(reading, self.configuration, rule, begin, most))
        return self._rows(lambda reading: matched_pairs(reading, self.configuration, rule))

    def ambiguous(self, rule: str, *, after: str | None = None, limit: int = 50) -> list[AmbiguousKey]:
        """The values of a correlation rule that several resources have on one side, ascending.

        :param after: only values beyond this one: that of the last of the page before.
        :param limit: how many at most.
        :raises UsageError: for a rule that does not exist.
        """
        from deltamark.application.derivation.result_pages import ambiguous_keys

        lookup.check_rule(arguments.text("a rule", rule), self.configuration)
        value = arguments.optional_text("after", after)
        arguments.whole_number("the limit", limit, least=1)
        with self._store.reading() as reading:
            return ambiguous_keys(reading, rule, value, limit)

    def classifications(
        self, entity_type: str | None = None, *, after: ResourceRef | None = None, limit: int | None = None
    ) -> Iterator[Classification]:
        """The resource type that was found for each resource, by entity type and key.

        Gives those of one entity type, or of all.

        :param after: with `limit`, only beyond this resource: that of the last of the page before.
        :param limit: how many at most, found by an index.
        :raises UsageError: for an entity type that does not exist.
        """
        from deltamark.application.derivation.result_pages import some_classifications
        from deltamark.application.derivation.results import classifications

        self._check_type(entity_type)
        if _is_page(after, limit):
            most = arguments.whole_number("the limit", limit)
            begin = arguments.optional("after", ResourceRef, after)
            return self._rows(
                lambda reading: some_classifications(reading, self.configuration, entity_type, begin, most)
            )
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

    def repair(
        self,
        verification: Verification,
        *,
        by: str | None = None,
        reason: str | None = None,
        observer: Observer | None = None,
    ) -> JobRun | None:
        """Flags the resources with faults found by a verification, and runs the tasks for them.

        The run is recorded among the others, as job ``*repair*``. None where there were no faults.

        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why, or by which request; it is recorded.
        :raises AlreadyRunning: if one of these tasks runs now; the flags are set, and the next run repairs.
        :raises UsageError: if no task of the configuration computes what is wrong, or inside a dry run.
        """
        from deltamark.application.execution.repair import repair

        return repair(self._recording("repair", by, reason, of="the repair"), verification, observer=checked(observer))

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

    def record_verification(self, verification: LogVerification | Verification) -> VerificationRecord:
        """Puts what `verify` or `verify_derived` found on record in the store, and returns the record.

        The console and the metrics of every server show it then. The newest hundred are kept. It is not in the log, and
        no change.

        :raises UsageError: if that is no verification.
        """
        from deltamark.application.integrity.verification_records import record_verification

        services = self._writing("record_verification")
        if not isinstance(verification, LogVerification | Verification):
            raise UsageError(f"verification is what verify or verify_derived gave, not {type(verification).__name__}.")
        return record_verification(services.store, verification)

    def verifications(self) -> list[VerificationRecord]:
        """The verifications on record, the newest first: see `record_verification`."""
        with self._store.reading() as reading:
            return reading.verifications()

    def replay(self, into: str | None = None, *, until: When | None = None) -> Replayed:
        """Rebuilds the stored state from the log, in one transaction.

        Readers see the old state until it is done.

        Rows that are as the log says are not written again. Where resources or links were not, the next runs compute
        everything that is derived anew; otherwise flags, places and keys stay as they are.

        :param into: the URL of a new store, of any kind, to fill with the log and its state, instead of this one.
            Flags, keys, pending changes and schedules are copied, leases are not.
        :param until: with `into`: the new store is what this one was at a moment, as a backup of then would be, with
            the configuration, flags, places, keys and classifications of then. It ends with the last transaction up to
            the moment. What was discarded or erased since stays so, and a run ``*replay*`` at its end records that.
            `notes` of the result say what is not as it was because no log holds it.
        :raises HistoryDiscarded: if the state at the moment is not known any more.
        :raises ConcurrentRun: while a run is going on.
        :raises StoreError: if the log is not whole, or a store cannot be written; nothing was changed.
        :raises UsageError: if the store to fill holds anything.
        """
        from deltamark.application.integrity.replay import replay, replay_to

        services = self._writing("replay")
        if until is not None:
            from deltamark.application.reconstruction.replay_until import replay_to_until

            if into is None:
                raise UsageError("until needs a new store: this one would lose its later history. Name one with into.")
            when = self._some_moment("until", until)
            return replay_to_until(services, arguments.text("into, the URL of a new store,", into), when, no_progress)
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
        connector: str | None = None,
        *,
        entity_type: str | None = None,
        association: str | None = None,
        keep: str | int | timedelta | RunMoment,
        dry_run: bool = False,
        even_unread: bool = False,
        vacuum: bool = False,
        by: str | None = None,
        reason: str | None = None,
        told: Progress = no_progress,
    ) -> Retention:
        """Discards the changes of a connector, an entity type or an association that are older than what is kept.

        The present state stays. A connector stands for what it feeds, and for what it fed last and nothing feeds any
        more, also after it left the configuration.

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
        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param reason: why, or by which request; it is recorded.
        :param told: is called with how many changes were discarded, and of how many, again and again.
        :raises AlreadyRunning: if the connector is being synchronized now; nothing was discarded.
        :raises TakenOver: as `run_job`; what was discarded before stays so.
        :raises UsageError: for a name that nothing ever had, for none or several names, for a run that does not exist,
            for what does not say what to keep, and for `vacuum` in PostgreSQL, which does it by itself; nothing was
            discarded.
        """
        from deltamark.application.retention.retain import retain, retain_and_shrink, would_retain

        services = self._recording("retain", by, reason, of="the retention")
        chosen = _chosen(connector, entity_type, association)
        kept = keep_of(keep)
        arguments.boolean("even_unread", even_unread)
        if arguments.boolean("vacuum", vacuum):
            services.store.check_shrinkable()
        if arguments.boolean("dry_run", dry_run):
            return would_retain(services, chosen, kept, even_unread=even_unread)
        discard = retain_and_shrink if vacuum else retain
        return discard(services, chosen, kept, even_unread=even_unread, progress=told)

    def erase(
        self, entity_type: str, key: str, *, reason: str, by: str | None = None, dry_run: bool = False
    ) -> Erasure:
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
        :param by: the person for whom this is done; recorded beside the account, not verified.
        :param dry_run: returns what would be erased, and writes nothing.
        :raises ConcurrentRun: while a run is going on; nothing was erased.
        :raises ErasedResource: if it was erased before.
        :raises UsageError: for an entity type or a resource that never existed, an empty reason, or while changes are
            held back; nothing was erased.
        """
        from deltamark.application.retention.erase import erase, would_erase

        arguments.text("reason", reason)
        services = self._recording("erase", by, reason, of="the erasure")
        ref = self._ref(entity_type, key)
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

    def _recording(self, method: str, by: str | None, reason: str | None, *, of: str) -> Services:
        """The parts of the engine for a method that records for whom and why it is called.

        Refused as by `_writing`, and for texts that are not to be recorded.

        :param of: what the reason is for, in messages.
        """
        services = self._writing(method)
        if by is None and reason is None:
            return services
        operator = evolve(
            services.operator,
            by=services.operator.by if by is None else checked_person(arguments.text("by", by)),
            reason=None if reason is None else checked_reason(arguments.text("reason", reason), of),
        )
        return evolve(services, operator=operator)

    def _with_input(self, services: Services, job: Job, extracts: Mapping[str, Any] | None) -> Services:
        """The parts of the engine for a run to which the program gives some of its connection tables."""
        given = self._checked_input(services, job, extracts)
        return evolve(services, direct_input={**services.direct_input, **given}) if given else services

    @staticmethod
    def _checked_input(services: Services, job: Job | None, extracts: Mapping[str, Any] | None) -> dict[str, Any]:
        from deltamark import bootstrap

        configuration = services.configuration
        if job is None:
            tables = all_tables(configuration, services.evaluator.transformed)
            return bootstrap.direct_input("extracts", extracts, tables, "the configuration")
        tables = tables_of_job(configuration, job, services.evaluator.transformed)
        return bootstrap.direct_input("extracts", extracts, tables, f"job {job.identifier}")

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

    def _check_type(self, entity_type: str | None) -> None:
        """Checks that there is or was an entity type of that name; None means all."""
        services = self._open
        if entity_type is not None and services.configuration.entity_type(entity_type) is None:
            with services.store.reading() as reading:
                known_type(reading, services, entity_type)

    def _ref(self, entity_type: str, key: str) -> ResourceRef:
        """The reference to a resource that may or may not exist, of a type that exists or existed."""
        self._check_type(arguments.text("an entity type", entity_type))
        return ResourceRef(entity_type, arguments.text("a key", key))

    def _of_type(self, entity_type: str, at: When | None, model: str) -> Services:
        """The parts of the engine, for a question about an entity type at a moment by a model."""
        self._check_type(arguments.text("an entity type", entity_type))
        self._moment("at", at)
        if model not in ("then", "now"):
            raise UsageError(f'model is "then" or "now", not {shown(model)}.')
        return self._open

    def _filter(
        self, entity_type: str | None, key: str | None, run: int | None = None, kind: str | None = None
    ) -> ChangeFilter:
        self._check_type(entity_type)
        return ChangeFilter(
            entity_type=entity_type,
            key=arguments.optional_text("a key", key),
            run=None if run is None else arguments.whole_number("the number of a run", run),
            kind=None if kind is None else arguments.member("the kind of a change", ChangeKind, kind),
        )

    def _change_filter(
        self,
        admitted: ChangeFilter,
        task: str | None,
        user: str | None,
        property_name: str | None,
        association: str | None,
        rule: str | None,
        connector: str | None,
        *,
        may_come: bool = False,
    ) -> ChangeFilter:
        """A filter that names more, all of it known."""
        named: dict[str, Any] = {
            "task": task,
            "user": user,
            "property": property_name,
            "association": association,
            "rule": rule,
            "connector": connector,
        }
        for what, name in named.items():
            arguments.optional_text(f"the name of a {what}", name)
        if all(name is None for name in named.values()):
            return admitted
        from deltamark.application.history.filters import checked_filter

        del named["rule"], named["connector"]
        services = self._open
        with services.store.reading() as reading:
            return checked_filter(reading, services, evolve(admitted, **named), rule, connector, may_come=may_come)

    def _wanted(self, entity_type: str, where: Mapping[str, Value] | None) -> dict[str, Value]:
        """The values that properties must have; the entity type has or had all of these properties."""
        wanted = arguments.values_by_name("where", where or {})
        if wanted:
            with self._store.reading() as reading:
                for name in wanted:
                    check_property(reading, self._services, entity_type, name)
        return wanted

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


def _exported(
    reading: Reading,
    services: Services,
    entity_type: str,
    at: When | None,
    model: str,
    where: Mapping[str, Value],
) -> tuple[TypeModel, Iterator[ExportedResource]]:
    """All resources of a type at a moment, and the model that they are shown by."""
    position = history.moment(reading, services.configuration, entity_type, at)
    then = type_model_at(reading, services, entity_type, position)
    resources = iter(history.exported(reading, then, position))
    if where:
        from deltamark.application.history.resource_pages import has_values

        resources = (resource for resource in resources if has_values(resource.values, where))
    if model != "now":
        return then, resources
    present = present_type_model(services, entity_type)
    return present, iter(Projection(then, present).projected(resources))


def _is_page(after: object, limit: int | None) -> bool:
    """Whether some rows are asked for.

    :raises UsageError: if it is said where they begin, and not how many.
    """
    if after is not None and limit is None:
        raise UsageError("after goes with a limit.")
    return limit is not None


def _chosen(connector: str | None, entity_type: str | None, association: str | None) -> Chosen:
    """The one of the three that is given.

    :raises UsageError: if none is given, or several.
    """
    from deltamark.application.retention.chosen import Chosen

    given = [
        Chosen(kind, arguments.text(f"the name of the {kind.words}", name))
        for kind, name in (
            (NameKind.CONNECTOR, connector),
            (NameKind.ENTITY_TYPE, entity_type),
            (NameKind.ASSOCIATION, association),
        )
        if name is not None
    ]
    if len(given) != 1:
        raise UsageError("name a connector, an entity type or an association, and only one of them.")
    return given[0]


def _read(store: Store, query: Callable[[Reading], Iterable[_Row]]) -> Iterator[_Row]:
    with store.reading() as reading:
        yield from query(reading)
