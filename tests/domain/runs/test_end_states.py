"""The end states of runs, and the connectors that a job synchronizes."""

from __future__ import annotations

import pytest

from deltamark.domain.configuration.entity_model import Connector, JobUse
from deltamark.domain.configuration.jobs import Job, TaskState, reason_connector_is_out
from deltamark.domain.runs.outcomes import end_of_run
from deltamark.domain.runs.run import TaskRun

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

    assert end_of_run(tasks, stopped=stopped) is ends


@pytest.mark.parametrize(
    ("states", "stopped", "ends"),
    [
        ([S.COMPLETED, S.SKIPPED], False, S.CANCELLED),
        ([S.BLOCKED, S.SKIPPED], False, S.CANCELLED),
        ([S.FAILED, S.SKIPPED], False, S.CANCELLED),
        ([S.FAILED, S.SKIPPED], True, S.FAILED),
    ],
)
def test_a_stopped_run_is_cancelled_unless_a_failure_stopped_it(states, stopped, ends):
    tasks = [TaskRun(ordinal=n, identifier=f"T{n}", kind="K", state=state) for n, state in enumerate(states, 1)]

    assert end_of_run(tasks, stopped=stopped, cancelled=True) is ends


@pytest.mark.parametrize("use", JobUse)
@pytest.mark.parametrize("incremental", [False, True])
def test_a_connector_is_synchronized_as_configured(use, incremental):
    chosen = {"incremental_job": use} if incremental else {"complete_job": use}
    job = Job("J", is_incremental=incremental)

    reason = reason_connector_is_out(Connector("HR", **chosen), job)

    kind = "incremental" if incremental else "complete"
    out = use in (JobUse.NOT_USED, JobUse.ONLY_PROVISIONING)
    assert reason == (f"connector HR is not synchronized by {kind} jobs" if out else None)


def test_a_deactivated_connector_is_never_synchronized():
    reason = reason_connector_is_out(Connector("HR", is_deactivated=True), Job("J"))

    assert reason == "connector HR is deactivated"
