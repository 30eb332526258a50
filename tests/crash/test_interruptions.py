"""Ctrl-C comes at any one statement of a run, also when a commit has just been done: it stops in good order."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from deltamark import Engine, JobRun, TaskState
from deltamark.application.execution.executor import Executor
from deltamark.application.runs.run_log import TaskEnd
from deltamark.application.services import TaskResult
from tests.crash.company import ENDED_WELL, JOB, harm_in, seen
from tests.crash.second_day import Second
from tests.crash.statements import Count, every_statement
from tests.tiers import SOAK

STRIDE = {"sqlite": 3 if SOAK else 131, "postgresql": 11 if SOAK else 311}


def interrupt(connection: Any, statement: str) -> None:
    """The signal comes while the statement is sent; where it commits, when it has just committed."""
    if statement == "COMMIT":
        if isinstance(connection, psycopg.Connection):
            connection.commit()
        else:
            sqlite3.Connection.commit(connection)
    raise KeyboardInterrupt


def ran(engine: Engine, count: Count, number: int) -> JobRun | None:
    """The run that is interrupted at that statement; None where it did not even start."""
    before = engine.runs()
    count.begin(number, interrupt)
    with suppress(KeyboardInterrupt):
        engine.run_job(JOB)
    happened = count.happened
    count.begin(0)
    assert happened
    now = engine.runs()
    return now[-1] if len(now) > len(before) else None


def kept(second: Second) -> tuple[list[int], int]:
    """The numbers of the statements of a run that commit, and how many statements there are."""
    count = Count()
    with every_statement(count), second.engine() as engine:
        count.begin()
        assert engine.run_job(JOB).state in ENDED_WELL
        statements = list(count.statements)
    commits = [number for number, statement in enumerate(statements, 1) if statement == "COMMIT"]
    assert len(commits) > 10
    return commits, len(statements)


@pytest.mark.soak
@pytest.mark.slow  # two runs for every so many statements of a run
def test_an_interruption_at_any_statement_undoes_what_had_begun_and_resume_does_it(
    second: Second,
    request: pytest.FixtureRequest,
) -> None:
    kind = "postgresql" if "postgresql" in request.node.name else "sqlite"
    with second.engine() as engine:
        assert engine.run_job(JOB).state in ENDED_WELL
        undisturbed = seen(engine)
    count, states = Count(), list[TaskState]()
    commits, last = kept(second)
    for number in sorted({*commits[:: 1 if SOAK else 5], *range(1, last, STRIDE[kind])}):
        with every_statement(count), second.engine() as engine:
            run = ran(engine, count, number)
            at = f"statement {number} of {kind}: {run}"
            assert harm_in(engine) == [], at
            if run is None:
                run = engine.run_job(JOB)
            elif run.state not in ENDED_WELL:
                states.append(run.state)
                run = engine.resume(run.number)
            assert run.state in ENDED_WELL, at
            assert seen(engine) == undisturbed, at
            assert harm_in(engine) == [], at
    assert set(states) == {TaskState.FAILED}
    assert len(states) >= 5


@pytest.mark.soak
@pytest.mark.slow  # like what it controls
def test_control_a_task_that_is_told_to_have_failed_when_it_was_kept_is_caught(
    second: Second,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Executor, "_end_with_error", as_if_undone)
    count, harm = Count(), list[str]()
    for number in reversed(kept(second)[0]):
        with every_statement(count), second.engine() as engine:
            ran(engine, count, number)
            harm += harm_in(engine)
        if harm:
            break

    assert harm != []


def as_if_undone(run: Executor, ordinal: int, error: BaseException, seconds: float) -> TaskEnd:
    """Puts a failure on record whatever is on record already."""
    ended = TaskEnd(TaskResult(messages=["interrupted"]), TaskState.FAILED, seconds, error)
    run._record.task_ended(ordinal, ended)
    return ended
