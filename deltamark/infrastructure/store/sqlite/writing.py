"""One writing transaction of an SQLite store: runs, flags, places, keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
from eventsourcing.sqlite import SQLiteCursor

from deltamark.application.ports.store import Clock, KeyRule, Place
from deltamark.domain.errors import StoreError
from deltamark.domain.events import Event
from deltamark.domain.flags import FLAG_PROJECTION
from deltamark.domain.run import RunEvent
from deltamark.infrastructure.store.arrow_rows import chunks, to_table, tuples
from deltamark.infrastructure.store.mapper import (
    LINK_TOPICS,
    RESOURCE_TOPICS,
    ChangeMapper,
    from_micros,
    to_micros,
)
from deltamark.infrastructure.store.sqlite.log import RunQueries
from deltamark.infrastructure.store.sqlite.queries import STREAM_STATES, ProjectionQueries
from deltamark.infrastructure.store.sqlite.recorder import ChangeRecorder

_END_OF_TIME = to_micros(datetime.max.replace(tzinfo=UTC))


class Session(RunQueries, ProjectionQueries):
    """The transaction itself: its time, its positions and its streams.

    Positions, streams and the time are kept here while the transaction runs and written at its end.
    """

    def __init__(self, cursor: SQLiteCursor, recorder: ChangeRecorder, mapper: ChangeMapper, clock: Clock) -> None:
        super().__init__(cursor.sqlite_cursor.connection, mapper)
        self._c = cursor
        self._recorder = recorder
        self._next = self._first = recorder.next_position(cursor)
        last_at, self._stream, self._run = self._stand()
        self._micros = max(to_micros(clock()), last_at + 1)

    def _stand(self) -> tuple[int, int, int]:
        """The newest time in the log, the next stream and the next run."""
        match self._cursor("SELECT last_at, next_stream, next_run FROM store").fetchone():
            case (int(last_at), int(stream), int(run)) if last_at < _END_OF_TIME:
                return last_at, stream, run
        raise StoreError(
            "the time of the store, or where it goes on, cannot be read. The store was altered or is damaged. "
            "Restore a backup."
        )

    def now(self) -> datetime:
        """See `Writing.now`."""
        return from_micros(self._micros)

    def _execute(self, sql: str, parameters: Any = ()) -> int:
        return self._cursor(sql, parameters).rowcount

    def _many(self, sql: str, rows: Iterable[Any]) -> int:
        return self._connection.executemany(sql, rows).rowcount

    def _positions(self, count: int) -> range:
        first, self._next = self._next, self._next + count
        return range(first, self._next)

    def _streams(self, count: int) -> range:
        first, self._stream = self._stream, self._stream + count
        return range(first, self._stream)

    def _append(self, event: Event) -> int:
        stored = self._mapper.to_stored_event(event)
        (position,) = self._positions(1)
        row = (position, int(event.originator_id), stored.originator_version, stored.topic, stored.state)
        self._recorder.insert_rows(self._c, [row])
        return position

    def _named(self, table: str, name: str) -> int:
        found = self._one(f"SELECT id FROM {table} WHERE name=?", (name,))
        return int(found) if found else int(self._one(f"INSERT INTO {table} (name) VALUES (?) RETURNING id", (name,)))

    def finish(self) -> None:
        """Writes what was kept back; the last thing before the commit."""
        if self._next > self._first:
            self._execute("INSERT INTO moments (position, at) VALUES (?, ?)", (self._next - 1, self._micros))
        self._execute("UPDATE store SET last_at=?, next_stream=?, next_run=?", (self._micros, self._stream, self._run))


class RunWriting(Session):
    """The record of runs."""

    def start_run(self, build: Callable[[str, int, datetime], RunEvent]) -> int:
        """See `Writing.start_run`."""
        (stream,) = self._streams(1)
        number: int = self._run
        self._run = number + 1
        position = self._append(build(str(stream), number, self.now()))
        self._execute(
            "INSERT INTO runs (number, stream, version, first, last) VALUES (?, ?, 1, ?, ?)",
            (number, stream, position, position),
        )
        return number

    def append_to_run(self, build: Callable[[str, int, datetime], RunEvent], run: int) -> None:
        """See `Writing.append_to_run`."""
        stream, version = self._cursor("SELECT stream, version FROM runs WHERE number=?", (run,)).fetchone()
        position = self._append(build(str(stream), version + 1, self.now()))
        self._execute("UPDATE runs SET version=?, last=? WHERE number=?", (version + 1, position, run))


class ProjectionWriting(Session):
    """Flags, places and correlation keys, set by set."""

    def flag_changes(self, after: int) -> int:
        """See `Writing.flag_changes`."""
        beyond = "e.notification_id > ? AND e.topic IN (SELECT value FROM json_each(?))"
        resources, links = (orjson.dumps(topics).decode() for topics in (RESOURCE_TOPICS, LINK_TOPICS))
        self._execute(
            f"""INSERT OR IGNORE INTO flags SELECT e.notification_id, e.originator_id
            FROM stored_events e WHERE {beyond}""",
            (after, resources),
        )
        for end in ("source", "target"):
            self._execute(
                f"""INSERT OR IGNORE INTO flags SELECT e.notification_id, l.{end} FROM stored_events e
                CROSS JOIN links l ON l.stream = e.originator_id WHERE {beyond}""",
                (after, links),
            )
        return self._flagged_count(after)

    def _flagged_count(self, after: int) -> int:
        return int(self._one("SELECT count(DISTINCT resource) FROM flags WHERE position>?", (after,)))

    def flag_all(self, entity_types: Iterable[str], position: int) -> int:
        """See `Writing.flag_all`."""
        names = orjson.dumps(list(entity_types)).decode()
        self._execute(
            """INSERT OR IGNORE INTO flags SELECT ?, stream FROM resources WHERE entity_type IN
            (SELECT id FROM entity_types WHERE name IN (SELECT value FROM json_each(?)))""",
            (position, names),
        )
        return int(self._one("SELECT count(*) FROM flags WHERE position=?", (position,)))

    def forget_flags(self) -> None:
        """See `Writing.forget_flags`."""
        self._execute(
            "DELETE FROM flags WHERE position <= (SELECT min(position) FROM places WHERE consumer<>?)",
            (FLAG_PROJECTION,),
        )

    def move_place(self, consumer: str, place: Place) -> None:
        """See `Writing.move_place`."""
        self._execute(
            """INSERT INTO places (consumer, position, digest) VALUES (?, ?, ?)
            ON CONFLICT (consumer) DO UPDATE SET position=excluded.position, digest=excluded.digest""",
            (consumer, place.position, place.digest),
        )

    def flagged_states(self, entity_type: str, after: int) -> pa.Table:
        """See `Writing.flagged_states`."""
        sql = """SELECT r.stream, CASE WHEN r.live THEN r.state END FROM
            (SELECT DISTINCT resource FROM flags WHERE position>?) f
            CROSS JOIN resources r ON r.stream = f.resource WHERE r.entity_type=?"""
        return to_table(self._cursor(sql, (after, self._type_id(entity_type))), STREAM_STATES)

    def all_states(self, entity_type: str) -> pa.Table:
        """See `Writing.all_states`."""
        sql = "SELECT stream, state FROM resources WHERE entity_type=? AND live"
        return to_table(self._cursor(sql, (self._type_id(entity_type),)), STREAM_STATES)

    def put_keys(self, rule: KeyRule, values: pa.Table, *, everything: bool) -> int:
        """See `Writing.put_keys`."""
        number = self._rule(rule)
        if everything:
            self._execute("UPDATE rules SET digest=? WHERE id=?", (rule.digest, number))
        self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS fresh (resource INTEGER PRIMARY KEY, value TEXT)")
        written = 0
        for chunk in chunks(values):
            self._connection.execute("DELETE FROM temp.fresh")
            self._many("INSERT INTO temp.fresh VALUES (?, ?)", tuples(chunk, "stream", "value"))
            written += self._execute(
                """DELETE FROM correlation_keys WHERE rule=? AND resource IN
                (SELECT resource FROM temp.fresh WHERE value IS NULL)""",
                (number,),
            )
            written += self._execute(
                """INSERT INTO correlation_keys (rule, resource, value)
                SELECT ?, resource, value FROM temp.fresh WHERE value IS NOT NULL
                ON CONFLICT (rule, resource) DO UPDATE SET value=excluded.value WHERE value<>excluded.value""",
                (number,),
            )
        return written

    def _rule(self, rule: KeyRule) -> int:
        names = (rule.name, rule.side, rule.entity_type)
        found = self._one("SELECT id FROM rules WHERE name=? AND side=? AND entity_type=?", names)
        sql = "INSERT INTO rules (name, side, entity_type, digest) VALUES (?, ?, ?, '') RETURNING id"
        return int(found) if found else int(self._one(sql, names))

    def keep_rules(self, rules: Iterable[KeyRule]) -> int:
        """See `Writing.keep_rules`."""
        kept = {(rule.name, rule.side, rule.entity_type) for rule in rules}
        stored = self._cursor("SELECT id, name, side, entity_type FROM rules").fetchall()
        gone = [(number,) for number, *names in stored if tuple(names) not in kept]
        removed = self._many("DELETE FROM correlation_keys WHERE rule=?", gone) if gone else 0
        self._many("DELETE FROM rules WHERE id=?", gone)
        return removed

    def drop_keys_of_deleted(self) -> int:
        """See `Writing.drop_keys_of_deleted`."""
        return self._execute(
            "DELETE FROM correlation_keys WHERE resource IN (SELECT stream FROM resources WHERE NOT live)"
        )
