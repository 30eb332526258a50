"""How runs end: by what became of their tasks, or because their process died."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.runs.run import JobRun, TaskRun


def state_of_run(tasks: Iterable[TaskRun], *, stopped: bool, cancelled: bool = False) -> TaskState:
    """How a run ends whose tasks ended like this.

    Failed when a failure stopped it; cancelled when somebody did; blocked when a threshold held a task back; warning
    when a task failed and the run went on, or a task ended in warning; completed otherwise.

    :param stopped: whether a failure kept later tasks from running.
    :param cancelled: whether tasks were left out because somebody wanted the run to stop.
    """
    states = {task.state for task in tasks}
    if stopped and TaskState.FAILED in states:
        return TaskState.FAILED
    if cancelled:
        return TaskState.CANCELLED
    if TaskState.BLOCKED in states:
        return TaskState.BLOCKED
    if states & {TaskState.FAILED, TaskState.WARNING}:
        return TaskState.WARNING
    return TaskState.COMPLETED


def end_of_dead_tasks(run: JobRun) -> list[tuple[TaskRun, TaskState]]:
    """The tasks at which a run stopped whose process died, and how they ended.

    All that were running, aborted; where none was, the first that had not begun, skipped; none where all had ended.
    """
    running = [(task, TaskState.ABORTED) for task in run.tasks if task.state is TaskState.RUNNING]
    waiting = [(task, TaskState.SKIPPED) for task in run.tasks if task.state is TaskState.PENDING]
    return running or waiting[:1]


def end_of_dead_run(run: JobRun) -> TaskState:
    """How a run ended whose process died: aborted, unless all its tasks had ended by then."""
    return TaskState.ABORTED if end_of_dead_tasks(run) else state_of_run(run.tasks, stopped=True)


def as_aborted(run: JobRun) -> JobRun:
    """A run whose process died, before anybody has put that on record: what was running is aborted."""
    tasks = [evolve(t, state=TaskState.ABORTED) if t.state is TaskState.RUNNING else t for t in run.tasks]
    return evolve(run, state=TaskState.ABORTED, tasks=tuple(tasks))
