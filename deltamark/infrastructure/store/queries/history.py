"""Reads history: changes between two positions, and all facts of resources and links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from deltamark.domain.integrity.verification import Checkpoint
from deltamark.domain.resources.link import LinkFact, LinkRef
from deltamark.domain.resources.resource import Resource, ResourceFact, ResourceRef, fold
from deltamark.infrastructure.store.events.mapper import LINK_TOPICS, LINKED, RESOURCE_TOPICS, from_micros
from deltamark.infrastructure.store.queries.log import RunQueries, check_whole, portions

_END = 2**63 - 1

_LOOKED_UP = 20
"""Links are looked up one by one where the log between has so many positions for each, or more."""

_STREAMS = 250
"""Streams whose facts are in memory at a time. With more, the garbage collector runs often."""

_STREAM_OF = itemgetter(1)


class HistoryQueries(RunQueries):
    """Queries about the past."""

    def checkpoint(self) -> Checkpoint | None:
        row = self._db.row(
            "SELECT s.log, m.position, m.at, m.digest FROM store s, moments m ORDER BY m.position DESC LIMIT 1"
        )
        if row is None:
            return None
        log, position, at, digest = row
        return Checkpoint(log=log, position=position, at=from_micros(at), digest=digest.hex())

    def epoch(self) -> str:
        return str(self._db.one("SELECT epoch FROM store"))

    def resources_between(
        self, entity_type: str, first: int, last: int, beyond: str | None = None
    ) -> Iterator[tuple[ResourceRef, Resource | None, Resource | None]]:
        """Reads the log between the positions, or the shorter state, and the earlier changes of what changed."""
        kind = self._type_id(entity_type)
        if self._is_longer_than_state(first, last):
            state = self._in_key_order(kind, ("stream", "key", "position"))
            changed: Iterator[tuple[Any, ...]] = ((s, key) for s, key, position in state if position > first)
        else:
            changed = self._changed_between(kind, first, last)
        if beyond is not None:
            past_key = beyond.encode()
            changed = ((stream, key) for stream, key in changed if key.encode() > past_key)
        for rows in portions(changed, _STREAMS):
            facts_by_stream = self._facts_of_each([stream for stream, _ in rows], last)
            for stream, key in rows:
                facts = facts_by_stream.get(stream, [])
                past = fold(fact for position, fact in facts if position <= first)
                yield ResourceRef(entity_type, key), past, fold(fact for _, fact in facts)

    def _is_longer_than_state(self, first: int, last: int) -> bool:
        """Whether more positions lie between two than there are resources and links, or nearly so."""
        newest = max(self._db.one(f"SELECT max(stream) FROM {table}") or 0 for table in ("resources", "links"))
        return last - first > newest // 2

    def _changed_between(self, kind: int, first: int, last: int) -> Iterator[tuple[Any, ...]]:
        sql = f"""SELECT r.stream, r.key FROM (SELECT DISTINCT e.originator_id AS stream FROM stored_events e
                WHERE e.notification_id>?1 AND e.notification_id<=?2 AND {self._db.among_texts("e.topic", 3)}) c
            {self._db.ordered_join} resources r ON r.stream = c.stream WHERE r.entity_type=?4 ORDER BY r.key"""
        return self._db.rows(sql, (first, last, self._db.array(RESOURCE_TOPICS), kind))

    def links_between(
        self, entity_type: str, first: int, last: int, beyond: LinkRef | None = None
    ) -> Iterator[tuple[LinkRef, bool]]:
        # A link that was linked first and last, or unlinked both times, was not there before, or is not there after.
        changed, between = "stored_events e", "e.notification_id>?1 AND e.notification_id<=?2"
        if self._is_longer_than_state(first, last):
            later = "SELECT count(*) FROM (SELECT 1 FROM links WHERE position>?1 LIMIT ?2) l"
            most = (last - first) // _LOOKED_UP
            if (self._db.one(later, (first, most)) or 0) < most:
                changed = f"links i {self._db.ordered_join} stored_events e ON e.originator_id = +i.stream"
                between = "i.position>?1 AND +e.notification_id>?1 AND +e.notification_id<=?2"
        parameters: list[Any] = [first, last, self._db.array(LINK_TOPICS), self._type_id(entity_type)]
        following = ""
        if beyond is not None:
            following = "AND (a.name, s.key, t.key) > (?5, ?6, ?7)"
            parameters += [beyond.association, beyond.source.key, beyond.target.key]
        topic = "(SELECT topic FROM stored_events WHERE notification_id = c.{})"
        sql = f"""SELECT a.name, st.name, s.key, tt.name, t.key, {topic.format("newest")}
            FROM (SELECT e.originator_id AS stream, min(e.notification_id) AS oldest, max(e.notification_id) AS newest
                FROM {changed} WHERE {between} AND {self._db.among_texts("e.topic", 3)} GROUP BY e.originator_id) c
            {self._db.ordered_join} links l ON l.stream = c.stream
            {self._db.ordered_join} resources s ON s.stream = l.source
            {self._db.ordered_join} resources t ON t.stream = l.target
            {self._db.ordered_join} associations a ON a.id = l.association
            {self._db.ordered_join} entity_types st ON st.id = s.entity_type
            {self._db.ordered_join} entity_types tt ON tt.id = t.entity_type
            WHERE (s.entity_type=?4 OR t.entity_type=?4) {following}
            AND {topic.format("oldest")} = {topic.format("newest")} ORDER BY a.name, s.key, t.key"""
        for association, source_type, source, target_type, target, newest in self._db.rows(sql, tuple(parameters)):
            ends = ResourceRef(source_type, source), ResourceRef(target_type, target)
            yield LinkRef(association, *ends), newest == LINKED

    def facts_of_all(self, entity_type: str) -> Iterator[list[tuple[int, ResourceFact]]]:
        streams = ((row[0],) for row in self._in_key_order(self._type_id(entity_type), ("stream", "key")))
        return self._facts_in_order(streams)

    def link_facts(
        self, association: str, ends: tuple[int | None, int | None] | None
    ) -> Iterator[list[tuple[int, LinkFact]]]:
        kind = self._association_id(association)
        parameters: tuple[Any, ...] = (kind,) if ends is None else (kind, ends[0] or 0, ends[1] or 0)
        chosen = "" if ends is None else " AND (l.source=?2 OR l.target=?3)"
        # By the few links of one resource, and not by an index of all links of the association.
        of_kind = "l.association" if ends is None else "+l.association"
        unindexed = self._db.unindexed if ends is None else ""
        sql = f"""SELECT l.stream FROM links l {unindexed} JOIN resources s ON s.stream = l.source
            JOIN resources t ON t.stream = l.target WHERE {of_kind}=?1{chosen} ORDER BY s.key, t.key"""
        return self._facts_in_order(self._db.rows(sql, parameters))

    def _facts_in_order(self, streams: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[int, Any]]]:
        for rows in portions(streams, _STREAMS):
            facts = self._facts_of_each([stream for (stream,) in rows], _END)
            yield from (facts[stream] for (stream,) in rows if stream in facts)

    def _facts_of_each(self, streams: Sequence[int], until: int) -> dict[int, list[tuple[int, Any]]]:
        """Returns the facts of some streams up to a position, by stream."""
        rows = list(self._fact_rows(streams, until))
        decoded = self._mapper.events(rows)
        facts: dict[int, list[tuple[int, Any]]] = {}
        for stream, of_stream in groupby(rows, _STREAM_OF):
            facts[stream] = found = [next(decoded) for _ in of_stream]
            check_whole(stream, found)
        return facts
