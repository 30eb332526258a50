"""Running a job: its tasks in order, each in one transaction, each on record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from itertools import islice

from attrs import frozen

from deltamark.application.compute_properties import computing_properties
from deltamark.application.compute_rules import computing_rules
from deltamark.application.digests import configuration_digest
from deltamark.application.flag import flagging, has_unflagged_changes
from deltamark.application.holding_back import HeldBack
from deltamark.application.leases import check_kept, heard_from, make_free, naming_the_other_run
from deltamark.application.ports.store import Writing
from deltamark.application.prepare import Prepared, preparing
from deltamark.application.services import Apply, Done, Scope, Services, Skip
from deltamark.application.synchronize import synchronizing
from deltamark.application.workload import is_due
from deltamark.domain.errors import DeltamarkError, UserStartDenied
from deltamark.domain.job import (
    ComputeCorrelationKeysTask,
    ComputingTask,
    Job,
    Outcome,
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    Task,
    TaskState,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
    in_order,
    reason_to_skip,
)
from deltamark.domain.run import (
    BY_USER,
    JobRun,
    PlannedTask,
    RowsSetAside,
    RunEnded,
    RunStarted,
    SetAside,
    TaskEnded,
    TaskRun,
    TaskStarted,
    Trigger,
    TriggerKind,
)
from deltamark.domain.run_states import state_of_run

ROWS_IN_ONE_EVENT = 1_000

Claim = Callable[[Writing, int], None]
"""Takes part in the transaction that starts a run, given its number; what it raises keeps the run from starting."""


class Observer:
    """Is told what a run does; this one does nothing."""

    def task_started(self, run: int, task: TaskRun) -> None:
        """A task begins."""

    def task_ended(self, run: int, task: TaskRun) -> None:
        """A task ended, or was skipped."""


def tasks_to_lease(services: Services, job: Job) -> tuple[str, ...]:
    """The tasks of a job, each once, by identifier: as long as a run runs them, no other one may."""
    return tuple(dict.fromkeys(task.identifier for task in services.configuration.called_by(job)))


def run_job(
    services: Services,
    job: Job,
    *,
    forced: bool,
    observer: Observer,
    is_rehearsal: bool = False,
    trigger: Trigger = BY_USER,
    claim: Claim = lambda tx, run: None,
) -> JobRun:
    """Runs a job; gives back its record, also where tasks failed.

    A task that fails leaves the store as it was before that task, and the record says why. Errors that are no
    `DeltamarkError`, interruptions, and whatever the observer raises are put on record too and then raised again.

    :param claim: see `Claim`.
    :raises AlreadyRunning: if another run runs one of the tasks; nothing was started.
    :raises UserStartDenied: if a user starts what only the schedule may start. A rehearsal is nobody denied.
    :raises TakenOver: if another run took this one for dead and its tasks over.
    """
    if job.user_start_denied and trigger.kind is TriggerKind.USER and not is_rehearsal:
        raise UserStartDenied(job.identifier)
    running = _Running(services, job, forced=forced, observer=observer, trigger=trigger, claim=claim)
    # Nobody sees the leases of a rehearsal, and nobody can take them: it keeps all others from writing.
    kept = nullcontext() if is_rehearsal else heard_from(services.store, running.number, services.lease_s)
    with kept:
        return running.result()


@frozen
class _Ended:
    """How a task ended, before it is on record."""

    done: Done
    state: TaskState
    seconds: float = 0.0
    error: BaseException | None = None

    @property
    def messages(self) -> tuple[str, ...]:
        return self.done.messages


class _Running:
    """One run while it goes on."""

    def __init__(
        self, services: Services, job: Job, *, forced: bool, observer: Observer, trigger: Trigger, claim: Claim
    ) -> None:
        self._services = services
        self._trigger = trigger
        self._claim = claim
        self._job = job
        self._forced = forced
        self._observer = observer
        self._tasks = in_order(services.configuration.called_by(job))
        self._leased = tasks_to_lease(services, job)
        self._memory: dict[str, Prepared] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._is_observed = True
        self._error: BaseException | None = None
        """What is no error of a task, and comes out of the run when it is on record."""
        self.number = self._start()

    def result(self) -> JobRun:
        """Runs all tasks."""
        stop: str | None = None
        for ordinal, task in enumerate(self._tasks, 1):
            ended = self._run_task(ordinal, task) if stop is None else self._skip(ordinal, stop)
            self._outcomes[task.identifier] = Outcome(ended.state, ended.done.effect)
            if ended.error is not None and not isinstance(ended.error, DeltamarkError) and self._error is None:
                self._error = ended.error
            if stop is None and ended.state is TaskState.FAILED and (self._error or not task.continue_on_error):
                stop = f"task {task.identifier} failed before it"
            self._tell(self._observer.task_ended, ordinal)
            if stop is None and self._error is not None:
                stop = f"the observer of the run failed ({_in_words(self._error)})"
        self._end(stopped=stop is not None)
        if self._error is not None:
            raise self._error
        return self._now()

    def _tell(self, method: Callable[[int, TaskRun], None], ordinal: int) -> None:
        """Tells the observer; what it raises is kept and stops the run, and it is told nothing more."""
        if self._is_observed:
            try:
                method(self.number, self._now().task(ordinal))
            except BaseException as e:
                self._is_observed = False
                self._error = self._error or e

    def _skip(self, ordinal: int, reason: str) -> _Ended:
        ended = _Ended(Done(messages=[f"skipped: {reason}"]), TaskState.SKIPPED)
        self._record(ordinal, ended)
        return ended

    def _run_task(self, ordinal: int, task: Task) -> _Ended:
        reason = reason_to_skip(task, self._outcomes)
        if reason is not None and self._has_work(task):
            reason = reason_to_skip(task, self._outcomes, has_work=True)
        return self._work(ordinal, task) if reason is None else self._skip(ordinal, reason)

    def _has_work(self, task: Task) -> bool:
        """Whether an earlier run left work for a task that follows the changes."""
        with self._services.store.reading() as reading:
            match task:
                case SetRecentlyModifiedFlagTask():
                    return has_unflagged_changes(reading)
                case ComputingTask():
                    return is_due(reading, self._services.plan, task)
        return False

    def _work(self, ordinal: int, task: Task) -> _Ended:
        with self._transaction() as tx:
            tx.append_to_run(
                lambda s, v, at: TaskStarted(
                    originator_id=s, originator_version=v, at=at, run=self.number, task=ordinal
                ),
                self.number,
            )
        self._tell(self._observer.task_started, ordinal)
        started = time.perf_counter()
        try:
            if self._error is not None:
                raise self._error
            apply = self._planned(task)
            if isinstance(apply, Skip):
                return self._skip(ordinal, apply.reason)
            with self._transaction() as tx:
                done = apply(tx, self._scope(ordinal))
                ended = _Ended(done, done.state, time.perf_counter() - started)
                self._record_in(tx, ordinal, ended)
            return ended
        except HeldBack as e:
            with self._transaction() as tx:
                ended = _Ended(e.keep(tx), TaskState.BLOCKED, time.perf_counter() - started, e)
                self._record_in(tx, ordinal, ended)
            return ended
        except BaseException as e:
            ended = _Ended(Done(messages=[_in_words(e)]), TaskState.FAILED, time.perf_counter() - started, e)
        self._record(ordinal, ended)
        return ended

    def _scope(self, ordinal: int) -> Scope:
        return Scope(run=self.number, ordinal=ordinal, job=self._job, forced=self._forced)

    def _planned(self, task: Task) -> Apply | Skip:
        match task:
            case PrepareSynchronizationTask():
                return preparing(self._services, task, self._job, self._memory)
            case SynchronizeTask():
                return synchronizing(self._services, task, self._job, self._memory)
            case SetRecentlyModifiedFlagTask():
                return flagging(self._services)
            case UpdateEntityPropertyExpressionsTask():
                return computing_properties(self._services, task)
            case ComputeCorrelationKeysTask() | UpdateClassificationTask():
                return computing_rules(self._services, task)
        raise AssertionError(f"{task.kind} has no use case")

    def _start(self) -> int:
        operator = self._services.operator
        planned = [
            PlannedTask(ordinal=n, identifier=task.identifier, kind=task.kind) for n, task in enumerate(self._tasks, 1)
        ]
        digest = configuration_digest(self._services.configuration)

        def event(stream: str, number: int, at: datetime) -> RunStarted:
            return RunStarted(
                originator_id=stream,
                originator_version=1,
                at=at,
                run=number,
                job=self._job.identifier,
                configuration_digest=digest,
                user=operator.user,
                host=operator.host,
                process=operator.process,
                forced=self._forced,
                tasks=planned,
                trigger=self._trigger.kind,
                due_at=self._trigger.due_at,
                late=self._trigger.late,
            )

        store = self._services.store
        with naming_the_other_run(store, self._leased), store.transaction() as tx:
            make_free(tx, self._leased)
            number = tx.start_run(event)
            self._claim(tx, number)
            tx.take_leases(number, self._leased, self._services.lease_s)
            return number

    @contextmanager
    def _transaction(self) -> Iterator[Writing]:
        """A transaction of the run, which writes nothing once another run has taken its tasks over."""
        with self._services.store.transaction() as tx:
            check_kept(tx, self.number, self._leased, self._services.lease_s)
            yield tx

    def _end(self, *, stopped: bool) -> None:
        state = TaskState.FAILED if self._error else state_of_run(self._now().tasks, stopped=stopped)
        with self._transaction() as tx:
            tx.append_to_run(
                lambda s, v, at: RunEnded(originator_id=s, originator_version=v, at=at, run=self.number, state=state),
                self.number,
            )
            tx.release_leases(self.number)

    def _record(self, ordinal: int, ended: _Ended) -> None:
        with self._transaction() as tx:
            self._record_in(tx, ordinal, ended)

    def _record_in(self, tx: Writing, ordinal: int, ended: _Ended) -> None:
        """Puts on record how a task ended, in the same transaction as what it did."""
        for rows in _in_chunks(ended.done.set_aside):
            tx.append_to_run(
                lambda s, v, at, rows=rows: RowsSetAside(  # type: ignore[misc]
                    originator_id=s, originator_version=v, at=at, run=self.number, task=ordinal, rows=rows
                ),
                self.number,
            )
        tx.append_to_run(
            lambda s, v, at: TaskEnded(
                originator_id=s,
                originator_version=v,
                at=at,
                run=self.number,
                task=ordinal,
                state=ended.state,
                effect=ended.done.effect,
                counts=ended.done.counts,
                seconds=round(ended.seconds, 6),
                extracts=ended.done.extracts,
                messages=ended.messages,
            ),
            self.number,
        )

    def _now(self) -> JobRun:
        with self._services.store.reading() as reading:
            summary = reading.run(self.number)
        assert summary is not None, "a run that was started is on record"
        return summary.run


def _in_words(error: BaseException) -> str:
    """What goes on record; a name of a file that is no Unicode text can stand in it and must not spoil it."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    words = str(error) if isinstance(error, DeltamarkError) else f"internal error: {type(error).__name__}: {error}"
    return words.encode(errors="backslashreplace").decode()


def _in_chunks(rows: Sequence[SetAside]) -> Iterator[tuple[SetAside, ...]]:
    remaining = iter(rows)
    while chunk := tuple(islice(remaining, ROWS_IN_ONE_EVENT)):
        yield chunk
