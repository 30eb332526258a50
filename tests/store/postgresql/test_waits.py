"""Who waits for another writer of a PostgreSQL store is told for whom, as far as the server lets this role know."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from deltamark.bootstrap import utc_now
from deltamark.infrastructure.store import transactions
from deltamark.infrastructure.store.postgresql import store as postgresql_store
from deltamark.infrastructure.store.postgresql.connection import is_name_of, process_name, session_name
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore, grants_for

_WRITES = """
import sys
from deltamark.bootstrap import utc_now
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.transactions import name_command
from tests.store.postgresql.test_positions import started
name_command("run")
store = PostgreSQLStore(sys.argv[1], utc_now)
with store.transaction() as tx:
    run = tx.start_run(started)
    tx.take_leases(run, ["Synchronize"], 60.0)
with store.transaction() as tx:
    tx.extend_leases(run, ["Synchronize"], 60.0)
    print(run, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_writer(url: str) -> Iterator[tuple[int, int]]:
    """A process that writes until the block ends: its number, and that of its run."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITES, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.stdin.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this process was told of waits."""
    sentences: list[str] = []
    monkeypatch.setattr(transactions, "_told_of_waits", [sentences.append])
    monkeypatch.setattr(postgresql_store, "TOLD_AFTER_S", 0.05)
    return sentences


def waiting(url: str, told: list[str]) -> tuple[Thread, list[str]]:
    """A thread that waits for a transaction, and what was told until now."""

    def write() -> None:
        with closing(PostgreSQLStore(url, utc_now)) as store, store.transaction():
            pass

    before = len(told)
    thread = Thread(target=write)
    thread.start()
    while thread.is_alive() and len(told) == before:
        thread.join(0.02)
    return thread, list(told)


@contextmanager
def role_that_writes(database: str, url: str) -> Iterator[str]:
    """The URL of the store for a role that may write to it, and sees nothing of other sessions."""
    role = f"writer_{uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(role)))
        owner.execute(grants_for(url, utc_now, writer=role, reader=None).encode())
        try:
            yield f"{url}&user={role}"
        finally:
            owner.execute(SQL("DROP OWNED BY {}").format(Identifier(role)))
            owner.execute(SQL("DROP ROLE {}").format(Identifier(role)))


def test_a_wait_names_session_process_host_and_run_of_the_other_writer(
    postgresql_url: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with another_writer(postgresql_url) as (process, run):
        thread, (sentence,) = waiting(postgresql_url, told)
        with monkeypatch.context() as patch:  # a server may forbid the function that names who blocks
            forbidden = postgresql_store._IS_BLOCKED.replace("pg_blocking_pids", "no_such_function")
            patch.setattr(postgresql_store, "_IS_BLOCKED", forbidden)
            second, (_, without) = waiting(postgresql_url, told)
    thread.join()
    second.join()

    assert without == sentence

    name = f"deltamark {process} on {socket.gethostname()}: run, run {run}"
    assert sentence.startswith("Waiting for session ")
    assert f"({name})"[:60] in sentence
    assert ", in a transaction since 20" in sentence
    assert f", which is writing: run {run} since 20" in sentence


def test_a_wait_for_a_session_of_another_program_names_it(
    postgresql_database: str, postgresql_url: str, told: list[str]
) -> None:
    PostgreSQLStore(postgresql_url, utc_now).close()
    with psycopg.connect(postgresql_database, application_name="a nightly report") as other:
        other.execute(f"LOCK TABLE {postgresql_url.rsplit('=', 1)[1]}.log_end IN SHARE MODE".encode())
        thread, (sentence,) = waiting(postgresql_url, told)
    thread.join()

    assert "(a nightly report)" in sentence
    assert "run" not in sentence.partition("transaction since")[2]


def test_a_role_that_may_not_see_other_sessions_is_told_what_it_may_know(
    postgresql_database: str, postgresql_url: str, told: list[str]
) -> None:
    with (
        role_that_writes(postgresql_database, postgresql_url) as url,
        another_writer(postgresql_url) as (process, run),
    ):
        thread, (sentence,) = waiting(url, told)
    thread.join()

    assert f"deltamark {process} on " in sentence
    assert f"which is writing: run {run} since 20" in sentence
    assert "None" not in sentence
    assert "in a transaction" not in sentence


def test_who_does_not_wait_is_told_nothing(postgresql_url: str, told: list[str]) -> None:
    """The control."""
    with closing(PostgreSQLStore(postgresql_url, utc_now)) as store, store.transaction():
        Event().wait(0.15)

    assert told == []


def test_the_name_of_a_session_is_found_by_its_process_however_long_its_host_is_called() -> None:
    for host in ("vm", "h" * 70, "ß" * 40):
        name = process_name(4242, host)
        assert len(name.encode()) <= 44
        assert is_name_of(name, f"{name}: run, run 7")
        assert is_name_of(name, name)
        assert not is_name_of(process_name(424, host), f"{name}: run")
    transactions.name_command("run")
    assert session_name(7) == f"{process_name(os.getpid(), socket.gethostname())}: run, run 7"
    assert len(session_name(10**17).encode()) <= 63
