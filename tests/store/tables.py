"""For tests of replay: every table of a store, and alterations with plain SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.integrity.verification import LogVerification, Replayed
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.sqlite.address import path_of

LOG = {
    "events": "SELECT notification_id, originator_id, originator_version, topic, state, seal FROM stored_events",
    "moments": "SELECT position, at, segments, digest FROM moments",
    "stubs": "SELECT position, stream, version, topic, leaf FROM stubs",
    "snapshots": "SELECT stream, version, position, topic, state FROM snapshots",
    "configurations": "SELECT digest, xml FROM configurations",
}
PROJECTIONS = {
    "resources": """SELECT r.stream, e.name, r.key, r.version, r.position, r.live, r.state, r.computed FROM resources r
        JOIN entity_types e ON e.id = r.entity_type""",
    "links": """SELECT l.stream, a.name, l.source, l.target, l.version, l.position, l.live FROM links l
        JOIN associations a ON a.id = l.association""",
    "runs": "SELECT number, stream, version, first, last FROM runs",
    "horizons": "SELECT subject, connector, position, run, task FROM horizons",
    "awaited": "SELECT a.name, w.first, w.second FROM awaited w JOIN associations a ON a.id = w.association",
}
DERIVED = {
    "rules": "SELECT name, side, entity_type, digest FROM rules",
    "dependencies": "SELECT entity_type, hops, path, coalesce(property, ''), leads_to, since FROM dependencies",
    "flags": """SELECT f.number, f.position, f.resource, f.newest, d.entity_type, d.hops, d.path,
        coalesce(d.property, '') FROM flags f JOIN dependencies d ON d.id = f.dependency""",
    "keys": "SELECT n.name, n.side, k.resource, k.value FROM correlation_keys k JOIN rules n ON n.id = k.rule",
    "classifications": "SELECT n.name, c.resource FROM classifications c JOIN rules n ON n.id = c.rule",
    "places": "SELECT consumer, position FROM places",
    "consumed": """SELECT c.consumer, n.name, n.side, n.entity_type, c.flag, c.position, c.digest FROM consumed c
        JOIN rules n ON n.id = c.rule""",
}
BESIDE = {
    "pending": "SELECT run, task, part, head, digest, content FROM pending",
    "blocked": "SELECT connector, run, task, since, needs_complete FROM blocked",
    "schedules": "SELECT job, timing, handled_to, coalesce(run, 0) FROM schedules",
    "consumers": "SELECT name, position, began_at, moved_at, moves FROM consumers",
    "dead_letters": """SELECT sink, position, part, state, refused_at, tries, problem, decided_at, decided_by, reason
        FROM dead_letters""",
    "channels": "SELECT name, position, since FROM channels",
    "notifications": "SELECT channel, id, delivery, tries, noted_at, tried_at, problem, document FROM notifications",
    "verifications": "SELECT number, part, at, position, faults, sample FROM verifications",
    "numbers": "SELECT last_at, next_stream, next_run, next_flag, forgotten_flag FROM store",
}
EVERYTHING = {**LOG, **PROJECTIONS, **DERIVED, **BESIDE}

Tables = dict[str, list[tuple[Any, ...]]]


def nobody(done: int, total: int) -> None:
    """Ignores progress."""


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def tables(url: str, chosen: dict[str, str] = EVERYTHING) -> Tables:
    """The rows of tables, with names in place of the numbers of a store."""
    with opened(url) as store, store.reading() as reading:
        return {name: sorted(map(plain, reading._db.all(sql)), key=repr) for name, sql in chosen.items()}


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Booleans and bytes in one form for both databases."""
    return tuple(int(v) if isinstance(v, bool) else bytes(v) if isinstance(v, memoryview) else v for v in row)


def alter(url: str, *statements: str) -> int:
    """Alters the store with plain SQL, past Deltamark, and returns the number of altered rows."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(path_of(url))) as connection, connection:
            return sum(connection.execute(statement).rowcount for statement in statements)
    with opened(url) as store:
        assert isinstance(store, PostgreSQLStore)
        with store._connection("BEGIN") as connection:
            met = sum(PostgreSQLDatabase(connection).execute(statement) for statement in statements)
            connection.execute("COMMIT")
    return met


def verified(url: str) -> LogVerification:
    with opened(url) as store, store.reading() as reading:
        return reading.verify(nobody)


def replayed(url: str) -> Replayed:
    with opened(url) as store, store.transaction() as tx:
        return tx.replay(nobody)


def replayed_into(url: str, target: str) -> Replayed:
    with opened(url) as store, opened(target) as other, store.reading() as source, other.transaction() as tx:
        return tx.fill_from(source, nobody)
