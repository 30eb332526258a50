"""Stores of an older version are brought up to date when they are opened; newer ones are refused."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Barrier, Thread
from typing import Any

import pytest

from deltamark import StoreError
from deltamark.bootstrap import utc_now
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.sqlite.schema import path_of
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from deltamark.infrastructure.store.tables import STEPS, Step, Types
from tests.store.test_postgresql_positions import started

Store = SQLiteStore | PostgreSQLStore


def opened(url: str, steps: Sequence[Step] = STEPS, **options: Any) -> Store:
    if url.startswith("sqlite"):
        return SQLiteStore(path_of(url), utc_now, steps=steps, **options)
    return PostgreSQLStore(url, utc_now, steps=steps, **options)


def notes(types: Types) -> Sequence[str]:
    return (f"CREATE TABLE notes (run {types.number}, note {types.text} NOT NULL DEFAULT 'none')",)


def filled(types: Types) -> Sequence[str]:
    return ("INSERT INTO notes (run) SELECT number FROM runs",)


def broken(types: Types) -> Sequence[str]:
    return ("INSERT INTO notes (run) VALUES (99)", "INSERT INTO nowhere VALUES (1)")


NOW = STEPS[-1].version
SECOND, THIRD = Step(NOW + 1, notes), Step(NOW + 2, filled)


def with_a_run(url: str) -> str:
    store = opened(url)
    with store.transaction() as tx:
        tx.start_run(started)
    store.close()
    return url


def noted(store: Store) -> list[tuple[Any, ...]]:
    with store.reading() as view:
        return view._db.all("SELECT run, note FROM notes")  # type: ignore[attr-defined, no-any-return]


def test_an_older_store_is_brought_up_to_date_step_by_step(store_url: str) -> None:
    url = with_a_run(store_url)

    store = opened(url, (*STEPS, SECOND, THIRD))

    assert noted(store) == [(1, "none")]
    store.close()


def test_a_step_is_taken_once(store_url: str) -> None:
    url = with_a_run(store_url)

    for _ in range(3):
        opened(url, (*STEPS, SECOND, THIRD)).close()

    store = opened(url, (*STEPS, SECOND, THIRD))
    assert noted(store) == [(1, "none")]
    store.close()


def test_a_new_store_takes_all_steps_at_once(store_url: str) -> None:
    store = opened(store_url, (*STEPS, SECOND, THIRD))

    assert noted(store) == []
    store.close()


def test_a_newer_store_is_refused_and_left_alone(store_url: str) -> None:
    opened(store_url, (*STEPS, SECOND)).close()

    with pytest.raises(
        StoreError, match=rf"newer version of Deltamark \(store version {NOW + 1}; this one knows {NOW}\)"
    ):
        opened(store_url)

    opened(store_url, (*STEPS, SECOND)).close()


def test_a_step_that_fails_leaves_the_store_as_it_was(store_url: str) -> None:
    url = with_a_run(store_url)

    with pytest.raises(StoreError):
        opened(url, (*STEPS, SECOND, Step(NOW + 2, broken)))

    store = opened(url)
    with store.reading() as view:
        assert view.run(1) is not None
    store.close()
    store = opened(url, (*STEPS, SECOND, THIRD))
    assert noted(store) == [(1, "none")]
    store.close()


@pytest.mark.parametrize("exists", [False, True], ids=["new", "older"])
def test_several_that_open_it_at_once_take_each_step_once(store_url: str, exists: bool) -> None:
    if exists:
        with_a_run(store_url)
    start, failures = Barrier(4), []

    def work() -> None:
        start.wait()
        try:
            opened(store_url, (*STEPS, SECOND, THIRD)).close()
        except BaseException as e:
            failures.append(e)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    store = opened(store_url, (*STEPS, SECOND, THIRD))
    assert failures == []
    assert noted(store) == ([(1, "none")] if exists else [])
    store.close()
