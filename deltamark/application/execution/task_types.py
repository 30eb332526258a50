"""The table of task types: the use case of each, and how to find work left by earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from deltamark.application.derivation.compute_properties import call_function, compute_properties
from deltamark.application.derivation.compute_rules import compute_rules
from deltamark.application.derivation.user_functions.cancellation import UserTaskCancelled
from deltamark.application.derivation.workload import has_unflagged_changes, is_due
from deltamark.application.execution.parallel import Interrupted
from deltamark.application.flagging.flag import flag
from deltamark.application.pending_changes.apply import apply_pending
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Apply, ReportProgress, Services, Skip
from deltamark.application.sinks.deliver import deliver_task
from deltamark.application.sources.export import export
from deltamark.application.synchronization.prepare import PreparedExtracts, exclusion, prepare
from deltamark.application.synchronization.synchronize import synchronize
from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    ComputingTask,
    DeliverTask,
    ExportTask,
    Job,
    PrepareSynchronizationTask,
    PythonTask,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    Task,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.runs.outcomes import Outcome, reason_to_skip, reason_unprepared, was_left
from deltamark.domain.runs.run import JobRun
from deltamark.domain.runs.task_calls import TaskCall


@frozen(kw_only=True)
class RunContext:
    """What the tasks of a run share.

    :param calls: all task calls of the job, by ordinal.
    :param outcomes: of the tasks that have ended, by ordinal; grows during the run.
    :param forced: whether a user lets changes pass every threshold.
    :param reads_anew: whether extracts are compared also where that changes nothing.
    :param pending: the ordinals of the synchronizations that a user resumes: they apply what was held back.
    :param prepared: the extracts that were prepared and are not synchronized yet, by connector.
    :param is_dry_run: whether all tasks share one transaction, which is undone.
    :param interrupted: set once the process was asked to stop.
    :param earlier: the runs before this one by number, as far as they were asked for; None where it is one of another
        job (`_earlier`).
    :param flagged: the ordinals of the flag tasks that began.
    """

    services: Services
    run: int
    job: Job
    calls: Mapping[int, TaskCall]
    outcomes: dict[int, Outcome]
    forced: bool = False
    reads_anew: bool = False
    pending: frozenset[int] = frozenset()
    prepared: dict[str, PreparedExtracts] = field(factory=dict)
    is_dry_run: bool = False
    interrupted: Event = field(factory=Event)
    earlier: dict[int, JobRun | None] = field(factory=dict)
    flagged: list[int] = field(factory=list)


SomeTask = TypeVar("SomeTask", bound=Task)


@frozen
class TaskType(Generic[SomeTask]):
    """How the tasks of one class are carried out.

    :param plan: does everything that comes before the transaction of the task; returns the part inside it.
    :param has_work: whether an earlier run, which failed or was killed, left work for the task.
    :param reads_first: whether `plan` reads what earlier tasks of the same level write.
    """

    plan: Callable[[RunContext, SomeTask, TaskCall, ReportProgress], Apply | Skip]
    has_work: Callable[[RunContext, SomeTask, Reading], bool]
    reads_first: bool = False


def _type_of(task: Task) -> TaskType[Any]:
    """The entry of the class of a task, or of the class that it is derived from."""
    return next(TASK_TYPES[kind] for kind in type(task).__mro__ if kind in TASK_TYPES)


def plan_task(context: RunContext, call: TaskCall, report: ReportProgress) -> Apply | Skip:
    """Does everything that comes before the transaction of a task.

    Returns the part inside it, or why to skip it.

    :param report: receives the progress of the task.
    """
    return _type_of(call.task).plan(context, call.task, call, report)


def reads_before_its_transaction(task: Task) -> bool:
    """Whether what comes before the transaction of a task reads what earlier tasks of the same level write."""
    return _type_of(task).reads_first


def skip_of(context: RunContext, call: TaskCall) -> Skip | None:
    """Why a task must not run after the outcomes of its parents, or None where it runs.

    A connector whose changes are held back would be left out in any case: that is said, too.
    """
    reason = _reason_to_skip(context, call)
    if reason is None:
        return None
    connector = call.task.synchronizes or call.task.prepares
    excluded = exclusion(context.services, connector, context.job, forced=context.forced) if connector else None
    return Skip(reason, excluded.left_out if excluded else None)


def _reason_to_skip(context: RunContext, call: TaskCall) -> str | None:
    """Why a task must not run after the outcomes of its parents, or None where it runs.

    Looks for work that an earlier run left only where that decides, for it may take a while.
    """
    task = call.task
    parents = {context.calls[ordinal].task.identifier: context.outcomes[ordinal] for ordinal in call.parents}
    names = {parent.identifier: parent.display_name for parent in (context.calls[n].task for n in call.parents)}
    reason = reason_to_skip(task, parents, names)
    if reason is None:
        return None
    with context.services.store.reading() as reading:
        has_work = _type_of(task).has_work(context, task, reading)
    return reason_to_skip(task, parents, names, has_work=True) if has_work else reason


def _export(context: RunContext, task: ExportTask, call: TaskCall, *_: object) -> Apply | Skip:
    for connection in context.services.configuration.connections_read_by(task):
        skip = exclusion(context.services, connection.connector, context.job, forced=context.forced)
        if skip:
            return skip
    return export(context.services, task, run=context.run, ordinal=call.ordinal)


def _deliver(context: RunContext, task: DeliverTask, *_: object) -> Apply:
    return deliver_task(context.services, task, dry_run=context.is_dry_run)


def _synchronize(context: RunContext, task: SynchronizeTask, call: TaskCall, report: ReportProgress) -> Apply | Skip:
    if call.ordinal in context.pending:
        return apply_pending(context.services, task, context.run, call.ordinal)
    if task.connector not in context.prepared:
        reason = _unprepared_reason(context, call)
        if reason is not None:
            return exclusion(context.services, task.connector, context.job, forced=context.forced) or Skip(reason)
    return synchronize(
        context.services,
        task,
        context.job,
        context.prepared,
        forced=context.forced,
        reads_anew=context.reads_anew,
        report=report,
    )


def _unprepared_reason(context: RunContext, call: TaskCall) -> str | None:
    """Why the extracts of a connector must not be read without their preparation.

    They would count as complete extracts, which delete what is missing there.
    """
    if call.prepared_at is None:
        return None
    preparation = context.calls[call.prepared_at].task
    if not preparation.keeps_missing:
        return None
    return reason_unprepared(preparation, context.outcomes[call.prepared_at])


def _flag(context: RunContext, task: SetRecentlyModifiedFlagTask, call: TaskCall, *_: object) -> Apply:
    is_first = not context.flagged
    context.flagged.append(call.ordinal)
    return flag(context.services, drops_places=is_first)


def _compute_properties(context: RunContext, task: ComputingTask, *_: object) -> Apply:
    return compute_properties(context.services, task)


def _call_function(context: RunContext, task: ComputingTask, *_: object) -> Apply:
    if context.is_dry_run:
        return compute_properties(context.services, task)
    assert isinstance(task.maker, UserTask), "a task runs only if its function was loaded"
    name = task.maker.name
    return call_function(context.services, task, lambda: _reason_to_end(context, name))


def _reason_to_end(context: RunContext, function: str) -> BaseException | None:
    """Why a function that a task of the run calls is ended, or None while it may go on."""
    if context.interrupted.is_set():
        return Interrupted()
    with context.services.store.reading() as reading:
        summary = reading.run(context.run, with_rows=False)
    is_cancelled = summary is not None and summary.run.cancelled_by is not None
    return UserTaskCancelled(function) if is_cancelled else None


def _compute_rules(context: RunContext, task: ComputingTask, *_: object) -> Apply:
    return compute_rules(context.services, task)


def _is_due(context: RunContext, task: ComputingTask, reading: Reading) -> bool:
    return is_due(reading, context.services.plan, task)


_SEARCHED = 100
"""So many of the newest runs are searched for those of the same job."""


def _was_left(context: RunContext, task: Task, reading: Reading) -> bool:
    return was_left(task, _earlier(context, reading))


def _earlier(context: RunContext, reading: Reading) -> Iterator[JobRun]:
    """The newest earlier runs of the same job, the newest first; each is read once in a run, when it is needed."""
    known = context.earlier
    for number in range(context.run - 1, max(context.run - _SEARCHED, 0), -1):
        if number not in known:
            summary = reading.run(number, with_rows=False)
            is_of_job = summary is not None and summary.run.job == context.job.identifier
            known[number] = summary.run if summary is not None and is_of_job else None
        run = known[number]
        if run is not None:
            yield run


def _entry(
    task: type[SomeTask],
    plan: Callable[[RunContext, SomeTask, TaskCall, ReportProgress], Apply | Skip],
    has_work: Callable[[RunContext, SomeTask, Reading], bool] = lambda *_: False,
    *,
    reads_first: bool = False,
) -> tuple[type[Task], TaskType[Any]]:
    return task, TaskType(plan, has_work, reads_first)


TASK_TYPES: Mapping[type[Task], TaskType[Any]] = dict(
    (
        _entry(ExportTask, _export, _was_left),
        _entry(
            PrepareSynchronizationTask,
            lambda run, task, call, report: prepare(run.services, task, run.job, run.prepared, forced=run.forced),
            _was_left,
        ),
        _entry(SynchronizeTask, _synchronize, _was_left),
        _entry(
            SetRecentlyModifiedFlagTask,
            _flag,
            lambda run, task, reading: has_unflagged_changes(reading),
        ),
        _entry(UpdateEntityPropertyExpressionsTask, _compute_properties, _is_due),
        _entry(ComputeCorrelationKeysTask, _compute_rules, _is_due),
        _entry(UpdateClassificationTask, _compute_rules, _is_due),
        _entry(PythonTask, _call_function, _is_due, reads_first=True),
        _entry(DeliverTask, _deliver, _was_left, reads_first=True),
    )
)
"""How tasks are carried out, by their class."""
