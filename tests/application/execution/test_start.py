"""Who may start a job, and what its record says of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deltamark import Job, Observer, Step, TaskState
from deltamark.application.execution.run_job import run_job
from deltamark.domain.errors import UserStartDenied
from deltamark.domain.runs.run import Trigger, TriggerKind

DUE = datetime(2026, 11, 24, 3, tzinfo=UTC)
NIGHTLY = Job("Nightly", [Step("SynchronizeHR")], user_start_denied=True)


def started_by(trigger, house, job="Nightly"):
    services = house.engine._services
    return run_job(services, services.configuration.job(job), forced=False, observer=Observer(), trigger=trigger)


@pytest.fixture
def nightly(new_house):
    """A house with a job that only the schedule may start."""
    return new_house(more_jobs=[NIGHTLY]).people({"1": "Ann"})


def test_a_job_that_denies_users_is_not_started_by_a_user(nightly):
    with pytest.raises(UserStartDenied) as refused:
        nightly.engine.run_job("Nightly")

    assert nightly.engine.runs() == []
    assert str(refused.value).startswith("job Nightly can be started only by the schedule")


def test_the_schedule_starts_a_job_that_denies_users(nightly):
    run = started_by(Trigger(TriggerKind.SCHEDULE, DUE, late=True), nightly)

    assert run.state is TaskState.COMPLETED
    assert run.trigger == Trigger(TriggerKind.SCHEDULE, DUE, late=True)
    assert nightly.engine.runs()[-1].trigger == run.trigger


def test_a_user_may_start_a_dry_run_of_a_job_that_denies_users(nightly):
    run = nightly.engine.run_job("Nightly", dry_run=True)

    assert run.counts.inserted == 1
    assert nightly.engine.runs() == []


def test_a_run_records_that_a_user_started_it(nightly):
    assert nightly.run("People").trigger == Trigger(TriggerKind.USER)
