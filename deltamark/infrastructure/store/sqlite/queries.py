"""Queries of the current state: resources, links, flags, places, keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import pyarrow as pa

from deltamark.application.ports.store import Place
from deltamark.domain.changes import CorrelationKey, Horizon
from deltamark.domain.link import LinkRef
from deltamark.domain.resource import Resource, ResourceRef
from deltamark.infrastructure.store.arrow_rows import CHUNK, to_table
from deltamark.infrastructure.store.mapper import ChangeMapper

STATES = pa.schema([("key", pa.string()), ("state", pa.string())])
STREAM_STATES = pa.schema([("stream", pa.int64()), ("state", pa.string())])
IDENTITIES = pa.schema([("value", pa.string()), ("stream", pa.int64()), ("key", pa.string())])
LINKS = pa.schema(
    [("source", pa.int64()), ("target", pa.int64()), ("source_key", pa.string()), ("target_key", pa.string())]
)
FLAGGED = pa.schema([("key", pa.string()), ("since", pa.int64()), ("live", pa.bool_())])

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

    def _cursor(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor.execute(sql, parameters)

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

    def _type_id(self, entity_type: str) -> int:
        return self._one("SELECT id FROM entity_types WHERE name=?", (entity_type,)) or 0

    def _association_id(self, association: str) -> int:
        return self._one("SELECT id FROM associations WHERE name=?", (association,)) or 0


class StateQueries(Queries):
    """Resources and links as they are now."""

    def held(self, entity_type: str) -> pa.Table:
        """See `Reading.held`."""
        # In the order of the table: by the index on keys, every row would be a search of its own.
        sql = "SELECT key, state FROM resources NOT INDEXED WHERE entity_type=? AND live"
        with self._texts_as_bytes():
            return to_table(self._cursor(sql, (self._type_id(entity_type),)), STATES)

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
        return [] if stream is None else [link for _, _, link in self.link_rows(stream) if _]

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
            originator_id=str(stream), version=version, ref=ref, values=orjson.loads(state), live=bool(live)
        )


class ProjectionQueries(Queries):
    """Flags, places, correlation keys and horizons."""

    def place(self, consumer: str) -> Place | None:
        """See `Reading.place`."""
        row = self._cursor("SELECT position, digest FROM places WHERE consumer=?", (consumer,)).fetchone()
        return Place(position=row[0], digest=row[1]) if row else None

    def flagged(self, entity_type: str, after: int) -> pa.Table:
        """See `Reading.flagged`."""
        sql = """SELECT r.key, f.since, r.live FROM
            (SELECT resource, min(position) AS since FROM flags WHERE position>? GROUP BY resource) f
            CROSS JOIN resources r ON r.stream = f.resource WHERE r.entity_type=? ORDER BY r.key"""
        return to_table(self._cursor(sql, (after, self._type_id(entity_type))), FLAGGED)

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
