"""The pieces of work on a long log that are measured: to read, verify, replay and query it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
import orjson

from benchmarks.measure import report
from deltamark.application.history.history import resource_at
from deltamark.application.integrity.replay import replay, replay_into, verify_log
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.resources.resource import ResourceRef
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.seals import Seals


def unsealed() -> None:
    """Lets this process write events without digests."""

    def seal(self: Seals, topic: str, first: int, streams: object, versions: object, payloads: list[bytes]) -> object:
        self.add(len(payloads))
        return np.zeros((len(payloads), 16), np.uint8)

    Seals.seal = seal  # type: ignore[assignment, method-assign]


def decode(url: str) -> None:
    """Reads the log in the order of a replay, and decodes its payloads."""

    def work(store: Store) -> None:
        with store.reading() as reading:
            rows = _database(reading).rows(
                """SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
                ORDER BY originator_id, originator_version"""
            )
            for row in rows:
                orjson.loads(row[4])

    _measure(url, work)


def verify(url: str) -> None:
    """Verifies the log, and that it gives the stored state."""

    def work(store: Store) -> None:
        assert verify_log(store, _no_progress).is_sound

    _measure(url, work)


def replay_sound(url: str) -> None:
    """Replays over a state without differences."""
    _measure(url, lambda store: _check(replay(store, _no_progress).verified.differences == 0))


def replay_lost(url: str) -> None:
    """Replays after the whole state was lost."""
    with closing(open_store(url)) as store, store.transaction() as tx:
        for table in ("links", "resources"):
            _database(tx).execute(f"DELETE FROM {table}")
    _measure(url, lambda store: _check(replay(store, _no_progress).verified.differences > 0))


def replay_into_new_store(url: str, path: str) -> None:
    """Replays into a new store."""
    Path(path).unlink(missing_ok=True)
    with closing(open_store(f"sqlite:///{path}")) as target:
        _measure(url, lambda store: _check(replay_into(store, target, _no_progress).verified.is_sound))


def past(url: str, count: str) -> None:
    """Reads the state of resources in the middle of the log, and prints the median of the seconds for one."""
    with closing(open_store(url)) as store, store.reading() as reading:
        head = reading.head()
        keys = _database(reading).all(
            "SELECT key FROM resources WHERE stream % ?1 = 7 ORDER BY stream LIMIT ?2",
            (max(1, head // 2 // int(count)), int(count)),
        )
        seconds = []
        for (key,) in keys:
            started = time.perf_counter()
            resource = resource_at(reading, ResourceRef("HR_Person", key), head // 2)
            seconds.append(time.perf_counter() - started)
            assert resource is not None
    print(json.dumps({"seconds": median(seconds), "closing": 0, "megabytes": 0, "tasks": {}}))


def size(url: str) -> None:
    """Prints the bytes of the log with its indexes."""
    with closing(open_store(url)) as store, store.reading() as reading:
        if url.startswith("sqlite:"):
            sql = """SELECT sum(pgsize) FROM dbstat
                WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name='stored_events')"""
        else:
            sql = "SELECT pg_total_relation_size('stored_events')"
        size_bytes = int(_database(reading).one(sql))
    print(json.dumps({"seconds": size_bytes, "closing": 0, "megabytes": 0, "tasks": {}}))


def _measure(url: str, work: Callable[[Store], None]) -> None:
    with closing(open_store(url)) as store:
        report(lambda: work(store))


def _check(is_as_expected: bool) -> None:
    assert is_as_expected


def _database(reading: Reading) -> Database:
    database: Database = reading._db  # type: ignore[attr-defined]
    return database


def _no_progress(done: int, total: int) -> None:
    """Ignores progress."""


WORK: dict[str, Callable[..., None]] = {
    "decode": decode,
    "verify": verify,
    "replay": replay_sound,
    "replay-lost": replay_lost,
    "replay-into": replay_into_new_store,
    "past": past,
    "size": size,
}
