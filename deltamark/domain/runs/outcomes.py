"""Whether a task runs after what became of the tasks that it depends on, and why not."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from deltamark.domain.configuration.jobs import Task, TaskState

_STOPPED = {
    TaskState.FAILED: "failed",
    TaskState.BLOCKED: "was blocked",
    TaskState.CANCELLED: "was cancelled",
    TaskState.ABORTED: "was aborted",
}
"""States in which a task did not do its work, in words."""


@frozen
class Outcome:
    """What a task left for the tasks that depend on it: its state, and whether it had an effect."""

    state: TaskState
    effect: bool = False


def reason_to_skip(task: Task, parents: Mapping[str, Outcome], *, has_work: bool = False) -> str | None:
    """Why `task` must not run after these outcomes of its parents, or None when it runs.

    A child runs when at least one parent completed with an effect and no parent failed, was blocked, cancelled or
    aborted. A flag task runs beside such a parent when another one had an effect: the changes of the others must be
    flagged. A parent that was skipped has no effect. Without parents a task runs whatever happened.

    :param parents: the outcomes by the parents' names; those that are not part of the run, or come later, left out.
    :param has_work: whether an earlier run, which failed or was killed, left work for this task: it runs then
        although its parents had no effect, or what was left would stay stale.
    """
    if not parents:
        return None
    stopped = [name for name, outcome in parents.items() if outcome.state in _STOPPED]
    if stopped and not task.flags_changes:
        return f"its parent task {stopped[0]} {_STOPPED[parents[stopped[0]].state]}"
    if has_work or any(outcome.effect for outcome in parents.values()):
        return None
    if stopped:
        return f"no parent task changed anything ({stopped[0]} did not complete)"
    if all(outcome.state is TaskState.SKIPPED for outcome in parents.values()):
        return f"its parent task {next(iter(parents))} was skipped"
    return f"its parent task {next(iter(parents))} changed nothing"


def reason_unprepared(preparation: str, outcome: Outcome) -> str:
    """Why a synchronization must not run whose preparation, of extracts that tell only what happened, left nothing."""
    if outcome.state in _STOPPED:
        what = f"{preparation} {_STOPPED[outcome.state]}"
    elif outcome.state is TaskState.SKIPPED:
        what = f"{preparation} was skipped"
    else:
        what = f"what {preparation} prepared was synchronized already"
    return f"{what}, and its extracts tell only what happened: read as complete ones they would delete all the rest"
