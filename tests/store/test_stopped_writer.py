"""A process that is stopped while it keeps all others from writing is named, and cancelling its run ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deltamark import ConcurrentRun
from deltamark.domain.next_steps import NextAction, NextStep
from tests.store.postgresql.test_positions import started
from tests.store.test_schema_versions import Store, opened

pytestmark = pytest.mark.on_every_store

WRITING = """
import os, signal, sys
from tests.store.test_schema_versions import opened
from tests.store.postgresql.test_positions import started

store = opened(sys.argv[1])
with store.transaction() as tx:
    tx.take_leases(tx.start_run(started), ["T"], float(sys.argv[2]))
with store.transaction() as tx:
    tx.start_run(started)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def stopped_writer(url: str, lease_s: float) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, url, str(lease_s)], cwd=Path(__file__).parent.parent.parent
    ) as process:
        try:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            yield process
        finally:
            process.kill()


@contextmanager
def impatient(url: str) -> Iterator[Store]:
    store = opened(url, lock_timeout_s=1)
    try:
        yield store
    finally:
        store.close()


def test_whoever_waits_for_a_stopped_writer_reads_who_it_is(store_url: str) -> None:
    opened(store_url).close()
    with stopped_writer(store_url, 60.0) as process, impatient(store_url) as store:
        with pytest.raises(ConcurrentRun, match="has been writing to this store") as refused, store.transaction():
            pass

        message = str(refused.value)
        assert f"{process.pid} on " in message
        assert re.search(
            r", run 1 since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, which is stopped and does not go on by its", message
        )
        assert message.endswith(
            f"Let it continue (kill -CONT {process.pid}), or cancel the run, which ends the process. What it had not "
            "finished is undone then. Run again."
        )
        assert refused.value.next_steps == (NextStep(NextAction.SHOW_RUN, 1), NextStep(NextAction.END_RUN, 1))


def test_a_stopped_writer_without_a_run_is_named_too(store_url: str) -> None:
    opened(store_url).close()
    with stopped_writer(store_url, 60.0) as process, impatient(store_url) as store:
        store._run_of = lambda is_writer: None  # type: ignore[method-assign]
        with pytest.raises(ConcurrentRun, match="has been writing to this store") as refused, store.transaction():
            pass

        message = str(refused.value)
        assert f"{process.pid} on " in message
        assert store_url.startswith("postgresql") or f"or end it (kill -KILL {process.pid})" in message
        assert refused.value.next_steps == ()


def test_a_stopped_writer_is_ended_on_demand_and_what_it_wrote_is_undone(store_url: str) -> None:
    opened(store_url).close()
    with stopped_writer(store_url, 60.0) as process, impatient(store_url) as store:
        assert store.end_unresponsive(1)

        assert process.wait(60) == -signal.SIGKILL
        with store.transaction() as tx:
            assert tx.start_run(started) == 2


def test_nothing_is_ended_where_nothing_is_stopped(store_url: str) -> None:
    with impatient(store_url) as store:
        with store.transaction() as tx:
            tx.take_leases(tx.start_run(started), ["T"], 60.0)

        assert not store.end_unresponsive(1)


def test_the_session_of_a_writer_elsewhere_that_is_not_heard_from_is_ended(postgresql_url: str) -> None:
    opened(postgresql_url).close()
    with stopped_writer(postgresql_url, 0.0) as process, impatient(postgresql_url) as store:
        with store._connection("BEGIN") as connection:  # to this process it seems to run in another container
            connection.execute("UPDATE leases SET process = replace(process, 'pid:[', 'pid:[9')")
            connection.execute("COMMIT")

        assert store.end_unresponsive(1)

        assert process.poll() is None
        with store.transaction() as tx:
            assert tx.start_run(started) == 2
