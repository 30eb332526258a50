"""How a run ended whose process died: what its record says, as far as it went."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve

from deltamark import JobRun, TaskRun, TaskState
from deltamark.domain.run import end_of_dead_run, end_of_dead_task

DONE, RUNNING, PENDING, FAILED = TaskState.COMPLETED, TaskState.RUNNING, TaskState.PENDING, TaskState.FAILED


def run(*states: TaskState) -> JobRun:
    """A run with a task of each of these states."""
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
        (run(RUNNING, PENDING), (1, FAILED), FAILED),
        (run(DONE, RUNNING), (2, FAILED), FAILED),
        (run(DONE, PENDING, PENDING), (2, TaskState.SKIPPED), FAILED),
        (run(DONE, DONE), None, DONE),
        (run(DONE, FAILED), None, FAILED),
        (run(TaskState.BLOCKED, TaskState.SKIPPED), None, TaskState.BLOCKED),
    ],
    ids=["in the first", "in the last", "between two", "at the end", "after a failure", "after a block"],
)
def test_a_run_whose_process_died_failed_where_it_stopped(died, stopped_at, ended):
    found = end_of_dead_task(died)

    assert (found and (found[0].ordinal, found[1])) == stopped_at
    assert end_of_dead_run(died) is ended
