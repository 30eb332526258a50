"""Appends changes in bulk: log and state together, chunk by chunk.

No aggregates are loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from attrs import frozen

from deltamark.application.ports.records import ComputedChanges, LinkChanges, LinkEnds, ResourceChanges
from deltamark.domain.errors import ConcurrentRun
from deltamark.domain.resources.events import Origin
from deltamark.domain.resources.link import BOTH_DELETED, BY_TASK, SOURCE_DELETED, TARGET_DELETED
from deltamark.infrastructure.store.arrow import np, npt, pa, pc, schemas
from deltamark.infrastructure.store.arrow_rows import CHUNK, are_ascending, chunks
from deltamark.infrastructure.store.database import KEYS, LINKS, SOURCES, TARGETS, Column, Same, index_damaged
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.bulk_payloads import (
    Head,
    computed_grounds,
    link_payloads,
    resource_payloads,
)
from deltamark.infrastructure.store.events.mapper import COMPUTED, CREATED, DELETED, LINKED, UNLINKED, UPDATED
from deltamark.infrastructure.store.events.seals import MOST
from deltamark.infrastructure.store.session import Session

_PORTION = 8 * MOST
"""Rows that are plain values at one time where rows are inserted one by one. Whole segments, whatever its size."""


@frozen
class _Stored:
    """Streams and versions of some resources or links.

    0 and 0 for those that have none yet.
    """

    streams: Sequence[int]
    versions: Sequence[int]
    live: Sequence[int]


class AppendCommands(Session):
    """Appends changes of resources and links."""

    def append_resources(self, entity_type: str, changes: ResourceChanges, origin: Origin) -> Mapping[str, int]:
        kind = self._name_id("entity_types", entity_type)
        head = Head(self._micros, origin)
        unlinked: Counter[str] = Counter()
        for chunk in chunks(changes.deleted):
            unlinked += self._unlink_ends(kind, chunk, origin)
        created = changes.created.num_rows
        is_empty = created > 0 and self._has_no_resources(kind)
        if created >= self._db.many and not self._db.one(
            "SELECT count(*) FROM (SELECT 1 AS one FROM resources LIMIT 1) r"
        ):
            self._db.defer_index(KEYS)
        for chunk in chunks(changes.deleted):
            self._change(kind, entity_type, head, DELETED, chunk)
        for chunk in chunks(changes.created):
            self._create(kind, entity_type, head, chunk, is_empty)
        self._db.build_deferred_indexes()
        for chunk in chunks(changes.updated):
            self._change(kind, entity_type, head, UPDATED, chunk)
        return unlinked

    def _has_no_resources(self, kind: int) -> bool:
        """Asks the index.

        Rows of other entity types or old versions of rows may precede the first row.
        """
        sql = "SELECT entity_type FROM resources WHERE entity_type>=?1 ORDER BY entity_type LIMIT 1"
        return bool(self._db.one(sql, (kind,)) != kind)

    def _events(self, streams: Sequence[int], versions: Sequence[int] | Same, topic: str, payloads: pa.Array) -> range:
        count = len(payloads)
        positions = self._positions(count)
        portion = _PORTION if self._db.by_rows else max(count, 1)
        for start in range(0, count, portion):
            some = slice(start, start + portion)
            numbers: Sequence[int] | Same = versions if isinstance(versions, Same) else versions[some]
            self._insert_events(positions[some], streams[some], numbers, topic, payloads[some])
        return positions

    def _insert_events(
        self, positions: range, streams: Sequence[int], versions: Sequence[int] | Same, topic: str, payloads: pa.Array
    ) -> None:
        numbers = np.full(len(payloads), versions.value) if isinstance(versions, Same) else versions
        seals = self._seals.seal(topic, positions.start, streams, numbers, payloads)
        self._db.insert(
            "stored_events",
            {
                "notification_id": positions,
                "originator_id": streams,
                "originator_version": versions,
                "topic": Same(topic),
                "state": payloads,
                "seal": _in_arrow(seals) if self._db.by_rows else _in_arrow(seals).cast(pa.binary()),
            },
        )

    def _create(self, kind: int, entity_type: str, head: Head, chunk: pa.Table, is_empty: bool) -> None:
        key, line, state = (chunk.column(name).combine_chunks() for name in ("key", "line", "state"))
        if not is_empty:
            stored = self._stored(kind, key)
            new = [text for text, stream in zip(key.to_pylist(), stored.streams, strict=True) if not stream]
            self._db.check_lookups(KEYS, self._db.array(new), kind)
            if any(stored.live):
                raise _changed_concurrently(entity_type)
            if any(stored.streams):
                existed = pa.array([stream > 0 for stream in stored.streams])
                self._change(kind, entity_type, head, CREATED, chunk.filter(existed))
                chunk = chunk.filter(pc.invert(existed))
                key, line, state = (chunk.column(name).combine_chunks() for name in ("key", "line", "state"))
        payloads = resource_payloads(head, entity_type, key, line, state)
        streams = self._streams(len(payloads))
        positions = self._events(streams, Same(1), CREATED, payloads)
        self._db.insert(
            "resources",
            {
                "stream": streams,
                "entity_type": Same(kind),
                "key": key,
                "version": Same(1),
                "position": positions,
                "live": Same(True),
                "state": state,
            },
        )

    def _change(self, kind: int, entity_type: str, head: Head, topic: str, chunk: pa.Table) -> None:
        """Appends to existing streams, which must have the version with which they were read."""
        key, line = chunk.column("key").combine_chunks(), chunk.column("line").combine_chunks()
        stored = self._stored(kind, key)
        was_live = topic != CREATED
        if not all(live == was_live and stream for live, stream in zip(stored.live, stored.streams, strict=True)):
            self._db.check_lookups(KEYS, self._db.array(key.to_pylist()), kind)
            raise _changed_concurrently(entity_type)
        values = chunk.column("changes" if topic == UPDATED else "state").combine_chunks()
        computed = self._computed(stored.streams) if topic == DELETED else None
        payloads = resource_payloads(head, entity_type, key, line, values, computed)
        versions = [version + 1 for version in stored.versions]
        positions = self._events(stored.streams, versions, topic, payloads)
        states: dict[str, Column] = {"state": Same("{}"), "computed": Same("{}")}
        if topic != DELETED:
            states = {"state": chunk.column("state").combine_chunks()}
        updated = self._db.update(
            "resources",
            {"version": versions, "position": positions, "live": Same(topic != DELETED), **states},
            {"stream": stored.streams, "version": stored.versions},
        )
        if updated != len(payloads):
            raise _changed_concurrently(entity_type)

    def _computed(self, streams: Sequence[int]) -> pa.Array:
        """Returns the computed values of some resources."""
        sql = f"""SELECT r.computed FROM {self._db.each_number(1, "w")}
            JOIN resources r ON r.stream = w.value ORDER BY w.key"""
        return self._db.table(sql, (self._db.array(streams),), _computed()).column("computed").combine_chunks()

    def _stored(self, kind: int, keys: pa.Array) -> _Stored:
        join, row = self._db.table_row("resources", "r")
        sql = f"""SELECT coalesce({row}.stream, 0), coalesce({row}.version, 0), coalesce({row}.live, FALSE),
            coalesce({row}.key = w.value, TRUE) FROM {self._db.each_text(1, "w")}
            {self._db.lookup("resources", "r", self._by_key, or_none=True)} {join} ORDER BY w.key"""
        return _columns(self._db.all(sql, (self._db.array(keys.to_pylist()), kind)))

    def _unlink_ends(self, kind: int, deleted: pa.Table, origin: Origin) -> Counter[str]:
        """Removes the links of resources that are about to be deleted.

        Returns how many of each association.
        """
        deleted_in_chunk = self._stored(kind, deleted.column("key").combine_chunks()).streams
        streams = self._db.array(deleted_in_chunk)
        for index in (SOURCES, TARGETS):
            self._db.check_lookups(index, streams)
        ends = " UNION ".join(
            f"""SELECT l.* FROM {self._db.each_number(1, "w")} {self._db.ordered_join} links l ON l.{end} = w.value
            WHERE l.live"""
            for end in ("source", "target")
        )
        rows = self._db.all(
            f"""SELECT a.name, st.name, tt.name, l.source, l.target, s.key, t.key FROM ({ends}) l
            JOIN associations a ON a.id = l.association
            JOIN resources s ON s.stream = l.source JOIN entity_types st ON st.id = s.entity_type
            JOIN resources t ON t.stream = l.target JOIN entity_types tt ON tt.id = t.entity_type
            ORDER BY 1, 2, 3, 6, 7""",
            (streams,),
        )
        deleted_streams = frozenset(deleted_in_chunk)
        groups: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {}
        for association, source_type, target_type, *pair in rows:
            groups.setdefault((association, source_type, target_type), []).append((*pair, None))
        for (association, source_type, target_type), pairs in groups.items():
            table = pa.Table.from_arrays(
                [
                    pa.array(column, type=field.type)
                    for column, field in zip(zip(*pairs, strict=True), schemas.LINKS, strict=True)
                ],
                schema=schemas.LINKS,
            )
            names = LinkEnds(association=association, source=source_type, target=target_type)
            ends_deleted = [(source in deleted_streams, target in deleted_streams) for source, target, *_ in pairs]
            because = pa.array([_DELETED_ENDS[ends] for ends in ends_deleted], pa.string())
            self._change_links(names, UNLINKED, table, origin, because)
        return Counter(row[0] for row in rows)

    def append_links(self, ends: LinkEnds, changes: LinkChanges, origin: Origin) -> None:
        for chunk in chunks(changes.unlinked):
            self._change_links(ends, UNLINKED, chunk, origin, BY_TASK)
        for chunk in chunks(changes.linked):
            self._link(ends, chunk, origin)

    def _link(self, ends: LinkEnds, pairs: pa.Table, origin: Origin) -> None:
        association = self._name_id("associations", ends.association)
        stored = self._stored_links(association, pairs)
        if any(stored.live):
            raise _changed_concurrently(ends.association)
        old = pa.array([stream > 0 for stream in stored.streams], type=pa.bool_())
        if pc.any(old).as_py():
            self._change_links(ends, LINKED, pairs.filter(old), origin)
            pairs = pairs.filter(pc.invert(old))
        self._db.check_lookups(LINKS, self._db.array(_pairs(pairs)), association)
        payloads = self._link_payloads(ends, pairs, origin)
        streams = self._streams(len(payloads))
        positions = self._events(streams, Same(1), LINKED, payloads)
        self._db.insert(
            "links",
            {
                "stream": streams,
                "association": Same(association),
                "source": pairs.column("source").to_pylist(),
                "target": pairs.column("target").to_pylist(),
                "version": Same(1),
                "position": positions,
                "live": Same(True),
            },
        )

    def _change_links(
        self, ends: LinkEnds, topic: str, pairs: pa.Table, origin: Origin, because: pa.Array | str = ""
    ) -> None:
        association = self._name_id("associations", ends.association)
        stored = self._stored_links(association, pairs)
        was_live = topic == UNLINKED
        if not all(live == was_live and stream for live, stream in zip(stored.live, stored.streams, strict=True)):
            self._db.check_lookups(LINKS, self._db.array(_pairs(pairs)), association)
            raise _changed_concurrently(ends.association)
        versions = [version + 1 for version in stored.versions]
        positions = self._events(stored.streams, versions, topic, self._link_payloads(ends, pairs, origin, because))
        self._db.update(
            "links",
            {"version": versions, "position": positions, "live": Same(not was_live)},
            {"stream": stored.streams},
        )

    def put_computed(self, changes: ComputedChanges, origin: Origin) -> None:
        kind = self._type_id(changes.entity_type)
        head = Head(self._micros, origin)
        for chunk in chunks(changes.rows, _PORTION if self._db.by_rows else CHUNK):
            self._put_computed(kind, changes.entity_type, head, chunk, changes.whole)

    def _put_computed(self, kind: int, entity_type: str, head: Head, chunk: pa.Table, whole: str | None) -> None:
        streams: Sequence[int] = chunk.column("stream").to_pylist()
        stored = self._keys_and_versions(kind, chunk.column("stream").combine_chunks(), streams)
        if stored.num_rows != len(streams):
            raise _changed_concurrently(entity_type)
        no_lines = pa.nulls(len(streams), pa.int64())
        updates, computed = (chunk.column(name).combine_chunks() for name in ("changes", "computed"))
        keys = stored.column("key").combine_chunks()
        grounds = _grounds(chunk, whole)
        payloads = resource_payloads(head, entity_type, keys, no_lines, updates, grounds=grounds)
        versions = stored.column("version").to_pylist()
        next_versions = [version + 1 for version in versions]
        positions = self._events(streams, next_versions, COMPUTED, payloads)
        updated = self._db.update(
            "resources",
            {"version": next_versions, "position": positions, "computed": computed},
            {"stream": streams, "version": versions},
        )
        if updated != len(streams):
            raise _changed_concurrently(entity_type)

    def _keys_and_versions(self, kind: int, chosen: pa.Array, streams: Sequence[int]) -> pa.Table:
        """Returns the keys and versions of live resources, in the order of their streams where those are sorted."""
        rows = self._db.rows_of_streams(chosen, _versions(), kind) if are_ascending(chosen) else None
        if rows is not None:
            return rows
        sql = f"""SELECT r.stream, r.key, r.version FROM {self._db.each_number(1, "w")}
            JOIN resources r ON r.stream = w.value AND r.entity_type=?2 AND r.live ORDER BY w.key"""
        return self._db.table(sql, (self._db.array(streams), kind), _versions())

    def _link_payloads(self, ends: LinkEnds, pairs: pa.Table, origin: Origin, because: pa.Array | str = "") -> pa.Array:
        source, target, line = (pairs.column(name).combine_chunks() for name in ("source_key", "target_key", "line"))
        return link_payloads(
            Head(self._micros, origin), ends.association, (ends.source, ends.target), source, target, line, because
        )

    def _stored_links(self, association: int, pairs: pa.Table) -> _Stored:
        ends = _pairs(pairs)
        by_ends = "l.association=?2 AND l.source=w.first AND l.target=w.second"
        join, row = self._db.table_row("links", "l")
        sql = f"""SELECT coalesce({row}.stream, 0), coalesce({row}.version, 0), coalesce({row}.live, FALSE),
            coalesce({row}.source = w.first AND {row}.target = w.second, TRUE)
            FROM {self._db.each_pair(1, "w")} {self._db.lookup("links", "l", by_ends, or_none=True)} {join}
            ORDER BY w.key"""
        return _columns(self._db.all(sql, (self._db.array(ends), association)))


_DELETED_ENDS = {(True, False): SOURCE_DELETED, (False, True): TARGET_DELETED, (True, True): BOTH_DELETED}


def _grounds(chunk: pa.Table, whole: str | None) -> pa.Array | str:
    """Returns the members that say why the values of some rows were computed."""
    if whole is not None:
        return f',"{payload.WHOLE}":"{whole}"'
    if "first" not in chunk.column_names:
        return ""
    return computed_grounds(*(chunk.column(name).combine_chunks() for name in ("first", "last", "whole")))


def _in_arrow(rows: npt.NDArray[np.uint8]) -> pa.Array:
    """Returns the rows of a matrix as an Arrow array of bytes."""
    count, width = rows.shape
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(rows.tobytes())])


@cache
def _computed() -> pa.Schema:
    return pa.schema([("computed", pa.string())])


def _pairs(links: pa.Table) -> list[tuple[int, int]]:
    """Returns the streams of both ends of links."""
    return list(zip(links.column("source").to_pylist(), links.column("target").to_pylist(), strict=True))


def _columns(rows: list[tuple[int, int, int, bool]]) -> _Stored:
    streams, versions, live, matches = zip(*rows, strict=True) if rows else ((), (), (), ())
    if not all(matches):
        raise index_damaged("it leads to other rows than those that were looked for")
    return _Stored(streams, versions, live)


def _changed_concurrently(subject: str) -> ConcurrentRun:
    return ConcurrentRun(
        f"{subject} was changed by another run while this task compared it. Nothing was changed. Run again."
    )


@cache
def _versions() -> pa.Schema:
    return pa.schema([("stream", pa.int64()), ("key", pa.string()), ("version", pa.int64())])
