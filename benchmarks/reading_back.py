"""The pieces of work around a long log that are measured: reading it, verifying and replaying it, asking it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
import orjson

from benchmarks.measuring import report
from deltamark.application.history.history import resource_at
from deltamark.application.integrity.replay import replay, replay_into, verify_log
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.resources.resource import ResourceRef
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.seals import Seals


def unsealed() -> None:
    """From now on events of this process are written without digests."""

    def seal(self: Seals, topic: str, first: int, streams: object, versions: object, payloads: list[bytes]) -> object:
        self.add(len(payloads))
        return np.zeros((len(payloads), 16), np.uint8)

    Seals.seal = seal  # type: ignore[assignment, method-assign]


def decode(url: str) -> None:
    """Reads the log in the order in which a replay does, and decodes its payloads."""

    def work(store: Store) -> None:
        with store.reading() as reading:
            rows = _database(reading).rows(
                """SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
                ORDER BY originator_id, originator_version"""
            )
            for row in rows:
                orjson.loads(row[4])

    _measured(url, work)


def verify(url: str) -> None:
    """Looks whether the log is what was written, and gives what is stored."""

    def work(store: Store) -> None:
        assert verify_log(store, _nobody).is_sound

    _measured(url, work)


def replay_right(url: str) -> None:
    """Replays over a state that is right."""
    _measured(url, lambda store: _done(replay(store, _nobody).verified.differences == 0))


def replay_lost(url: str) -> None:
    """Replays after the whole state was lost."""
    with closing(open_store(url)) as store, store.transaction() as tx:
        for table in ("links", "resources"):
            _database(tx).execute(f"DELETE FROM {table}")
    _measured(url, lambda store: _done(replay(store, _nobody).verified.differences > 0))


def replay_elsewhere(url: str, path: str) -> None:
    """Fills a new store."""
    Path(path).unlink(missing_ok=True)
    with closing(open_store(f"sqlite:///{path}")) as target:
        _measured(url, lambda store: _done(replay_into(store, target, _nobody).verified.is_sound))


def past(url: str, count: str) -> None:
    """Asks for the state of resources in the middle of the log; gives the median of the seconds that one takes."""
    with closing(open_store(url)) as store, store.reading() as reading:
        head = reading.head()
        keys = _database(reading).all(
            "SELECT key FROM resources WHERE stream % ?1 = 7 ORDER BY stream LIMIT ?2",
            (max(1, head // 2 // int(count)), int(count)),
        )
        found = []
        for (key,) in keys:
            started = time.perf_counter()
            resource = resource_at(reading, ResourceRef("HR_Person", key), head // 2)
            found.append(time.perf_counter() - started)
            assert resource is not None
    print(json.dumps({"seconds": median(found), "closing": 0, "megabytes": 0, "tasks": {}}))


def size(url: str) -> None:
    """Gives the bytes that the log takes with its indexes."""
    with closing(open_store(url)) as store, store.reading() as reading:
        if url.startswith("sqlite:"):
            sql = """SELECT sum(pgsize) FROM dbstat
                WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name='stored_events')"""
        else:
            sql = "SELECT pg_total_relation_size('stored_events')"
        found = int(_database(reading).one(sql))
    print(json.dumps({"seconds": found, "closing": 0, "megabytes": 0, "tasks": {}}))


def _measured(url: str, work: Callable[[Store], None]) -> None:
    with closing(open_store(url)) as store:
        report(lambda: work(store))


def _done(as_expected: bool) -> None:
    assert as_expected


def _database(reading: Reading) -> Database:
    found: Database = reading._db  # type: ignore[attr-defined]
    return found


def _nobody(done: int, total: int) -> None:
    """Is told, and does nothing."""


WORK: dict[str, Callable[..., None]] = {
    "decode": decode,
    "verify": verify,
    "replay": replay_right,
    "replay-lost": replay_lost,
    "replay-into": replay_elsewhere,
    "past": past,
    "size": size,
}
