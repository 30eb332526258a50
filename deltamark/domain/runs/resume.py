"""Going on with a run: which of its tasks run again, and why it must not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from deltamark.domain.configuration.jobs import ConnectorTask, TaskState
from deltamark.domain.runs.outcomes import Outcome
from deltamark.domain.runs.run import JobRun, TaskRun
from deltamark.domain.runs.task_calls import Occurrence

DONE = (TaskState.COMPLETED, TaskState.WARNING)
"""States in which a task did its work."""


def reason_not_to_resume(
    run: JobRun, places: Sequence[Occurrence] | None, *, later: JobRun | None, has_pending: bool
) -> str | None:
    """Why a run that is not running must not go on, a clause; None where it may.

    :param places: those of its job as it is configured now; None where there is no such job.
    :param later: a later run of the same job that did its work. A run that was blocked goes on nevertheless: what it
        holds back is still to be decided on.
    :param has_pending: whether there are changes that it holds back.
    """
    if run.state is TaskState.CANCELLED:
        return "it was cancelled. Run the job again"
    if not any(task.state not in (*DONE, TaskState.SKIPPED) for task in run.tasks) and run.state in DONE:
        return f"it has ended ({run.state.value}) and nothing of it is left to do"
    if places is None:
        return f"there is no job {run.job} in the configuration any more"
    planned = [(place.ordinal, place.task.identifier, place.task.kind) for place in places]
    if planned != [(task.ordinal, task.identifier, task.kind) for task in run.tasks]:
        return (
            f"job {run.job} calls other tasks now than when the run started. Run the job again, or restore the "
            "configuration"
        )
    if later is not None and not has_pending:
        return f"run {later.number} of the same job has done its work since. Run the job again"
    return None


def places_to_run(
    run: JobRun,
    places: Sequence[Occurrence],
    pending: Collection[int],
    *,
    only_pending: bool = False,
    leads_to: Mapping[str, Collection[str]] | None = None,
) -> frozenset[int]:
    """The places whose tasks run again when a run goes on.

    Those that did not do their work. Later synchronizations of complete extracts with links that lead to what they
    synchronize: they could not link what was not there. The preparation of a synchronization among them, unless that
    applies what was held back: what it had prepared was lost with its process, and a delta is never read as a complete
    extract. And of flag and computing tasks those that follow them, for there may be new changes to follow.

    :param pending: the places of synchronizations whose changes were held back.
    :param only_pending: leaves out the other preparations and synchronizations: a later run did their work.
    :param leads_to: connector -> the connectors that feed the resources to which its links lead.
    """
    again = {task.ordinal for task in run.tasks if task.state not in DONE}
    if only_pending:
        again = {n for n in again if n in pending or not isinstance(places[n - 1].task, ConnectorTask)}
    else:
        again |= _linked_to(again, places, leads_to or {})
    again |= {
        place.prepared_at
        for place in places
        if place.ordinal in again and place.ordinal not in pending and place.prepared_at is not None
    }
    first = min(again, default=len(places))
    following = {place.ordinal for place in places if place.ordinal > first and place.task.follows_changes}
    return frozenset(again | following)


def _linked_to(
    again: Collection[int], places: Sequence[Occurrence], leads_to: Mapping[str, Collection[str]]
) -> set[int]:
    """The later places of synchronizations with links to what those of other places synchronize."""
    first: dict[str, int] = {}
    for place in places:
        if place.ordinal in again and place.task.synchronizes is not None:
            first.setdefault(place.task.synchronizes, place.ordinal)
    return {
        place.ordinal
        for place in places
        if place.task.synchronizes is not None
        and not _is_delta(place, places)
        and any(first.get(other, place.ordinal) < place.ordinal for other in leads_to.get(place.task.synchronizes, ()))
    }


def _is_delta(place: Occurrence, places: Sequence[Occurrence]) -> bool:
    return place.prepared_at is not None and places[place.prepared_at - 1].task.is_delta


def kept_outcomes(run: JobRun, again: Collection[int]) -> Mapping[int, Outcome]:
    """What the tasks that do not run again left, by their places: it comes from the record."""
    return {task.ordinal: outcome_of(task) for task in run.tasks if task.ordinal not in again}


def outcome_of(task: TaskRun) -> Outcome:
    """What a task left, as it is on record."""
    return Outcome(task.state, task.effect)
