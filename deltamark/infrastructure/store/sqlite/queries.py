"""Queries of the current state: resources, links, flags, places, keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.ports.store import KeyRule, Place
from deltamark.domain.changes import CorrelationKey, Horizon
from deltamark.domain.errors import StoreError
from deltamark.domain.link import LinkRef
from deltamark.domain.resource import Resource, ResourceRef
from deltamark.domain.values import Values, shown
from deltamark.infrastructure.store.arrow_rows import CHUNK, as_array, to_table
from deltamark.infrastructure.store.mapper import ChangeMapper

STATES = pa.schema([("key", pa.string()), ("state", pa.string())])
STREAM_STATES = pa.schema([("stream", pa.int64()), ("state", pa.string())])
IDENTITIES = pa.schema([("value", pa.string()), ("stream", pa.int64()), ("key", pa.string())])
LINKS = pa.schema(
    [("source", pa.int64()), ("target", pa.int64()), ("source_key", pa.string()), ("target_key", pa.string())]
)
FLAGGED = pa.schema([("key", pa.string()), ("since", pa.int64()), ("live", pa.bool_())])
_FLAGGED_ROWS = pa.schema([("key", pa.string()), ("since", pa.int64()), ("live", pa.int8())])

_STREAMS = 4_000
"""How many streams are read at a time."""

_SEPARATOR = b"\x1e"

# In the order of the table: by the index on keys, every row would be a search of its own.
_IN_STREAMS = "FROM resources NOT INDEXED WHERE stream>=? AND stream<? AND entity_type=? AND live"
_JOINED = f"SELECT group_concat(key, char(30)), group_concat(state, char(30)), count(*) {_IN_STREAMS}"

_KEYS = """SELECT n.name, n.side, e.name, r.key, k.value FROM correlation_keys k
    JOIN rules n ON n.id = k.rule JOIN resources r ON r.stream = k.resource
    JOIN entity_types e ON e.id = r.entity_type"""

_LINKED_KEYS = """SELECT l.source, l.target, s.key, t.key
    FROM links l JOIN resources s ON s.stream = l.source JOIN resources t ON t.stream = l.target"""


class Queries:
    """A view through one connection; what it reads is as consistent as that connection's transaction.

    Values to look up go into a statement as one JSON array: no statement is ever put together from data.
    """

    def __init__(self, connection: sqlite3.Connection, mapper: ChangeMapper) -> None:
        self._connection = connection
        self._mapper = mapper
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def _cursor(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        cursor = self._connection.cursor()
        self._cursors.add(cursor)
        cursor.row_factory = None
        return cursor.execute(sql, parameters)

    def close(self) -> None:
        """Ends every query, also those that somebody still holds half read.

        As long as one is open, SQLite keeps the whole connection at its view: the next to use that connection
        would see the past.
        """
        for cursor in tuple(self._cursors):
            cursor.close()

    @contextmanager
    def _texts_as_bytes(self) -> Iterator[None]:
        """Lets texts be read as the UTF-8 that Arrow wants, without making Python texts of them."""
        factory, self._connection.text_factory = self._connection.text_factory, bytes
        try:
            yield
        finally:
            self._connection.text_factory = factory

    def _one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        row = self._cursor(sql, parameters).fetchone()
        return row[0] if row else None

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        cursor = self._cursor(sql, parameters)
        while rows := cursor.fetchmany(CHUNK):
            yield from rows

    def _values(self, key: str, state: str) -> Values:
        try:
            values = orjson.loads(state)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise StoreError(
                f"the state of the resource {shown(key)} cannot be read. The store was altered or is damaged. "
                "Restore a backup."
            )
        return values

    def _type_id(self, entity_type: str) -> int:
        return self._one("SELECT id FROM entity_types WHERE name=?", (entity_type,)) or 0

    def _association_id(self, association: str) -> int:
        return self._one("SELECT id FROM associations WHERE name=?", (association,)) or 0


class StateQueries(Queries):
    """Resources and links as they are now."""

    def held(self, entity_type: str) -> pa.Table:
        """See `Reading.held`."""
        kind = self._type_id(entity_type)
        last = self._one("SELECT max(stream) FROM resources") or 0
        with self._texts_as_bytes():
            tables = [self._held_between(kind, start) for start in range(1, last + 1, _STREAMS)]
        return pa.concat_tables([STATES.empty_table(), *tables])

    def _held_between(self, kind: int, start: int) -> pa.Table:
        """The live resources of a range of streams, joined to two long texts by SQLite: no object for each row.

        States are JSON, which escapes control characters, so the separator stands in none of them. A range
        where a key holds it, or whose texts would be too long for SQLite, is read row by row.
        """
        span = (start, start + _STREAMS, kind)
        try:
            keys, states, count = self._cursor(_JOINED, span).fetchone()
        except sqlite3.DataError:
            keys, states, count = None, None, -1
        if count == 0:
            return STATES.empty_table()
        if keys is not None and all(text.count(_SEPARATOR) == count - 1 for text in (keys, states)):
            columns = [
                pc.list_flatten(pc.split_pattern(as_array([text], pa.string()), "\x1e")) for text in (keys, states)
            ]
            return pa.Table.from_arrays(columns, schema=STATES)
        return to_table(self._cursor(f"SELECT key, state {_IN_STREAMS}", span), STATES)

    def held_among(self, entity_type: str, keys: pa.Array) -> pa.Table:
        """See `Reading.held_among`."""
        sql = """SELECT r.key, r.state FROM json_each(?) w
            CROSS JOIN resources r ON r.entity_type=? AND r.key=w.value WHERE r.live"""
        return to_table(self._cursor(sql, (_array(keys), self._type_id(entity_type))), STATES)

    def held_count(self, entity_type: str) -> int:
        """See `Reading.held_count`."""
        sql = "SELECT count(*) FROM resources WHERE entity_type=? AND live"
        return int(self._one(sql, (self._type_id(entity_type),)))

    def identities(self, entity_type: str, property_name: str | None, among: pa.Array | None) -> pa.Table:
        """See `Reading.identities`."""
        kind = self._type_id(entity_type)
        if property_name is not None:
            path = f'$."{property_name}"'
            sql = """SELECT CAST(json_extract(state, ?) AS TEXT) AS value, stream, key FROM resources
                WHERE entity_type=? AND live AND value IS NOT NULL"""
            found: list[Any] = [path, kind]
            if among is not None:
                sql += " AND value IN (SELECT value FROM json_each(?))"
                found.append(_array(among))
            return to_table(self._cursor(sql, found), IDENTITIES)
        if among is None:
            sql = "SELECT key, stream, key FROM resources WHERE entity_type=? AND live"
            return to_table(self._cursor(sql, (kind,)), IDENTITIES)
        sql = """SELECT r.key, r.stream, r.key FROM (SELECT DISTINCT value FROM json_each(?)) w
            CROSS JOIN resources r ON r.entity_type=? AND r.key=w.value WHERE r.live"""
        return to_table(self._cursor(sql, (_array(among), kind)), IDENTITIES)

    def links_held(self, association: str, touching: pa.Array | None = None) -> pa.Table:
        """See `Reading.links_held`."""
        name = self._association_id(association)
        if touching is None:
            return to_table(self._cursor(f"{_LINKED_KEYS} WHERE l.association=? AND l.live", (name,)), LINKS)
        ends = [
            f"{_LINKED_KEYS} WHERE l.association=?1 AND l.live AND l.{end} IN (SELECT value FROM json_each(?2))"
            for end in ("source", "target")
        ]
        return to_table(self._cursor(" UNION ".join(ends), (name, _array(touching))), LINKS)

    def links_held_count(self, association: str) -> int:
        """See `Reading.links_held_count`."""
        sql = "SELECT count(*) FROM links WHERE association=? AND live"
        return int(self._one(sql, (self._association_id(association),)))

    def links_from(self, association: str) -> Iterator[tuple[str, str]]:
        """See `Reading.links_from`."""
        sql = f"SELECT * FROM ({_LINKED_KEYS} WHERE l.association=? AND l.live) ORDER BY 3, 4"
        for _, _, source, target in self._rows(sql, (self._association_id(association),)):
            yield source, target

    def links_of(self, ref: ResourceRef) -> list[LinkRef]:
        """See `Reading.links_of`."""
        stream = self.stream_of(ref)
        return [] if stream is None else [link for live, _, link in self.link_rows(stream) if live]

    def link_rows(self, stream: int) -> list[tuple[bool, int, LinkRef]]:
        """All links that one resource ever had: whether live, the link's stream, and the pair."""
        sql = """SELECT l.live, l.stream, a.name, st.name, s.key, tt.name, t.key
            FROM links l JOIN associations a ON a.id = l.association
            JOIN resources s ON s.stream = l.source JOIN entity_types st ON st.id = s.entity_type
            JOIN resources t ON t.stream = l.target JOIN entity_types tt ON tt.id = t.entity_type
            WHERE l.source = ?1 OR l.target = ?1 ORDER BY a.name, s.key, t.key"""
        return [
            (bool(live), link, LinkRef(name, ResourceRef(st, sk), ResourceRef(tt, tk)))
            for live, link, name, st, sk, tt, tk in self._rows(sql, (stream,))
        ]

    def stream_of(self, ref: ResourceRef) -> int | None:
        """The stream of a resource, or None if there never was one."""
        sql = "SELECT stream FROM resources WHERE entity_type=? AND key=?"
        found = self._one(sql, (self._type_id(ref.entity_type), ref.key))
        return None if found is None else int(found)

    def resource(self, ref: ResourceRef) -> Resource | None:
        """See `Reading.resource`."""
        sql = "SELECT stream, version, live, state FROM resources WHERE entity_type=? AND key=?"
        row = self._cursor(sql, (self._type_id(ref.entity_type), ref.key)).fetchone()
        if row is None:
            return None
        stream, version, live, state = row
        return Resource(
            originator_id=str(stream), version=version, ref=ref, values=self._values(ref.key, state), live=bool(live)
        )


