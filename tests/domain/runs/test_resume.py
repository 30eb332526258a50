"""Which tasks run again when a run is resumed, and when it cannot be."""

from __future__ import annotations

import pytest
from attrs import evolve

from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    SynchronizationMode,
    SynchronizeTask,
    TaskState,
)
from deltamark.domain.runs.resume import calls_to_repeat, kept_outcomes, reason_not_to_resume
from deltamark.domain.runs.run import TaskRun
from deltamark.domain.runs.task_calls import all_calls, call_groups
from tests.domain.runs.test_dead_runs import EMPTY

DONE, WARNED, FAILED, SKIPPED = TaskState.COMPLETED, TaskState.WARNING, TaskState.FAILED, TaskState.SKIPPED
BLOCKED, PENDING, ABORTED, CANCELLED = TaskState.BLOCKED, TaskState.PENDING, TaskState.ABORTED, TaskState.CANCELLED

TASKS = [
    PrepareSynchronizationTask(connector="HR"),
    SynchronizeTask(connector="HR"),
    SynchronizeTask(connector="AD"),
    SetRecentlyModifiedFlagTask(),
    ComputeCorrelationKeysTask(dirty=True, all_entity_type=True),
]
CALLS = all_calls(call_groups(TASKS))
PREPARE, HR, AD, FLAG, KEYS = 1, 2, 3, 4, 5


def run(*states, state=FAILED):
    tasks = [
        TaskRun(ordinal=n, identifier=task.identifier, kind=task.kind, state=how, effect=how is DONE)
        for n, (task, how) in enumerate(zip(TASKS, states, strict=True), 1)
    ]
    return evolve(EMPTY, tasks=tuple(tasks), state=state)


@pytest.mark.parametrize(
    ("states", "pending", "again"),
    [
        # unfinished tasks, from the first one
        ((DONE, DONE, DONE, DONE, FAILED), (), {KEYS}),
        ((DONE, DONE, DONE, ABORTED, PENDING), (), {FLAG, KEYS}),
        ((DONE, WARNED, FAILED, SKIPPED, SKIPPED), (), {AD, FLAG, KEYS}),
        ((FAILED, SKIPPED, SKIPPED, SKIPPED, SKIPPED), (), {PREPARE, HR, AD, FLAG, KEYS}),
        # prepared extracts were only in memory
        ((DONE, FAILED, SKIPPED, SKIPPED, SKIPPED), (), {PREPARE, HR, AD, FLAG, KEYS}),
        ((WARNED, ABORTED, PENDING, PENDING, PENDING), (), {PREPARE, HR, AD, FLAG, KEYS}),
        # … unless only the held-back changes are applied
        ((DONE, BLOCKED, DONE, SKIPPED, SKIPPED), (HR,), {HR, FLAG, KEYS}),
        ((DONE, BLOCKED, DONE, SKIPPED, SKIPPED), (), {PREPARE, HR, FLAG, KEYS}),
        # followers of a task that runs again
        ((DONE, DONE, FAILED, DONE, DONE), (), {AD, FLAG, KEYS}),
        ((DONE, BLOCKED, DONE, DONE, DONE), (HR,), {HR, FLAG, KEYS}),
        ((DONE, DONE, DONE, FAILED, DONE), (), {FLAG, KEYS}),
    ],
)
def test_unfinished_tasks_run_again(states, pending, again):
    assert calls_to_repeat(run(*states), CALLS, pending) == again


LINKED = {"AD": {"HR"}}


def test_a_synchronization_with_links_to_missing_resources_runs_again():
    beside = run(DONE, FAILED, DONE, DONE, DONE)

    assert calls_to_repeat(beside, CALLS, ()) == {PREPARE, HR, FLAG, KEYS}
    assert calls_to_repeat(beside, CALLS, (), leads_to=LINKED) == {PREPARE, HR, AD, FLAG, KEYS}
    assert calls_to_repeat(beside, CALLS, (), leads_to={"HR": {"AD"}}) == {PREPARE, HR, FLAG, KEYS}


def test_a_synchronization_of_a_delta_does_not_run_again():
    delta = {"synchronization_mode": SynchronizationMode.INCREMENTAL, "column_name": "Command"}
    tasks = [SynchronizeTask(connector="HR"), evolve(TASKS[0], connector="AD", **delta), *TASKS[2:]]
    calls = all_calls(call_groups(tasks))

    beside = run(FAILED, DONE, DONE, DONE, DONE)

    assert calls_to_repeat(beside, calls, (), leads_to=LINKED) == {1, FLAG, KEYS}


def test_after_a_later_run_only_held_back_changes_and_their_followers_run():
    blocked = run(DONE, BLOCKED, FAILED, SKIPPED, SKIPPED)

    assert calls_to_repeat(blocked, CALLS, (HR,), only_pending=True) == {HR, FLAG, KEYS}


def test_the_outcomes_of_finished_tasks_come_from_the_record():
    outcomes = kept_outcomes(run(DONE, WARNED, FAILED, SKIPPED, SKIPPED), {AD, FLAG, KEYS})

    assert {ordinal: (outcome.state, outcome.effect) for ordinal, outcome in outcomes.items()} == {
        PREPARE: (DONE, True),
        HR: (WARNED, False),
    }


def refused(run, calls=CALLS, later=None, *, has_pending=False):
    return reason_not_to_resume(run, calls, later=later, has_pending=has_pending)


STOPPED = run(DONE, FAILED, SKIPPED, SKIPPED, SKIPPED)


@pytest.mark.parametrize("state", [FAILED, BLOCKED, ABORTED])
def test_a_stopped_run_can_be_resumed(state):
    assert refused(evolve(STOPPED, state=state)) is None


def test_a_run_that_continued_after_a_failure_can_be_resumed():
    assert refused(run(DONE, FAILED, DONE, DONE, DONE, state=WARNED)) is None


@pytest.mark.parametrize("state", [DONE, WARNED])
def test_a_completed_run_cannot_be_resumed(state):
    done = run(DONE, SKIPPED, state, DONE, SKIPPED, state=state)

    assert refused(done) == f"it has ended ({state.value}) and none of its tasks is left to run"


def test_a_cancelled_run_cannot_be_resumed():
    assert refused(evolve(STOPPED, state=CANCELLED)).startswith("it was cancelled")


def test_a_run_whose_job_has_changed_cannot_be_resumed():
    assert refused(STOPPED, None) == "the configuration no longer has a job Nightly"
    for others in (CALLS[:-1], CALLS[::-1], (*CALLS, CALLS[-1])):
        assert refused(STOPPED, others).startswith("job Nightly calls other tasks than")


def test_a_superseded_run_can_be_resumed_only_if_it_held_something_back():
    later = evolve(EMPTY, number=7, state=DONE)

    assert refused(STOPPED, later=later).startswith("run 7 of the same job has done its work since")
    assert refused(STOPPED, later=later, has_pending=True) is None
