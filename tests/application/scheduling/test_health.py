"""Health: whether a scheduler works, each job started when it was due, and its last run ended well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deltamark import Configuration, Connector, Job, SetRecentlyModifiedFlagTask, TaskState
from deltamark.application.ports.pending_changes import Block
from deltamark.application.ports.records import RunSummary, Schedule
from deltamark.application.runs.named_lease import SCHEDULER
from deltamark.application.scheduling.due import timing_of
from deltamark.application.scheduling.health import Health, health
from deltamark.domain.next_steps import NextAction
from deltamark.domain.runs.run import JobRun
from tests.fakes.clock import FakeClock
from tests.fakes.services import fake_services
from tests.fakes.store import FakeStore

HOURLY = Job("Hourly", [SetRecentlyModifiedFlagTask()], cron_tab_expression="0 0 * * * *")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def store() -> FakeStore:
    """A scheduler leads, and has handled the hourly job up to noon, which it is."""
    store = FakeStore(FakeClock(NOON))
    store.take_leases(-1, [SCHEDULER], 86_400.0)
    store.put_schedule(Schedule(job="Hourly", timing=timing_of(HOURLY), handled_to=NOON, run=7))
    return store


def health_of(store: FakeStore, *jobs: Job) -> Health:
    return health(fake_services(store, Configuration(jobs=jobs or (HOURLY,))), writable=False)


def ended(number: int, state: TaskState, **changes: Any) -> RunSummary:
    """A run of the hourly job."""
    run = JobRun(
        originator_id="run",
        version=2,
        number=number,
        job="Hourly",
        state=state,
        started_at=NOON,
        configuration_digest="",
        user="ann",
        host="here",
        process=1,
        forced=False,
        tasks=(),
        **changes,
    )
    return RunSummary(run=run, first=1, last=2)


def test_all_is_well_when_a_scheduler_leads_and_the_last_run_ended_well(store):
    store.known_runs = [ended(7, TaskState.COMPLETED)]

    found = health_of(store)

    assert found.is_well
    assert [(job.job, job.last.number, job.next_at) for job in found.jobs] == [("Hourly", 7, NOON.replace(hour=13))]


def test_without_a_scheduler_the_next_step_is_to_start_one(store):
    store.release_leases(-1)

    found = health_of(store)

    assert found.problems == ("no scheduler is at work",)
    assert [step.action for step in found.next_steps] == [NextAction.START_SCHEDULER]


def test_without_a_job_on_a_schedule_no_scheduler_is_missed(store):
    store.release_leases(-1)

    assert health_of(store, Job("ByHand", [SetRecentlyModifiedFlagTask()])).is_well


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.BLOCKED, TaskState.ABORTED])
def test_a_last_run_that_ended_badly_is_named(store, state):
    store.known_runs = [ended(7, state)]

    found = health_of(store)

    assert found.problems == (f"the last run of job Hourly, 7, is {state.value}",)
    assert [(step.action, step.subject) for step in found.next_steps] == [(NextAction.SHOW_RUN, 7)]


def test_a_job_that_was_due_a_minute_ago_and_did_not_start_is_overdue(store):
    store.known_runs = [ended(7, TaskState.COMPLETED)]

    store.clock.passes(hours=1, minutes=1)
    assert health_of(store).is_well
    store.clock.passes(seconds=1)

    (problem,) = health_of(store).problems
    assert problem.startswith("job Hourly was due at 2026-01-01T13:00:00Z and was not started.")


def test_a_job_may_wait_while_a_run_is_going_on(store):
    store.known_runs = [ended(7, TaskState.RUNNING)]

    store.clock.passes(hours=2)

    assert health_of(store).is_well


@pytest.mark.parametrize("is_dropped", [False, True])
def test_a_connector_whose_changes_are_held_back_is_no_health_whatever_ran_since(store, is_dropped):
    store.known_runs = [ended(9, TaskState.COMPLETED)]
    store.known_blocks = [
        Block(connector=name, run=7, task=2, since=NOON, needs_complete=True) for name in ("HR", "gone")
    ]
    if is_dropped:
        store.pending_tasks = lambda run: []

    found = health(fake_services(store, Configuration(connectors=[Connector("HR")], jobs=[HOURLY])), writable=False)

    (problem,) = found.problems
    assert problem.startswith("connector HR is blocked ")
    assert "2026-01-01T12:00:00Z" in problem
    assert "run 7" in problem
    assert [(held.connector, held.run, held.since, held.is_dropped) for held in found.held_back] == [
        ("HR", 7, NOON, is_dropped)
    ]
    actions = [NextAction.LIST_HELD_BACK, NextAction.RESUME_RUN, NextAction.CANCEL_RUN]
    assert [step.action for step in found.next_steps] == ([] if is_dropped else actions)