class ProjectionQueries(Queries):
    """Flags, places, correlation keys and horizons."""

    def place(self, consumer: str) -> Place | None:
        """See `Reading.place`."""
        sql = "SELECT position, digest, (SELECT max(notification_id) FROM stored_events) FROM places WHERE consumer=?"
        row = self._cursor(sql, (consumer,)).fetchone()
        if row is None:
            return None
        position, digest, head = row
        if position > (head or 0):
            raise StoreError(
                f"{consumer} stands at position {position}, beyond the log, which ends at {head}: it would pass over "
                "changes. The store was altered or is damaged. Restore a backup."
            )
        return Place(position=position, digest=digest)

    def flagged(self, entity_type: str, after: int) -> pa.Table:
        """See `Reading.flagged`."""
        sql = """SELECT r.key, f.since, r.live FROM
            (SELECT resource, min(position) AS since FROM flags WHERE position>? GROUP BY resource) f
            CROSS JOIN resources r ON r.stream = f.resource WHERE r.entity_type=? ORDER BY r.key"""
        return to_table(self._cursor(sql, (after, self._type_id(entity_type))), _FLAGGED_ROWS).cast(FLAGGED)

    def rules_computed(self) -> set[KeyRule]:
        """See `Reading.rules_computed`."""
        rows = self._rows("SELECT name, side, entity_type, digest FROM rules WHERE digest<>''")
        return {KeyRule(name=n, side=s, entity_type=e, digest=d) for n, s, e, d in rows}

    def correlation_keys(self, rules: Sequence[str] | None) -> Iterator[CorrelationKey]:
        """See `Reading.correlation_keys`."""
        sql = f"{_KEYS} WHERE ?1 IS NULL OR n.name IN (SELECT value FROM json_each(?1)) ORDER BY n.name, n.side, r.key"
        wanted = None if rules is None else orjson.dumps(list(rules)).decode()
        return self._keys(sql, wanted)

    def matching_keys(self, rules: Sequence[str]) -> Iterator[CorrelationKey]:
        """See `Reading.matching_keys`."""
        sql = f"""{_KEYS} WHERE n.name IN (SELECT value FROM json_each(?1)) AND EXISTS (
                SELECT 1 FROM rules m CROSS JOIN correlation_keys o ON o.rule = m.id AND o.value = k.value
                WHERE m.name = n.name AND m.side <> n.side)
            ORDER BY n.name, k.value, n.side, r.key"""
        return self._keys(sql, orjson.dumps(list(rules)).decode())

    def _keys(self, sql: str, rules: str | None) -> Iterator[CorrelationKey]:
        for rule, side, entity_type, key, value in self._rows(sql, (rules,)):
            yield CorrelationKey(rule=rule, side=side, entity_type=entity_type, key=key, value=value)

    def horizons(self) -> list[Horizon]:
        """See `Reading.horizons`."""
        sql = "SELECT connector, subject, position, run, task FROM horizons ORDER BY subject, connector"
        return [Horizon(connector=c, subject=s, position=p, run=r, task=t) for c, s, p, r, t in self._rows(sql)]


def _array(values: pa.Array) -> str:
    return orjson.dumps(values.to_pylist()).decode()
