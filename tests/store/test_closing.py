"""A closed store is reported as closed in every use, and closing disturbs no other thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

import pytest

from deltamark.bootstrap import open_store
from deltamark.domain.errors import StoreError
from tests.store.builders import PERSON, create, held


def test_a_closed_store_is_reported_as_closed(store_url: str, clock: Callable) -> None:
    store = open_store(store_url, clock)
    with store.transaction() as tx:
        create(tx, PERSON, {"1": {}})
    store.close()
    store.close()

    for use in (store.reading, store.transaction, store.dry_run):
        with pytest.raises(StoreError, match=r"closed\. Open it again"), use():
            pass


def test_closing_a_store_does_not_interrupt_a_reading_thread(store_url: str, clock: Callable) -> None:
    store = open_store(store_url, clock)
    with store.transaction() as tx:
        create(tx, PERSON, {str(n): {"Name": "x" * 100} for n in range(5_000)})
    begun, closed, found = Event(), Event(), []

    def read() -> None:
        with store.reading() as reading:
            changes = reading.changes(0, None)
            next(changes)
            begun.set()
            assert closed.wait(30)
            found.extend(changes)
            found.append(len(held(reading)))

    thread = Thread(target=read)
    thread.start()
    assert begun.wait(30)
    store.close()
    closed.set()
    thread.join(30)

    assert len(found) == 5_000
    assert found[-1] == 5_000
