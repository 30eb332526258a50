"""Resuming a run: why it must not go on, and which of its tasks run again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from deltamark.domain.configuration.jobs import ConnectorTask, TaskState
from deltamark.domain.runs.outcomes import Outcome
from deltamark.domain.runs.run import JobRun, TaskRun
from deltamark.domain.runs.task_calls import TaskCall

DONE = (TaskState.COMPLETED, TaskState.WARNING)
"""States in which a task did its work."""


def reason_not_to_resume(
    run: JobRun, calls: Sequence[TaskCall] | None, *, later: JobRun | None, has_pending: bool
) -> str | None:
    """Why a run that is not running must not go on, a clause, or None where it may.

    :param calls: those of its job as it is configured now; None where there is no such job.
    :param later: a later run of the same job that did its work. A run that was blocked goes on nevertheless: a user
        still has to decide on what it holds back.
    :param has_pending: whether there are changes that it holds back.
    """
    if run.state is TaskState.CANCELLED:
        return "it was cancelled. Run the job again"
    if not any(task.state not in (*DONE, TaskState.SKIPPED) for task in run.tasks) and run.state in DONE:
        return f"it has ended ({run.state.value}) and none of its tasks is left to run"
    if calls is None:
        return f"the configuration no longer has a job {run.job}"
    configured = [(call.ordinal, call.task.identifier, call.task.kind) for call in calls]
    if configured != [(task.ordinal, task.identifier, task.kind) for task in run.tasks]:
        return (
            f"job {run.job} calls other tasks than when the run started. Run the job again, or restore the "
            "configuration"
        )
    if later is not None and not has_pending:
        return f"run {later.number} of the same job has done its work since. Run the job again"
    return None


def calls_to_repeat(
    run: JobRun,
    calls: Sequence[TaskCall],
    pending: Collection[int],
    *,
    only_pending: bool = False,
    leads_to: Mapping[str, Collection[str]] | None = None,
) -> frozenset[int]:
    """The ordinals of the calls whose tasks run again when a run is resumed.

    - Those that did not do their work.
    - Later synchronizations of complete extracts with links that lead to what these synchronize: they could not link
      resources that were not there yet.
    - The preparation of a synchronization among them, unless that applies what was held back: what was prepared was
      lost with the process, and a delta is never read as a complete extract.
    - The flag and computing tasks after the first of them, for there may be new changes to follow.

    :param pending: the ordinals of synchronizations whose changes were held back.
    :param only_pending: leaves out the other preparations and synchronizations: a later run did their work.
    :param leads_to: connector -> the connectors that feed the resources to which its links lead.
    """
    again = {task.ordinal for task in run.tasks if task.state not in DONE}
    if only_pending:
        again = {n for n in again if n in pending or not isinstance(calls[n - 1].task, ConnectorTask)}
    else:
        again |= _linked_to(again, calls, leads_to or {})
    again |= {
        call.prepared_at
        for call in calls
        if call.ordinal in again and call.ordinal not in pending and call.prepared_at is not None
    }
    first = min(again, default=len(calls))
    following = {call.ordinal for call in calls if call.ordinal > first and call.task.follows_changes}
    return frozenset(again | following)


def _linked_to(again: Collection[int], calls: Sequence[TaskCall], leads_to: Mapping[str, Collection[str]]) -> set[int]:
    """The ordinals of later synchronizations with links to what other calls synchronize."""
    first: dict[str, int] = {}
    for call in calls:
        if call.ordinal in again and call.task.synchronizes is not None:
            first.setdefault(call.task.synchronizes, call.ordinal)
    return {
        call.ordinal
        for call in calls
        if call.task.synchronizes is not None
        and not _is_delta(call, calls)
        and any(first.get(other, call.ordinal) < call.ordinal for other in leads_to.get(call.task.synchronizes, ()))
    }


def _is_delta(call: TaskCall, calls: Sequence[TaskCall]) -> bool:
    return call.prepared_at is not None and calls[call.prepared_at - 1].task.is_delta


def kept_outcomes(run: JobRun, again: Collection[int]) -> Mapping[int, Outcome]:
    """The outcomes on record of the tasks that do not run again, by ordinal."""
    return {task.ordinal: outcome_of(task) for task in run.tasks if task.ordinal not in again}


def outcome_of(task: TaskRun) -> Outcome:
    """The outcome of a task as it is on record."""
    return Outcome(task.state, task.effect)
