"""The store fails at any one statement of a run: one clear error, the store unharmed, and then as if it had not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deltamark import Engine, JobRun, StoreError, TaskState
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from tests.crash.company import ENDED_WELL, JOB, harm_in, seen
from tests.crash.second_day import Second
from tests.crash.statements import Count, every_statement, fail
from tests.tiers import SOAK

STRIDE = {"sqlite": 1 if SOAK else 37, "postgresql": 7 if SOAK else 131}
"""In a soak, SQLite fails at every single statement. Primes share no rhythm with a run and meet all its parts."""

MAY_FAIL = ("ANALYZE", "UPDATE leases SET until", "ROLLBACK")
"""What comes after a commit only to help (statistics, the time that others lost while they could not write), and the
end of what was only read."""

TOLD = {"sqlite": "reading or writing failed (SQLITE_IOERR_WRITE)", "postgresql": "the disk of the server is full"}


def ran(engine: Engine) -> JobRun | StoreError:
    try:
        return engine.run_job(JOB)
    except StoreError as error:
        return error


def told(outcome: JobRun | StoreError) -> str:
    if isinstance(outcome, StoreError):
        return str(outcome)
    return "; ".join(f"{task.identifier} {task.state.value} {task.messages}" for task in outcome.tasks)


def is_told_once(outcome: JobRun | StoreError, words: str) -> bool:
    """Whether there is one clear error, of one task or of the run itself; no task runs after it."""
    if isinstance(outcome, StoreError):
        return words in str(outcome)
    failed, *others = [task for task in outcome.tasks if task.state is TaskState.FAILED]
    (message,) = failed.messages
    later = {task.state for task in outcome.tasks[failed.ordinal :]}
    return not others and words in message and "was undone" in message and later <= {TaskState.SKIPPED}


@pytest.mark.soak
@pytest.mark.slow  # two runs for every so many statements of a run
def test_a_store_that_fails_at_any_statement_fails_one_task_and_is_as_before(
    second: Second, request: pytest.FixtureRequest
) -> None:
    kind = "postgresql" if "postgresql" in request.node.name else "sqlite"
    with second.engine() as engine:
        assert engine.run_job(JOB).state in ENDED_WELL
        undisturbed = seen(engine)
    count, number, failures = Count(), 1, 0
    while True:
        with every_statement(count), second.engine() as engine:
            count.begin(number, fail)
            outcome = ran(engine)
            if not count.happened:
                break
            failing, number = number, number + STRIDE[kind]
            at = f"statement {failing} of {kind}, {count.statements[failing - 1]!r}: {told(outcome)}"
            if not isinstance(outcome, StoreError) and outcome.state in ENDED_WELL:
                assert count.statements[failing - 1].startswith(MAY_FAIL), at
                continue
            failures += 1
            assert is_told_once(outcome, TOLD[kind]), at
            assert harm_in(engine) == [], at

            assert engine.run_job(JOB).state in ENDED_WELL, at

            assert seen(engine) == undisturbed, at
            assert harm_in(engine) == [], at
    assert failures > 300 / STRIDE[kind]


@pytest.mark.soak
@pytest.mark.slow  # like what it controls
def test_control_a_failure_that_is_swallowed_is_caught(second: Second, monkeypatch: pytest.MonkeyPatch) -> None:
    with second.engine() as engine:
        engine.run_job(JOB)
        undisturbed = seen(engine)

    with second.engine() as engine:
        for database in (SQLiteDatabase, PostgreSQLDatabase):
            monkeypatch.setattr(database, "insert", but_not_into("links", database.insert))
        outcome = ran(engine)

        assert not isinstance(outcome, StoreError)
        assert harm_in(engine) != []
        assert seen(engine) != undisturbed


def but_not_into(table: str, insert: Callable[..., None]) -> Callable[..., None]:
    """Insertions into all tables but one: those fail, and nobody says so."""

    def inserted(database: Any, name: str, *arguments: Any) -> None:
        if name != table:
            insert(database, name, *arguments)

    return inserted
