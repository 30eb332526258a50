"""Appending changes in bulk: log and state together, chunk by chunk, never loading an aggregate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import orjson
import pyarrow as pa
from attrs import frozen

from deltamark.application.ports.store import LinkChanges, LinkEnds, ResourceChanges
from deltamark.domain.errors import ConcurrentRun
from deltamark.domain.events import Cause
from deltamark.infrastructure.store.arrow_rows import chunks
from deltamark.infrastructure.store.bulk_payload import Head, link_payloads, resource_payloads
from deltamark.infrastructure.store.mapper import CREATED, DELETED, LINKED, UNLINKED, UPDATED
from deltamark.infrastructure.store.sqlite.writing import Session

_INSERT_EVENT = """INSERT INTO stored_events (notification_id, originator_id, originator_version, topic, state)
    VALUES (?, ?, ?, ?, CAST(? AS BLOB))"""


@frozen
class _Stored:
    """Where the streams of some resources or links stand: 0 and 0 for those that have none yet."""

    streams: Sequence[int]
    versions: Sequence[int]
    live: Sequence[int]


class Appending(Session):
    """Changes of resources and links."""

    def append_resources(self, entity_type: str, changes: ResourceChanges, cause: Cause) -> int:
        """See `Writing.append_resources`."""
        kind = self._named("entity_types", entity_type)
        head = Head(self._micros, cause)
        unlinked = sum(self._unlink_ends(kind, chunk, cause) for chunk in chunks(changes.deleted))
        is_empty = self._one("SELECT 1 FROM resources WHERE entity_type=? LIMIT 1", (kind,)) is None
        for chunk in chunks(changes.deleted):
            self._change(kind, entity_type, head, DELETED, chunk)
        for chunk in chunks(changes.created):
            self._create(kind, entity_type, head, chunk, is_empty)
        for chunk in chunks(changes.updated):
            self._change(kind, entity_type, head, UPDATED, chunk)
        return unlinked

    def _events(
        self,
        streams: Sequence[int],
        versions: Iterator[int] | Sequence[int],
        topic: str,
        payloads: Sequence[str],
    ) -> range:
        positions = self._positions(len(payloads))
        self._many(_INSERT_EVENT, zip(positions, streams, versions, repeat(topic), payloads, strict=False))
        return positions

    def _create(self, kind: int, entity_type: str, head: Head, chunk: pa.Table, is_empty: bool) -> None:
        key, line, state = (chunk.column(name).combine_chunks() for name in ("key", "line", "state"))
        if not is_empty:
            stored = self._stored(kind, key)
            if any(stored.live):
                raise _changed_meanwhile(entity_type)
            if any(stored.streams):
                was = pa.array([stream > 0 for stream in stored.streams])
                self._revive(kind, entity_type, head, chunk.filter(was))
                chunk = chunk.filter(pa.compute.invert(was))
                key, line, state = (chunk.column(name).combine_chunks() for name in ("key", "line", "state"))
        payloads = resource_payloads(head, entity_type, key, line, state)
        streams = self._streams(len(payloads))
        positions = self._events(streams, repeat(1), CREATED, payloads)
        self._many(
            "INSERT INTO resources (stream, entity_type, key, version, position, live, state) VALUES (?,?,?,1,?,1,?)",
            zip(streams, repeat(kind), key.to_pylist(), positions, state.to_pylist(), strict=False),
        )

    def _revive(self, kind: int, entity_type: str, head: Head, chunk: pa.Table) -> None:
        self._change(kind, entity_type, head, CREATED, chunk)

    def _change(self, kind: int, entity_type: str, head: Head, topic: str, chunk: pa.Table) -> None:
        """Appends to streams that exist: each must be as live, and at the version, that it was read with."""
        key, line = chunk.column("key").combine_chunks(), chunk.column("line").combine_chunks()
        stored = self._stored(kind, key)
        was_live = 0 if topic == CREATED else 1
        if not all(live == was_live and stream for live, stream in zip(stored.live, stored.streams, strict=True)):
            raise _changed_meanwhile(entity_type)
        values = chunk.column("changes" if topic == UPDATED else "state").combine_chunks()
        payloads = resource_payloads(head, entity_type, key, line, values)
        versions = [version + 1 for version in stored.versions]
        positions = self._events(stored.streams, versions, topic, payloads)
        states = repeat("{}") if topic == DELETED else chunk.column("state").to_pylist()
        done = self._many(
            "UPDATE resources SET version=?, position=?, live=?, state=? WHERE stream=? AND version=?",
            zip(
                versions,
                positions,
                repeat(0 if topic == DELETED else 1),
                states,
                stored.streams,
                stored.versions,
                strict=False,
            ),
        )
        if done != len(payloads):
            raise _changed_meanwhile(entity_type)

    def _stored(self, kind: int, keys: pa.Array) -> _Stored:
        rows = self._cursor(
            """SELECT coalesce(r.stream, 0), coalesce(r.version, 0), coalesce(r.live, 0) FROM json_each(?) w
            LEFT JOIN resources r ON r.entity_type=? AND r.key=w.value ORDER BY w.key""",
            (orjson.dumps(keys.to_pylist()).decode(), kind),
        ).fetchall()
        return _columns(rows)

    def _unlink_ends(self, kind: int, deleted: pa.Table, cause: Cause) -> int:
        """Removes the links of resources that are about to be deleted."""
        streams = orjson.dumps(list(self._stored(kind, deleted.column("key").combine_chunks()).streams)).decode()
        rows = self._cursor(
            """SELECT DISTINCT a.name, st.name, tt.name, l.source, l.target, s.key, t.key FROM (
                SELECT l.* FROM json_each(?1) w CROSS JOIN links l ON l.source = w.value WHERE l.live
                UNION SELECT l.* FROM json_each(?1) w CROSS JOIN links l ON l.target = w.value WHERE l.live) l
            JOIN associations a ON a.id = l.association
            JOIN resources s ON s.stream = l.source JOIN entity_types st ON st.id = s.entity_type
            JOIN resources t ON t.stream = l.target JOIN entity_types tt ON tt.id = t.entity_type
            ORDER BY 1, 2, 3, 6, 7""",
            (streams,),
        ).fetchall()
        groups: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {}
        for association, source_type, target_type, *pair in rows:
            groups.setdefault((association, source_type, target_type), []).append((*pair, None))
        for names, pairs in groups.items():
            table = pa.Table.from_arrays(
                [
                    pa.array(column, type=field.type)
                    for column, field in zip(zip(*pairs, strict=True), PAIRS, strict=True)
                ],
                schema=PAIRS,
            )
            association, source_type, target_type = names
            self._unlink(LinkEnds(association=association, source=source_type, target=target_type), table, cause)
        return len(rows)

    def append_links(self, ends: LinkEnds, changes: LinkChanges, cause: Cause) -> None:
        """See `Writing.append_links`."""
        for chunk in chunks(changes.unlinked):
            self._unlink(ends, chunk, cause)
        for chunk in chunks(changes.linked):
            self._link(ends, chunk, cause)

    def _link(self, ends: LinkEnds, pairs: pa.Table, cause: Cause) -> None:
        association = self._named("associations", ends.association)
        stored = self._stored_links(association, pairs)
        if any(stored.live):
            raise _changed_meanwhile(ends.association)
        old = pa.array([stream > 0 for stream in stored.streams], type=pa.bool_())
        if pa.compute.any(old).as_py():
            self._change_links(ends, LINKED, pairs.filter(old), cause)
            pairs = pairs.filter(pa.compute.invert(old))
        payloads = self._link_payloads(ends, pairs, cause)
        streams = self._streams(len(payloads))
        positions = self._events(streams, repeat(1), LINKED, payloads)
        sources, targets = pairs.column("source").to_pylist(), pairs.column("target").to_pylist()
        self._many(
            "INSERT INTO links (stream, association, source, target, version, position, live) VALUES (?,?,?,?,1,?,1)",
            zip(streams, repeat(association), sources, targets, positions, strict=False),
        )

    def _unlink(self, ends: LinkEnds, pairs: pa.Table, cause: Cause) -> None:
        self._change_links(ends, UNLINKED, pairs, cause)

    def _change_links(self, ends: LinkEnds, topic: str, pairs: pa.Table, cause: Cause) -> None:
        stored = self._stored_links(self._named("associations", ends.association), pairs)
        was_live = 1 if topic == UNLINKED else 0
        if not all(live == was_live and stream for live, stream in zip(stored.live, stored.streams, strict=True)):
            raise _changed_meanwhile(ends.association)
        versions = [version + 1 for version in stored.versions]
        positions = self._events(stored.streams, versions, topic, self._link_payloads(ends, pairs, cause))
        self._many(
            "UPDATE links SET version=?, position=?, live=? WHERE stream=?",
            zip(versions, positions, repeat(1 - was_live), stored.streams, strict=False),
        )

    def _link_payloads(self, ends: LinkEnds, pairs: pa.Table, cause: Cause) -> list[str]:
        source, target, line = (pairs.column(name).combine_chunks() for name in ("source_key", "target_key", "line"))
        return link_payloads(
            Head(self._micros, cause), ends.association, (ends.source, ends.target), source, target, line
        )

    def _stored_links(self, association: int, pairs: pa.Table) -> _Stored:
        ends = list(zip(pairs.column("source").to_pylist(), pairs.column("target").to_pylist(), strict=True))
        rows = self._cursor(
            """SELECT coalesce(l.stream, 0), coalesce(l.version, 0), coalesce(l.live, 0) FROM json_each(?) w
            LEFT JOIN links l ON l.association=? AND l.source=json_extract(w.value, '$[0]')
            AND l.target=json_extract(w.value, '$[1]') ORDER BY w.key""",
            (orjson.dumps(ends).decode(), association),
        ).fetchall()
        return _columns(rows)


PAIRS = pa.schema(
    [
        ("source", pa.int64()),
        ("target", pa.int64()),
        ("source_key", pa.string()),
        ("target_key", pa.string()),
        ("line", pa.int64()),
    ]
)


def _columns(rows: list[tuple[int, int, int]]) -> _Stored:
    streams, versions, live = zip(*rows, strict=True) if rows else ((), (), ())
    return _Stored(streams, versions, live)


def _changed_meanwhile(subject: str) -> ConcurrentRun:
    return ConcurrentRun(
        f"{subject} was changed by someone else while this task compared it. Nothing was changed. Run again."
    )
