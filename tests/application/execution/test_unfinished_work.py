"""What an earlier run could not finish, the next run does, though nothing changed since."""

from __future__ import annotations

from deltamark import ComputeCorrelationKeysTask, Job, ResourceCorrelationRule, Step, TaskOverride, TaskState
from tests.scenarios.house import task

FRAGILE = ResourceCorrelationRule("Owner", None, "SQL:p: p.Name", None, "SQL:p: cast(p.Mail as bigint)")
EVERYTHING = ComputeCorrelationKeysTask(identifier="Everything", entity_types=["Person"], parents=["SynchronizeHR"])
NIGHTLY = Job("Nightly", [Step("SynchronizeHR"), EVERYTHING])


def test_a_complete_task_that_failed_runs_again_although_nothing_changed(new_house):
    house = new_house(rules=[FRAGILE], more_jobs=[NIGHTLY]).people({"1": {"Name": "Ann", "Mail": "forty"}})
    failed = house.engine.run_job("Nightly")
    assert task(failed, "Everything").state is TaskState.FAILED

    house.configured(more_jobs=[NIGHTLY])
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
