"""What an earlier run could not finish, the next run does, though nothing changed since."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from deltamark import (
    ComputeCorrelationKeysTask,
    DeltamarkError,
    Job,
    Step,
    SynchronizeTask,
    TaskOverride,
    TaskState,
)
from deltamark.domain.runs.outcomes import was_left
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.scenarios.house import task

EVERYTHING = ComputeCorrelationKeysTask(identifier="Everything", entity_types=["Person"], parents=["SynchronizeHR"])
NIGHTLY = Job("Nightly", [Step("SynchronizeHR"), EVERYTHING])


def test_a_complete_task_that_failed_runs_again_although_nothing_changed(new_house, monkeypatch):
    def fail(*_: object) -> None:
        raise DeltamarkError("the memory is full")

    house = new_house(more_jobs=[NIGHTLY]).people({"1": "Ann"})
    with monkeypatch.context() as patched:
        patched.setattr(DuckEvaluator, "values", fail)
        failed = house.engine.run_job("Nightly")
    assert task(failed, "Everything").state is TaskState.FAILED

    again = house.run("Nightly")

    assert (again.counts.changed, task(again, "Everything").counts.computed) == (0, 1)


def test_a_complete_task_whose_keys_are_current_is_skipped_when_nothing_changed(new_house):
    house = new_house(more_jobs=[NIGHTLY]).people({"1": "Ann"})
    house.run("Nightly")

    again = house.run("Nightly")

    assert task(again, "Everything").state is TaskState.SKIPPED


def test_a_dirty_call_does_not_repeat_the_work_of_a_complete_call(new_house):
    complete_call = TaskOverride("ComputeCorrelationKeysTask", "Keys", {"dirty": False, "parents": []})
    nightly = Job("Nightly", [Step("SynchronizeHR"), complete_call])
    house = new_house(more_jobs=[nightly]).people({"1": "Ann", "2": "Bob"})
    house.run("Incremental")
    house.people({"1": "Anna", "2": "Bob"}).run("Nightly")

    flags = house.run("Flags")

    assert task(flags, "SetRecentlyModifiedFlag").counts.flagged == 1
    assert task(flags, "Keys").counts.computed == 0
    assert house.engine.dirty() == []


TEAMS_AFTER_PEOPLE = Job(
    "Nightly",
    [Step("SynchronizeHR"), SynchronizeTask(identifier="Later", connector="Teams", parents=["SynchronizeHR"])],
)


def test_a_synchronization_that_failed_runs_again_although_its_parent_changed_nothing(new_house):
    house = new_house(more_jobs=[TEAMS_AFTER_PEOPLE]).people({"1": "Ann"}).teams({"T": "Team"}, ("T", "1"))
    extract = house.folder / "teams.csv"
    whole = extract.read_bytes()
    extract.write_bytes(b"\xff")
    failed = house.engine.run_job("Nightly")
    assert [found.state for found in failed.tasks] == [TaskState.COMPLETED, TaskState.FAILED]

    extract.write_bytes(whole)
    again = house.engine.run_job("Nightly")
    after = house.engine.run_job("Nightly")

    assert (again.tasks[0].effect, again.tasks[1].state, again.tasks[1].counts.inserted) == (
        False,
        TaskState.COMPLETED,
        1,
    )
    assert after.tasks[1].state is TaskState.SKIPPED


def run_of(*tasks):
    calls = [SimpleNamespace(identifier=i, state=s, effect=e) for i, s, e in tasks]
    return SimpleNamespace(calls_of=lambda identifier: [call for call in calls if call.identifier == identifier])


@pytest.mark.parametrize(
    ("parent", "effect", "own", "is_left"),
    [
        (TaskState.COMPLETED, True, TaskState.COMPLETED, False),
        (TaskState.COMPLETED, True, TaskState.WARNING, False),
        (TaskState.COMPLETED, True, TaskState.FAILED, True),
        (TaskState.COMPLETED, True, TaskState.ABORTED, True),
        (TaskState.COMPLETED, True, TaskState.PENDING, True),
        (TaskState.COMPLETED, True, TaskState.CANCELLED, True),
        (TaskState.COMPLETED, True, TaskState.BLOCKED, True),
        (TaskState.COMPLETED, True, TaskState.SKIPPED, True),
        (TaskState.COMPLETED, False, TaskState.SKIPPED, False),
        (TaskState.FAILED, False, TaskState.SKIPPED, False),
    ],
)
def test_work_is_left_where_a_run_that_was_to_do_it_did_not(parent, effect, own, is_left):
    task = SynchronizeTask(identifier="Child", connector="Teams", parents=["Parent"])
    last = run_of(("Parent", parent, effect), ("Child", own, False))
    idle = run_of(("Parent", TaskState.COMPLETED, False), ("Child", TaskState.SKIPPED, False))
    done = run_of(("Parent", TaskState.COMPLETED, True), ("Child", TaskState.COMPLETED, False))

    assert was_left(task, [last, done]) is is_left
    assert was_left(task, [idle, last, done]) is is_left
    assert was_left(task, [done, last]) is False
    assert was_left(task, []) is False
