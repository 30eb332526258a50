"""How a run ends whose process died, from what was recorded."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve

from deltamark import JobRun, TaskRun, TaskState
from deltamark.domain.runs.outcomes import as_aborted, end_of_dead_run, ends_of_dead_tasks

DONE, RUNNING, PENDING, FAILED = TaskState.COMPLETED, TaskState.RUNNING, TaskState.PENDING, TaskState.FAILED
ABORTED, SKIPPED = TaskState.ABORTED, TaskState.SKIPPED


def run(*states: TaskState) -> JobRun:
    """A run whose tasks have these states."""
    tasks = [TaskRun(ordinal=n, identifier=f"Task{n}", kind="Task", state=state) for n, state in enumerate(states, 1)]
    return evolve(EMPTY, tasks=tuple(tasks))


EMPTY = JobRun(
    originator_id="1",
    version=1,
    number=1,
    job="Nightly",
    state=TaskState.RUNNING,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    configuration_digest="",
    user="ann",
    host="here",
    process=1,
    forced=False,
    tasks=(),
)


@pytest.mark.parametrize(
    ("died", "stopped_at", "ended"),
    [
        (run(RUNNING, PENDING), [(1, ABORTED)], ABORTED),
        (run(DONE, RUNNING), [(2, ABORTED)], ABORTED),
        (run(RUNNING, DONE, RUNNING, PENDING), [(1, ABORTED), (3, ABORTED)], ABORTED),
        (run(DONE, PENDING, PENDING), [(2, SKIPPED)], ABORTED),
        (run(DONE, DONE), [], DONE),
        (run(DONE, FAILED), [], FAILED),
        (run(TaskState.BLOCKED, SKIPPED), [], TaskState.BLOCKED),
    ],
    ids=["in the first", "in the last", "in two at once", "between two", "at the end", "after a failure", "blocked"],
)
def test_a_run_whose_process_died_is_aborted_where_it_stopped(died, stopped_at, ended):
    assert [(task.ordinal, state) for task, state in ends_of_dead_tasks(died)] == stopped_at
    assert end_of_dead_run(died) is ended


def test_a_dead_run_is_shown_as_aborted_before_that_is_recorded():
    shown = as_aborted(run(DONE, RUNNING, RUNNING, PENDING))

    assert shown.state is ABORTED
    assert [task.state for task in shown.tasks] == [DONE, ABORTED, ABORTED, PENDING]
