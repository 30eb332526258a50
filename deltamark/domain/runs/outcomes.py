"""How tasks and runs end, and whether a task runs after the outcomes of its parents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve, frozen

from deltamark.domain.configuration.jobs import Task, TaskState
from deltamark.domain.next_steps import NextStep, decisions
from deltamark.domain.runs.run import JobRun, LeftOut, TaskRun

_STOPPED = {
    TaskState.FAILED: "failed",
    TaskState.BLOCKED: "was blocked",
    TaskState.CANCELLED: "was cancelled",
    TaskState.ABORTED: "was aborted",
}
"""States in which a task did not do its work, in words."""


@frozen
class Outcome:
    """The state of a task and whether it had an effect.

    The tasks that depend on it look at both.
    """

    state: TaskState
    effect: bool = False


def reason_to_skip(
    task: Task, parents: Mapping[str, Outcome], names: Mapping[str, str] | None = None, *, has_work: bool = False
) -> str | None:
    """Why `task` must not run after these outcomes of its parents, or None when it runs.

    A child runs when at least one parent completed with an effect and no parent failed, was blocked, cancelled or
    aborted. A flag task runs in spite of such a parent when another parent had an effect: the changes of that one must
    be flagged. A parent that was skipped has no effect. Without parents a task always runs.

    :param parents: the outcomes by the parents' identifiers, without those that are not part of the run or come later.
    :param names: the display names of parents that have one.
    :param has_work: whether an earlier run, which failed or was killed, left work for this task: it then runs
        although its parents had no effect, or what was left would stay stale.
    """
    if not parents:
        return None
    names = names or {}
    stopped = [name for name, outcome in parents.items() if outcome.state in _STOPPED]
    if stopped and not task.flags_changes:
        return f"its parent task {names.get(stopped[0], stopped[0])} {_STOPPED[parents[stopped[0]].state]}"
    if has_work or any(outcome.effect for outcome in parents.values()):
        return None
    if stopped:
        return f"no parent task changed anything ({names.get(stopped[0], stopped[0])} did not complete)"
    first = next(iter(parents))
    if all(outcome.state is TaskState.SKIPPED for outcome in parents.values()):
        return f"its parent task {names.get(first, first)} was skipped"
    return f"its parent task {names.get(first, first)} changed nothing"


def was_left(task: Task, earlier: Iterable[JobRun]) -> bool:
    """Whether the last earlier run of a job that was to run a task ended without it having done its work.

    It was to run it if it began it, or if one of its parents had an effect.

    :param earlier: the earlier runs of the job, the newest first.
    """
    for run in earlier:
        calls = run.calls_of(task.identifier)
        if any(call.state not in (TaskState.SKIPPED, TaskState.COMPLETED, TaskState.WARNING) for call in calls):
            return True
        if any(call.state is not TaskState.SKIPPED for call in calls):
            return False
        if calls and any(parent.effect for name in task.parents for parent in run.calls_of(name)):
            return True
    return False


def reason_unprepared(preparation: Task, outcome: Outcome) -> str:
    """Why a synchronization must not run: its preparation left no extracts, and the mode of that deletes nothing.

    :param preparation: the task that prepares them.
    """
    name = preparation.display_name
    if outcome.state in _STOPPED:
        what = f"{name} {_STOPPED[outcome.state]}"
    elif outcome.state is TaskState.SKIPPED:
        what = f"{name} was skipped"
    else:
        what = f"what {name} prepared was synchronized already"
    if not preparation.is_delta:
        return f"{what}, and its mode deletes nothing: read as complete ones its extracts would delete what is missing"
    return f"{what}, and its extracts hold only changes: read as complete ones they would delete everything else"


def end_of_run(tasks: Iterable[TaskRun], *, stopped: bool, cancelled: bool = False) -> TaskState:
    """The state in which a run with these tasks ends.

    Failed when a failure stopped it; cancelled when a user did; blocked when a threshold held a task back; warning
    when a task failed and the run went on, a task ended in warning, or one left out a connector whose changes are held
    back; completed otherwise.

    :param stopped: whether a failure kept later tasks from running.
    :param cancelled: whether tasks were skipped because a user asked the run to stop.
    """
    tasks = list(tasks)
    states = {task.state for task in tasks}
    if stopped and TaskState.FAILED in states:
        return TaskState.FAILED
    if cancelled:
        return TaskState.CANCELLED
    if TaskState.BLOCKED in states:
        return TaskState.BLOCKED
    if states & {TaskState.FAILED, TaskState.WARNING} or any(task.left_out is not None for task in tasks):
        return TaskState.WARNING
    return TaskState.COMPLETED


def decisions_about(left_out: Iterable[LeftOut]) -> Iterator[NextStep]:
    """What can be done about connectors that are left out, once for each run that holds changes back."""
    for run in dict.fromkeys(found.run for found in left_out if not found.is_dropped):
        yield from decisions(run)


def ends_of_dead_tasks(run: JobRun) -> list[tuple[TaskRun, TaskState]]:
    """The tasks at which a run stopped whose process died, and the states in which they ended.

    All that were running, aborted; where none was, the first that had not begun, skipped; none where all had ended.
    """
    running = [(task, TaskState.ABORTED) for task in run.tasks if task.state is TaskState.RUNNING]
    waiting = [(task, TaskState.SKIPPED) for task in run.tasks if task.state is TaskState.PENDING]
    return running or waiting[:1]


def end_of_dead_run(run: JobRun) -> TaskState:
    """The state in which a run ended whose process died.

    It is aborted, unless all its tasks had ended by then.
    """
    return TaskState.ABORTED if ends_of_dead_tasks(run) else end_of_run(run.tasks, stopped=True)


def as_aborted(run: JobRun) -> JobRun:
    """A run whose process died, as it is shown until that is on record.

    What was running is aborted.
    """
    tasks = [evolve(task, state=TaskState.ABORTED) if task.state is TaskState.RUNNING else task for task in run.tasks]
    return evolve(run, state=TaskState.ABORTED, tasks=tuple(tasks))
