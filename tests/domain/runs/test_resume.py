"""Which tasks of a run run again when it goes on, and when it must not."""

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
        # what did not do its work, from the first on
        ((DONE, DONE, DONE, DONE, FAILED), (), {KEYS}),
        ((DONE, DONE, DONE, ABORTED, PENDING), (), {FLAG, KEYS}),
        ((DONE, WARNED, FAILED, SKIPPED, SKIPPED), (), {AD, FLAG, KEYS}),
        ((FAILED, SKIPPED, SKIPPED, SKIPPED, SKIPPED), (), {PREPARE, HR, AD, FLAG, KEYS}),
        # what was prepared lived in memory
        ((DONE, FAILED, SKIPPED, SKIPPED, SKIPPED), (), {PREPARE, HR, AD, FLAG, KEYS}),
        ((WARNED, ABORTED, PENDING, PENDING, PENDING), (), {PREPARE, HR, AD, FLAG, KEYS}),
        # … unless exactly what was held back is applied
        ((DONE, BLOCKED, DONE, SKIPPED, SKIPPED), (HR,), {HR, FLAG, KEYS}),
        ((DONE, BLOCKED, DONE, SKIPPED, SKIPPED), (), {PREPARE, HR, FLAG, KEYS}),
        # what follows the changes follows those of a task that runs again
        ((DONE, DONE, FAILED, DONE, DONE), (), {AD, FLAG, KEYS}),
        ((DONE, BLOCKED, DONE, DONE, DONE), (HR,), {HR, FLAG, KEYS}),
        ((DONE, DONE, DONE, FAILED, DONE), (), {FLAG, KEYS}),
    ],
)
def test_what_did_not_do_its_work_runs_again(states, pending, again):
    assert calls_to_repeat(run(*states), CALLS, pending) == again


LINKED = {"AD": {"HR"}}


def test_a_later_synchronization_that_could_not_link_what_was_not_there_runs_again():
    beside = run(DONE, FAILED, DONE, DONE, DONE)

    assert calls_to_repeat(beside, CALLS, ()) == {PREPARE, HR, FLAG, KEYS}
    assert calls_to_repeat(beside, CALLS, (), leads_to=LINKED) == {PREPARE, HR, AD, FLAG, KEYS}
    assert calls_to_repeat(beside, CALLS, (), leads_to={"HR": {"AD"}}) == {PREPARE, HR, FLAG, KEYS}


def test_one_of_a_delta_does_not_for_a_delta_is_applied_once():
    delta = {"synchronization_mode": SynchronizationMode.INCREMENTAL, "column_name": "Command"}
    tasks = [SynchronizeTask(connector="HR"), evolve(TASKS[0], connector="AD", **delta), *TASKS[2:]]
    calls = all_calls(call_groups(tasks))

    beside = run(FAILED, DONE, DONE, DONE, DONE)

    assert calls_to_repeat(beside, calls, (), leads_to=LINKED) == {1, FLAG, KEYS}


def test_after_a_later_run_only_what_was_held_back_is_done_and_what_follows_it():
    blocked = run(DONE, BLOCKED, FAILED, SKIPPED, SKIPPED)

    assert calls_to_repeat(blocked, CALLS, (HR,), only_pending=True) == {HR, FLAG, KEYS}


def test_the_outcomes_of_the_others_come_from_the_record():
    outcomes = kept_outcomes(run(DONE, WARNED, FAILED, SKIPPED, SKIPPED), {AD, FLAG, KEYS})

    assert {ordinal: (outcome.state, outcome.effect) for ordinal, outcome in outcomes.items()} == {
        PREPARE: (DONE, True),
        HR: (WARNED, False),
    }


def refused(run, calls=CALLS, later=None, *, has_pending=False):
    return reason_not_to_resume(run, calls, later=later, has_pending=has_pending)


STOPPED = run(DONE, FAILED, SKIPPED, SKIPPED, SKIPPED)


@pytest.mark.parametrize("state", [FAILED, BLOCKED, ABORTED])
def test_a_run_that_was_stopped_goes_on(state):
    assert refused(evolve(STOPPED, state=state)) is None


def test_a_run_that_went_on_beside_a_failure_goes_on_with_that():
    assert refused(run(DONE, FAILED, DONE, DONE, DONE, state=WARNED)) is None


@pytest.mark.parametrize("state", [DONE, WARNED])
def test_a_run_that_did_everything_does_not_go_on(state):
    done = run(DONE, SKIPPED, state, DONE, SKIPPED, state=state)

    assert refused(done) == f"it has ended ({state.value}) and nothing of it is left to do"


def test_a_run_that_was_cancelled_does_not_go_on():
    assert refused(evolve(STOPPED, state=CANCELLED)).startswith("it was cancelled")


def test_a_run_whose_job_is_gone_or_calls_other_tasks_does_not_go_on():
    assert refused(STOPPED, None) == "there is no job Nightly in the configuration any more"
    for others in (CALLS[:-1], CALLS[::-1], (*CALLS, CALLS[-1])):
        assert refused(STOPPED, others).startswith("job Nightly calls other tasks now")


def test_a_run_that_a_later_one_made_up_for_does_not_go_on_unless_it_holds_something_back():
    later = evolve(EMPTY, number=7, state=DONE)

    assert refused(STOPPED, later=later).startswith("run 7 of the same job has done its work since")
    assert refused(STOPPED, later=later, has_pending=True) is None
