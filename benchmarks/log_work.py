"""The pieces of work on a long log that are measured: to read, verify, replay and query it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import orjson

from benchmarks.data import configuration
from benchmarks.measure import report, report_samples
from deltamark import Engine
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
        half = (_database(reading).one("SELECT count(*) FROM resources") + 1) // 2
        keys = _database(reading).all("SELECT key FROM resources ORDER BY stream LIMIT ?1", (half,))
        keys = keys[:: max(1, half // int(count))]
        seconds = []
        for (key,) in keys:
            started = time.perf_counter()
            resource = resource_at(reading, ResourceRef("HR_Person", key), head // 2)
            seconds.append(time.perf_counter() - started)
            assert resource is not None
    report_samples(seconds)


def changes(url: str, events: str, form: str) -> None:
    """Reads the log through the API: as objects, or as Arrow batches."""
    with Engine.open(url, configuration=configuration(), export_output=".") as engine:

        def work() -> None:
            rows = engine.changes()
            if form == "arrow":
                assert sum(batch.num_rows for batch in rows.batches()) == int(events)
            else:
                assert sum(1 for _ in rows) == int(events)

        report(work)


def audit(url: str, values: str) -> None:
    """Audits one property of all people."""
    with Engine.open(url, configuration=configuration(), export_output=".") as engine:

        def work() -> None:
            held = engine.audit("HR_Person", "Title", 0, engine.position())
            assert sum(1 for _ in held) == int(values)

        report(work)


def size(url: str) -> None:
    """Prints the bytes of the log with its indexes."""
    with closing(open_store(url)) as store, store.reading() as reading:
        if url.startswith("sqlite:"):
            sql = """SELECT sum(pgsize) FROM dbstat
                WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name='stored_events')"""
        else:
            sql = "SELECT pg_total_relation_size('stored_events')"
        size_bytes = int(_database(reading).one(sql))
    report_samples([size_bytes])


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
    "changes": changes,
    "audit": audit,
    "past": past,
    "size": size,
}
