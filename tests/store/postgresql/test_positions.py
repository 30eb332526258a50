"""PostgreSQL: a follower that saw a position has seen everything below it, however transactions overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from threading import Thread

import psycopg
import pytest
from psycopg import Connection

from deltamark.application.ports.commands import Writing
from deltamark.bootstrap import utc_now
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.runs.run import RunEnded, RunStarted
from deltamark.infrastructure.store.postgresql import store as postgresql_store
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.session import Session

Url = str


@pytest.fixture
def url(postgresql_url: Url) -> Url:
    return postgresql_url


@pytest.fixture
def beside(postgresql_database: Url, url: Url) -> Iterator[Connection[tuple[object, ...]]]:
    """A connection to the tables of the store, past Deltamark."""
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute(f"SET search_path TO {url.rsplit('=', 1)[1]}".encode())
        yield connection


Beside = Connection[tuple[object, ...]]


def store_with_two_runs(url: Url) -> PostgreSQLStore:
    store = PostgreSQLStore(url, utc_now)
    for _ in range(2):
        with store.transaction() as tx:
            tx.start_run(started)
    return store


def started(stream: str, number: int, at: datetime) -> RunStarted:
    return RunStarted(
        originator_id=stream,
        originator_version=1,
        at=at,
        run=number,
        job="Job",
        configuration_digest="",
        user="",
        host="",
        process=1,
        forced=False,
        tasks=(),
    )


def end(tx: Writing, run: int) -> None:
    def ended(stream: str, version: int, at: datetime) -> RunEnded:
        return RunEnded(originator_id=stream, originator_version=version, at=at, run=run, state=TaskState.COMPLETED)

    tx.append_to_run(ended, run)


class Follower:
    """Continues reading after the newest position that it saw."""

    def __init__(self, store: PostgreSQLStore) -> None:
        self._recorder = store.recorder
        self.seen: list[int] = []

    def look(self) -> None:
        after = self.seen[-1] if self.seen else 0
        found = self._recorder.select_notifications(after, 1_000, inclusive_of_start=False)
        self.seen += [notification.id for notification in found]


def overlap(store: PostgreSQLStore, until_second: Callable[[Thread], None]) -> Follower:
    """The first transaction takes its position, the second commits and is followed, then the first commits."""
    follower = Follower(store)

    def second() -> None:
        with store.transaction() as tx:
            end(tx, run=2)

    with store.transaction() as first:
        end(first, run=1)
        thread = Thread(target=second)
        thread.start()
        until_second(thread)
        follower.look()
    thread.join()
    follower.look()
    return follower


def log(store: PostgreSQLStore) -> list[int]:
    return [n.id for n in store.recorder.select_notifications(None, 1_000)]


def test_an_overlapping_transaction_waits_so_that_a_follower_skips_no_event(url: Url, beside: Beside) -> None:
    store = store_with_two_runs(url)

    follower = overlap(store, lambda thread: wait_until_locked_out(beside, thread))

    assert follower.seen == log(store) == [1, 2, 3, 4]
    store.close()


def wait_until_locked_out(beside: Beside, thread: Thread) -> None:
    """Waits until the second transaction waits for a lock. It neither continues nor ends meanwhile."""
    sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'log_end'::regclass"
    while beside.execute(sql).fetchone() == (0,):
        assert thread.is_alive(), "the second transaction did not wait"


def test_without_the_lock_the_same_follower_would_skip_an_event(
    url: Url, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the lock, the test before fails."""
    store = store_with_two_runs(url)
    beside.execute("CREATE SEQUENCE unlocked START 2")
    monkeypatch.setattr(postgresql_store, "_WRITE", "BEGIN")
    monkeypatch.setattr(
        PostgreSQLDatabase, "newest_position", lambda database: database.one("SELECT nextval('unlocked')")
    )
    monkeypatch.setattr(PostgreSQLDatabase, "save_newest_position", lambda database, newest: None)
    monkeypatch.setattr(Session, "_check_end", lambda session: None)

    follower = overlap(store, lambda thread: thread.join())

    assert log(store) == [1, 2, 3, 4]
    assert follower.seen == [1, 2, 4]
    store.close()


def test_positions_continue_without_a_gap_after_a_rollback(url: Url) -> None:
    store = store_with_two_runs(url)

    with pytest.raises(LookupError):
        end_and_fail(store)
    with store.transaction() as tx:
        end(tx, run=2)

    assert log(store) == [1, 2, 3]
    store.close()


def end_and_fail(store: PostgreSQLStore) -> None:
    with store.transaction() as tx:
        end(tx, run=1)
        raise LookupError


def test_positions_are_not_reused_after_the_newest_events_were_deleted(url: Url, beside: Beside) -> None:
    store = store_with_two_runs(url)
    beside.execute("DELETE FROM stored_events")

    with store.transaction() as tx:
        end(tx, run=2)

    assert log(store) == [3]
    store.close()


def test_readers_do_not_wait_for_a_writer(url: Url) -> None:
    store = store_with_two_runs(url)

    with store.transaction() as tx:
        end(tx, run=1)
        with store.reading() as view:
            assert view.head() == 2
    store.close()


def test_a_view_does_not_change_while_others_write(url: Url) -> None:
    store = store_with_two_runs(url)

    with store.reading() as view:
        assert view.head() == 2
        with store.transaction() as tx:
            end(tx, run=1)

        assert view.head() == 2
    store.close()
