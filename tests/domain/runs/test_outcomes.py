"""Whether a task runs, after every outcome of one parent and of two."""

from __future__ import annotations

import pytest

from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    SynchronizationMode,
    TaskState,
)
from deltamark.domain.runs.outcomes import Outcome, reason_to_skip, reason_unprepared

EFFECT = Outcome(TaskState.COMPLETED, effect=True)
NOTHING = Outcome(TaskState.COMPLETED)
WARNED = Outcome(TaskState.WARNING, effect=True)
WARNED_NOTHING = Outcome(TaskState.WARNING)
FAILED = Outcome(TaskState.FAILED)
BLOCKED = Outcome(TaskState.BLOCKED)
SKIPPED = Outcome(TaskState.SKIPPED)
CANCELLED = Outcome(TaskState.CANCELLED)
ABORTED = Outcome(TaskState.ABORTED)

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
    (CANCELLED, None, False, False, False, True),
    (ABORTED, None, False, False, False, True),
    (EFFECT, EFFECT, True, True, True, True),
    (EFFECT, NOTHING, True, True, True, True),
    (EFFECT, WARNED_NOTHING, True, True, True, True),
    (EFFECT, SKIPPED, True, True, True, True),
    (EFFECT, FAILED, False, True, False, True),
    (EFFECT, BLOCKED, False, True, False, True),
    (EFFECT, CANCELLED, False, True, False, True),
    (EFFECT, ABORTED, False, True, False, True),
    (WARNED, FAILED, False, True, False, True),
    (WARNED, BLOCKED, False, True, False, True),
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
        ({"A": CANCELLED}, "its parent task A was cancelled"),
        ({"A": ABORTED}, "its parent task A was aborted"),
        ({"A": EFFECT, "B": BLOCKED}, "its parent task B was blocked"),
    ],
)
def test_the_reason_names_the_parent(outcomes, reason):
    child = ComputeCorrelationKeysTask(all_entity_type=True, parents=list(outcomes))

    assert reason_to_skip(child, outcomes) == reason


def test_the_reason_of_a_flag_task_names_the_failed_parent():
    flag = SetRecentlyModifiedFlagTask(parents=["A", "B"])

    assert reason_to_skip(flag, {"A": NOTHING, "B": FAILED}) == "no parent task changed anything (B did not complete)"


def test_a_task_without_parents_always_runs():
    assert reason_to_skip(SetRecentlyModifiedFlagTask(), {}) is None


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (FAILED, "Prepare failed"),
        (BLOCKED, "Prepare was blocked"),
        (ABORTED, "Prepare was aborted"),
        (SKIPPED, "Prepare was skipped"),
        (EFFECT, "what Prepare prepared was synchronized already"),
    ],
)
def test_an_unprepared_delta_is_not_read_as_a_complete_extract(outcome, reason):
    delta = PrepareSynchronizationTask(
        identifier="Prepare",
        connector="HR",
        synchronization_mode=SynchronizationMode.INCREMENTAL,
        column_name="Command",
    )
    first = PrepareSynchronizationTask(
        identifier="Prepare", connector="HR", synchronization_mode=SynchronizationMode.INITIAL
    )
    assert reason_unprepared(delta, outcome).startswith(f"{reason}, and its extracts hold only changes")
    assert reason_unprepared(first, outcome).startswith(f"{reason}, and its mode deletes nothing")
