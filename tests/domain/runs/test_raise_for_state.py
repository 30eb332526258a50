"""`JobRun.raise_for_state` says which task did what, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deltamark.domain.next_steps import NextAction, decisions
from deltamark.domain.runs.run import JobRun, LeftOut, SetAside, TaskRun, TaskState
from deltamark.errors import RunBlocked, RunFailed, UsageError

AT = datetime(2026, 1, 2, tzinfo=UTC)


def run(state: TaskState, *tasks: TaskRun, **said: Any) -> JobRun:
    return JobRun(
        originator_id="1",
        version=1,
        number=7,
        job="Nightly",
        state=state,
        started_at=AT,
        configuration_digest="",
        user="ada",
        host="h",
        process=1,
        forced=False,
        tasks=tasks,
        **said,
    )


def task(identifier: str, state: TaskState, *messages: str, **said: Any) -> TaskRun:
    return TaskRun(ordinal=1, identifier=identifier, kind="", state=state, messages=messages, **said)


DONE = task("Done", TaskState.COMPLETED, "nothing to tell")
ROW = SetAside(file="people.csv", line=3, column="mail", reason="the value is not a mail address")


def test_a_run_that_did_its_work_is_returned() -> None:
    for done in (run(TaskState.COMPLETED, DONE), run(TaskState.WARNING, DONE)):
        assert done.raise_for_state() is done


def test_a_failed_run_names_each_task_that_did_not_do_its_work() -> None:
    failed = run(
        TaskState.FAILED,
        DONE,
        task("SyncHR", TaskState.FAILED, "people.csv:1: there is no column mail.\nTraceback", "and more"),
        task("Flag", TaskState.SKIPPED, "skipped: SyncHR failed"),
    )

    with pytest.raises(RunFailed) as raised:
        failed.raise_for_state()

    error = raised.value
    assert str(error).splitlines() == [
        "run 7 of job Nightly failed.",
        "SyncHR: failed",
        "  people.csv:1: there is no column mail.",
        "  Traceback",
        "  and more",
        "Correct what is named, then resume the run, or run the job again. What its tasks had completed is kept.",
    ]
    assert (error.run, error.job, error.state, error.tasks) == (7, "Nightly", "failed", {"SyncHR": "failed"})
    assert [step.action for step in error.next_steps] == [NextAction.SHOW_RUN]


def test_a_blocked_run_says_how_to_decide() -> None:
    with pytest.raises(RunBlocked, match="was blocked") as raised:
        run(TaskState.BLOCKED, task("SyncHR", TaskState.BLOCKED, "too many")).raise_for_state()

    assert "resume the run, which applies it, or cancel it, which drops it" in str(raised.value)
    assert raised.value.next_steps == decisions(7)


def test_a_warning_is_an_error_only_if_it_is_asked_for() -> None:
    left_out = LeftOut(connector="HR", run=3, since=AT)
    warned = run(
        TaskState.WARNING,
        DONE,
        task("Prepare", TaskState.WARNING, set_aside=(ROW, ROW)),
        task("SyncHR", TaskState.SKIPPED, "connector HR is blocked by run 3", left_out=left_out),
    )

    with pytest.raises(RunFailed, match="ended in warning") as raised:
        warned.raise_for_state(warning=True)

    assert raised.value.tasks == {"Prepare": "warning", "SyncHR": "skipped"}
    assert "  2 rows set aside; the first: people.csv:3:mail: the value is not a mail address" in str(raised.value)
    assert "connector HR is blocked by run 3" in str(raised.value)


@pytest.mark.parametrize(
    ("state", "words"), [(TaskState.CANCELLED, "was cancelled"), (TaskState.ABORTED, "did not end: its process died")]
)
def test_a_run_that_was_ended_says_how(state: TaskState, words: str) -> None:
    with pytest.raises(RunFailed, match=f"run 7 of job Nightly {words}"):
        run(state, task("SyncHR", state)).raise_for_state()


def test_a_dry_run_has_no_number_to_resume() -> None:
    with pytest.raises(RunFailed, match=r"^the dry run of job Nightly failed") as raised:
        run(TaskState.FAILED, task("SyncHR", TaskState.FAILED), is_dry_run=True).raise_for_state()

    assert "resume" not in str(raised.value)
    assert raised.value.next_steps == ()


def test_a_run_that_goes_on_has_no_end_to_judge() -> None:
    with pytest.raises(UsageError, match="still going on"):
        run(TaskState.RUNNING).raise_for_state()
