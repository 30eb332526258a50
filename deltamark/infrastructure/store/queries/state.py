"""Reads the current state: resources and links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import orjson

from deltamark.domain.errors import store_damaged
from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import Resource, ResourceRef
from deltamark.domain.values import Values, shown
from deltamark.infrastructure.store.arrow import pa, pc
from deltamark.infrastructure.store.database import KEYS, SOURCES, TARGETS, Database, index_damaged
from deltamark.infrastructure.store.events.mapper import ChangeMapper


@cache
def states() -> pa.Schema:
    return pa.schema([("key", pa.string()), ("state", pa.string())])


@cache
def whole_states() -> pa.Schema:
    return pa.schema([("stream", pa.int64()), ("key", pa.string()), ("state", pa.string()), ("computed", pa.string())])


@cache
def identities() -> pa.Schema:
    return pa.schema([("value", pa.string()), ("stream", pa.int64()), ("key", pa.string())])


@cache
def links() -> pa.Schema:
    return pa.schema(
        [("source", pa.int64()), ("target", pa.int64()), ("source_key", pa.string()), ("target_key", pa.string())]
    )


_LINKED_KEYS = """SELECT l.source, l.target, s.key AS source_key, t.key AS target_key
    FROM links l JOIN resources s ON s.stream = l.source JOIN resources t ON t.stream = l.target"""


def without_nul(text: str) -> str:
    """Returns the text up to a NUL, which no key or value has and PostgreSQL refuses.

    What lies beyond one of the two lies beyond the other.
    """
    return text.partition("\0")[0]


class Queries:
    """Reads through one database connection, as consistently as its transaction."""

    def __init__(self, database: Database, mapper: ChangeMapper) -> None:
        self._db = database
        self._mapper = mapper

    def close(self) -> None:
        """Ends every query, also iterators that were not read to the end."""
        self._db.close()

    def _values(self, key: str, state: str) -> Values:
        try:
            values = orjson.loads(state)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise store_damaged(f"the state of the resource {shown(key)} cannot be read")
        return values

    @property
    def _by_key(self) -> str:
        """The condition that resource `r` has a key and an entity type.

        The key is `w.value`, the entity type the second parameter.
        """
        return f"r.entity_type=?2 AND {self._db.same_key('r.key', 'w.value')}"

    def _type_id(self, entity_type: str) -> int:
        return self._db.one("SELECT id FROM entity_types WHERE name=?1", (entity_type,)) or 0

    def _association_id(self, association: str) -> int:
        return self._db.one("SELECT id FROM associations WHERE name=?1", (association,)) or 0


class StateQueries(Queries):
    """Reads resources and links as they are now."""

    def live_resources(self, entity_type: str) -> pa.Table:
        return pa.concat_tables([states().empty_table(), *self.live_resource_portions(entity_type)])

    def live_resource_portions(self, entity_type: str) -> Iterator[pa.Table]:
        return self._db.live_states(self._type_id(entity_type), states())

    def live_resources_among(self, entity_type: str, keys: pa.Array) -> pa.Table:
        join, row = self._db.table_row("resources", "r")
        sql = f"""SELECT {row}.key, {row}.state FROM {self._db.each_text(1, "w")}
            {self._db.lookup("resources", "r", self._by_key)} {join} WHERE {row}.live"""
        kind = self._type_id(entity_type)
        found = self._db.table(sql, (self._db.array(keys.to_pylist()), kind), states())
        self._check_keys(kind, keys, found.column("key"))
        return found

    def _check_keys(self, kind: int, keys: pa.Array, found: pa.ChunkedArray) -> None:
        """Checks that the keys which were not found do not exist: a damaged index would hide them.

        :raises StoreError: if a key was found that was not looked for, or if one was hidden.
        """
        if found.num_chunks and not pc.all(pc.is_in(found, value_set=keys)).as_py():
            raise index_damaged("the index of keys leads to resources with other keys")
        missing = keys.filter(pc.invert(pc.is_in(keys, value_set=found.combine_chunks())))
        if len(missing):
            self._db.check_lookups(KEYS, self._db.array(missing.to_pylist()), kind)

    def live_resource_count(self, entity_type: str, at_most: int | None = None) -> int:
        rows = "SELECT 1 AS one FROM resources WHERE entity_type=?1 AND live"
        return self._count(rows, self._type_id(entity_type), at_most)

    def _count(self, rows: str, kind: int, at_most: int | None) -> int:
        if at_most is None:
            return int(self._db.one(f"SELECT count(*) FROM ({rows}) f", (kind,)))
        return int(self._db.one(f"SELECT count(*) FROM ({rows} LIMIT ?2) f", (kind, at_most)))

    def live_resource_counts(self) -> dict[str, int]:
        sql = """SELECT e.name, (SELECT count(*) FROM resources r WHERE r.entity_type=e.id AND r.live)
            FROM entity_types e ORDER BY e.name"""
        return {name: int(count) for name, count in self._db.all(sql)}

    def resources_from(
        self, entity_type: str, after: str | None, least: str, at_most: int, parts: Sequence[str] = ()
    ) -> tuple[list[Resource], str | None]:
        beyond = self._db.key_beyond(2, inclusive=True) if after is None or after < least else self._db.key_beyond(2)
        first = without_nul(least if after is None or after < least else after)
        if "\0" in least:
            return [], None  # no key begins so
        held = " OR ".join(
            self._db.text_holds(column, f"?{number}")
            for number in range(4, 4 + len(parts))
            for column in ("state", "computed")
        )
        # All keys are read, from the index and in its order; of those that do not fit, no value.
        fits = f"live AND ({held})" if parts else "live"
        sql = f"""SELECT key, stream, version, CASE WHEN {fits} THEN state END, computed FROM resources
            WHERE entity_type=?1 AND {beyond} ORDER BY entity_type, {self._db.key_order} LIMIT ?3"""
        rows = self._db.all(sql, (self._type_id(entity_type), first, at_most, *parts))
        found = [
            Resource(
                originator_id=str(stream),
                version=version,
                ref=ResourceRef(entity_type, key),
                synchronized=self._values(key, state),
                computed=self._values(key, computed),
            )
            for key, stream, version, state, computed in rows
            if state is not None
        ]
        return found, rows[-1][0] if len(rows) == at_most else None

    def identities(self, entity_type: str, property_name: str | None, among: pa.Array | None) -> pa.Table:
        kind = self._type_id(entity_type)
        parameters: list[Any] = [kind] if among is None else [kind, self._db.array(among.to_pylist())]
        if property_name is not None:
            parameters.append(property_name)
            value = self._db.json_property("state", len(parameters))
            chosen = "" if among is None else f" AND {self._db.among_texts('value', 2)}"
            sql = f"""SELECT value, stream, key FROM (SELECT {value} AS value, stream, key
                    FROM resources {self._db.unindexed} WHERE entity_type=?1 AND live) p
                WHERE value IS NOT NULL{chosen}"""
        elif among is None:
            sql = f"""SELECT key AS value, stream, key FROM resources {self._db.unindexed}
                WHERE entity_type=?1 AND live"""
        else:
            parameters = [self._db.array(among.to_pylist()), kind]
            join, row = self._db.table_row("resources", "r")
            sql = f"""SELECT {row}.key AS value, {row}.stream, {row}.key FROM
                (SELECT DISTINCT value FROM {self._db.each_text(1, "v")}) w
                {self._db.lookup("resources", "r", self._by_key)} {join} WHERE {row}.live"""
            found = self._db.table(sql, parameters, identities())
            self._check_keys(kind, among, found.column("key"))
            return found
        return self._db.table(sql, parameters, identities())

    def live_links(
        self, association: str, sources: pa.Array | None = None, targets: pa.Array | None = None
    ) -> pa.Table:
        parameters: list[Any] = [self._association_id(association)]
        queries = []
        if sources is None and targets is None:
            sql = f"{self._all_linked_keys} WHERE l.association=?1 AND l.live"
            return self._db.table(sql, parameters, links())
        for end, streams in (("source", sources), ("target", targets)):
            if streams is not None:
                parameters.append(self._db.array(streams.to_pylist()))
                among = self._db.among_numbers(f"l.{end}", len(parameters))
                queries.append(f"{_LINKED_KEYS} WHERE l.association=?1 AND l.live AND {among}")
                self._db.check_lookups(SOURCES if end == "source" else TARGETS, parameters[-1])
        return self._db.table(" UNION ".join(queries), parameters, links())

    @property
    def _all_linked_keys(self) -> str:
        """The ends of links, read from the table: what an index leaves out would be taken for no link."""
        return _LINKED_KEYS.replace("links l", f"links l {self._db.unindexed}")

    def live_link_count(self, association: str, at_most: int | None = None) -> int:
        rows = "SELECT 1 AS one FROM links WHERE association=?1 AND live"
        return self._count(rows, self._association_id(association), at_most)

    def links_from(self, association: str) -> Iterator[tuple[str, str]]:
        sql = f"""SELECT * FROM ({self._all_linked_keys} WHERE l.association=?1 AND l.live) p
            ORDER BY source_key, target_key"""
        for _, _, source, target in self._db.rows(sql, (self._association_id(association),)):
            yield source, target

    def links_of(self, ref: ResourceRef) -> list[LinkRef]:
        stream = self.stream_of(ref)
        return [] if stream is None else [link for live, _, link in self.link_rows(stream) if live]

    def link_rows(self, stream: int) -> list[tuple[bool, int, LinkRef]]:
        """Returns all links that a resource ever had.

        Each row says whether it is live, the stream of the link, and the link.
        """
        sql = """SELECT l.live, l.stream, a.name, st.name, s.key, tt.name, t.key
            FROM links l JOIN associations a ON a.id = l.association
            JOIN resources s ON s.stream = l.source JOIN entity_types st ON st.id = s.entity_type
            JOIN resources t ON t.stream = l.target JOIN entity_types tt ON tt.id = t.entity_type
            WHERE l.source = ?1 OR l.target = ?1 ORDER BY a.name, s.key, t.key"""
        return [
            (bool(live), link, LinkRef(name, ResourceRef(st, sk), ResourceRef(tt, tk)))
            for live, link, name, st, sk, tt, tk in self._db.rows(sql, (stream,))
        ]

    def stream_of(self, ref: ResourceRef) -> int | None:
        """Returns the stream of a resource, or None if it never existed."""
        row = self._resource_row(ref)
        return None if row is None else int(row[0])

    def resource(self, ref: ResourceRef) -> Resource | None:
        row = self._resource_row(ref)
        if row is None:
            return None
        stream, version, live, state, computed = row
        return Resource(
            originator_id=str(stream),
            version=version,
            ref=ref,
            synchronized=self._values(ref.key, state),
            computed=self._values(ref.key, computed),
            live=bool(live),
        )

    def _resource_row(self, ref: ResourceRef) -> tuple[Any, ...] | None:
        if "\0" in ref.key:
            return None  # no extract can bring such a key, and PostgreSQL refuses it as a parameter
        sql = f"""SELECT stream, version, live, state, computed FROM resources
            WHERE entity_type=?1 AND {self._db.same_key("key", "?2")}"""
        return self._db.row(sql, (self._type_id(ref.entity_type), ref.key))
