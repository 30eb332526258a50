"""Which tasks run, in which order, and how a run ends."""

from __future__ import annotations

import pytest

from deltamark.domain.job import (
    ComputeCorrelationKeysTask,
    Job,
    Outcome,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    TaskState,
    in_order,
    reason_connector_is_out,
    reason_to_skip,
)
from deltamark.domain.model import Connector, JobUse
from deltamark.domain.run import TaskRun
from deltamark.domain.run_states import state_of_run

EFFECT = Outcome(TaskState.COMPLETED, effect=True)
NOTHING = Outcome(TaskState.COMPLETED)
WARNED = Outcome(TaskState.WARNING, effect=True)
WARNED_NOTHING = Outcome(TaskState.WARNING)
FAILED = Outcome(TaskState.FAILED)
BLOCKED = Outcome(TaskState.BLOCKED)
SKIPPED = Outcome(TaskState.SKIPPED)

# The outcomes of the parents A and B; whether a child runs beside them, and whether a flag task does. A task that
# an earlier run left work runs wherever nothing stopped its parents.
TABLE = [
    # A               B               child  flag   child with work  flag with work
    (EFFECT, None, True, True, True, True),
    (NOTHING, None, False, False, True, True),
    (WARNED, None, True, True, True, True),
    (WARNED_NOTHING, None, False, False, True, True),
    (FAILED, None, False, False, False, True),
    (BLOCKED, None, False, False, False, True),
    (SKIPPED, None, False, False, True, True),
    (EFFECT, EFFECT, True, True, True, True),
    (EFFECT, NOTHING, True, True, True, True),
    (EFFECT, WARNED_NOTHING, True, True, True, True),
    (EFFECT, SKIPPED, True, True, True, True),
    (EFFECT, FAILED, False, True, False, True),
    (EFFECT, BLOCKED, False, True, False, True),
    (WARNED, FAILED, False, True, False, True),
    (NOTHING, NOTHING, False, False, True, True),
    (NOTHING, SKIPPED, False, False, True, True),
    (NOTHING, FAILED, False, False, False, True),
    (NOTHING, BLOCKED, False, False, False, True),
    (SKIPPED, SKIPPED, False, False, True, True),
    (SKIPPED, FAILED, False, False, False, True),
    (FAILED, BLOCKED, False, False, False, True),
]


@pytest.mark.parametrize("has_work", [False, True])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("row", TABLE)
def test_a_child_runs_after_an_effect_unless_a_parent_was_stopped(row, turned, has_work):
    a, b, child_runs, flag_runs = row[0], row[1], *(row[4:] if has_work else row[2:4])
    outcomes = {"A": a} if b is None else {"A": b, "B": a} if turned else {"A": a, "B": b}
    child = ComputeCorrelationKeysTask(dirty=True, all_entity_type=True, parents=list(outcomes))
    flag = SetRecentlyModifiedFlagTask(parents=list(outcomes))

    assert (reason_to_skip(child, outcomes, has_work=has_work) is None) is child_runs
    assert (reason_to_skip(flag, outcomes, has_work=has_work) is None) is flag_runs


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ({"A": NOTHING}, "its parent task A changed nothing"),
        ({"A": SKIPPED}, "its parent task A was skipped"),
        ({"A": FAILED}, "its parent task A failed"),
        ({"A": EFFECT, "B": BLOCKED}, "its parent task B was blocked"),
    ],
)
def test_the_reason_names_the_parent(outcomes, reason):
    child = ComputeCorrelationKeysTask(all_entity_type=True, parents=list(outcomes))

    assert reason_to_skip(child, outcomes) == reason


def test_the_reason_of_a_flag_task_beside_a_failure_names_what_failed():
    flag = SetRecentlyModifiedFlagTask(parents=["A", "B"])

    assert reason_to_skip(flag, {"A": NOTHING, "B": FAILED}) == "no parent task changed anything (B did not complete)"


def test_a_task_without_parents_runs_whatever_happened():
    task = SetRecentlyModifiedFlagTask()

    assert reason_to_skip(task, {"A": FAILED, "B": SKIPPED}) is None


def test_a_parent_that_is_not_part_of_the_run_does_not_count():
    task = SetRecentlyModifiedFlagTask(parents=["Elsewhere"])

    assert reason_to_skip(task, {"A": NOTHING}) is None


def at(identifier, level):
    return SynchronizeTask(identifier=identifier, connector="C", level=level)


@pytest.mark.parametrize(
    ("levels", "order"),
    [
        ([-1, -1, -1], "abc"),
        ([3, 2, 5], "bac"),
        ([2, 1, 2], "bac"),
        ([10, 9, 0], "cba"),
    ],
)
def test_tasks_run_by_level_and_within_one_as_they_are_written(levels, order):
    tasks = tuple(at(name, level) for name, level in zip("abc", levels, strict=True))

    assert "".join(task.identifier for task in in_order(tasks)) == order


S = TaskState


@pytest.mark.parametrize(
    ("states", "stopped", "ends"),
    [
        ([S.COMPLETED, S.COMPLETED], False, S.COMPLETED),
        ([S.COMPLETED, S.SKIPPED], False, S.COMPLETED),
        ([], False, S.COMPLETED),
        ([S.COMPLETED, S.WARNING], False, S.WARNING),
        ([S.FAILED, S.COMPLETED], False, S.WARNING),
        ([S.FAILED, S.SKIPPED], True, S.FAILED),
        ([S.BLOCKED, S.COMPLETED], False, S.BLOCKED),
        ([S.BLOCKED, S.WARNING, S.FAILED], False, S.BLOCKED),
        ([S.BLOCKED, S.FAILED], True, S.FAILED),
    ],
)
def test_a_run_ends_as_its_tasks_did(states, stopped, ends):
    tasks = [TaskRun(ordinal=n, identifier=f"T{n}", kind="K", state=state) for n, state in enumerate(states, 1)]

    assert state_of_run(tasks, stopped=stopped) is ends


@pytest.mark.parametrize(
    ("states", "stopped", "ends"),
    [
        ([S.COMPLETED, S.SKIPPED], False, S.CANCELLED),
        ([S.BLOCKED, S.SKIPPED], False, S.CANCELLED),
        ([S.FAILED, S.SKIPPED], False, S.CANCELLED),
        ([S.FAILED, S.SKIPPED], True, S.FAILED),
    ],
)
def test_a_run_that_somebody_stopped_was_cancelled_unless_a_failure_had_stopped_it(states, stopped, ends):
    tasks = [TaskRun(ordinal=n, identifier=f"T{n}", kind="K", state=state) for n, state in enumerate(states, 1)]

    assert state_of_run(tasks, stopped=stopped, cancelled=True) is ends


@pytest.mark.parametrize("use", JobUse)
@pytest.mark.parametrize("incremental", [False, True])
def test_a_connector_is_synchronized_where_it_says_so(use, incremental):
    chosen = {"incremental_job": use} if incremental else {"complete_job": use}
    job = Job("J", is_incremental=incremental)

    reason = reason_connector_is_out(Connector("HR", **chosen), job)

    kind = "incremental" if incremental else "complete"
    out = use in (JobUse.NOT_USED, JobUse.ONLY_PROVISIONING)
    assert reason == (f"connector HR is not synchronized by {kind} jobs" if out else None)


def test_a_deactivated_connector_is_never_synchronized():
    reason = reason_connector_is_out(Connector("HR", is_deactivated=True), Job("J"))

    assert reason == "connector HR is deactivated"
