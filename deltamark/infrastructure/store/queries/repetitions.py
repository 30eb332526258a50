"""Finds synchronizations whose repetition would change nothing, from the end of the log backwards."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from attrs import field, frozen

from deltamark.domain.runs.run import ChangesDiscarded, TaskEnded
from deltamark.infrastructure.store.events.mapper import COMPUTED, LINK_TOPICS, RESOURCE_TOPICS
from deltamark.infrastructure.store.events.place_events import PLACE_TOPICS
from deltamark.infrastructure.store.events.run_events import (
    CHANGES_DISCARDED,
    LINKS_WAIT,
    RESOURCE_ERASED,
    RUN_TOPICS,
    TASK_ENDED,
)
from deltamark.infrastructure.store.queries.log import EVENT, LogQueries
from deltamark.infrastructure.store.row_seals import checked_rows

CORRECTED = "*corrected*"
"""The name of the place up to which a replay corrected the state; no task can have it."""

_FARTHEST = 100_000
"""So many positions are read at most: about as long as to read a small extract."""

_PORTION = 1_000

_READ_TOPICS = (TASK_ENDED, CHANGES_DISCARDED)
_HARMLESS = {COMPUTED, *PLACE_TOPICS, *RUN_TOPICS} - {LINKS_WAIT, RESOURCE_ERASED}
"""Topics of events that change nothing that a synchronization compares or writes."""


class RepetitionQueries(LogQueries):
    """Queries about synchronizations that need no repetition."""

    def applied_before(
        self, basis: str, entity_types: Collection[str], associations: Collection[str]
    ) -> tuple[int, int] | None:
        head = self.head()
        first = max(head - _FARTHEST, self.corrected_to())
        discarded_to = 0
        while head > first:
            events = self._events_before(head, first)
            for position, stream, version, topic, state in events:
                if topic not in _READ_TOPICS:
                    continue
                event = self._event((position, stream, version, topic, state))[1]
                if isinstance(event, ChangesDiscarded):
                    discarded_to = max(discarded_to, event.up_to)
                elif isinstance(event, TaskEnded) and event.basis is not None and event.basis.digest == basis:
                    later = [other for other in events if other[0] > position]
                    if discarded_to > position or self._touches(later, entity_types, associations):
                        return None
                    return event.run, event.task
            if self._touches(events, entity_types, associations):
                return None
            head = events[-1][0] - 1 if events else first
        return None

    def is_touched_since(self, position: int, entity_types: Collection[str], associations: Collection[str]) -> bool:
        head = self.head()
        if head - position > _FARTHEST or self.corrected_to() > position or self._discarded_beyond(position):
            return True
        while head > position:
            events = self._events_before(head, position)
            if self._touches(events, entity_types, associations):
                return True
            head = events[-1][0] - 1 if events else position
        return False

    def keys_touched_since(self, position: int, entity_type: str) -> list[str] | None:
        """Returns the keys of resources of an entity type that may have been changed; None where that is in doubt."""
        head = self.head()
        if head - position > _FARTHEST or self.corrected_to() > position or self._discarded_beyond(position):
            return None
        streams: set[int] = set()
        while head > position:
            events = self._events_before(head, position)
            touched = _streams_touched(events)
            if touched is None:
                return None
            streams |= touched.resources
            head = events[-1][0] - 1 if events else position
        if not streams:
            return []
        sql = f"""SELECT n.name, t.key FROM resources t JOIN entity_types n ON n.id = t.entity_type
            WHERE {self._db.among_numbers("t.stream", 1)}"""
        rows = self._db.all(sql, (self._db.array(sorted(streams)),))
        return [key for name, key in rows if name == entity_type] if len(rows) == len(streams) else None

    def corrected_to(self) -> int:
        """Returns the position up to which a replay corrected the state, 0 if none did."""
        rows = checked_rows(self._db, "places")
        return next((position for consumer, position, _ in rows if consumer == CORRECTED), 0)

    def _events_before(self, last: int, first: int) -> Sequence[tuple[Any, ...]]:
        """Returns events, the newest first, with the payloads of those that are looked at."""
        columns = EVENT.replace("state", f"CASE WHEN {self._db.among_texts('topic', 3)} THEN state END")
        sql = f"""SELECT {columns} FROM stored_events WHERE notification_id<=?1 AND notification_id>?2
            ORDER BY notification_id DESC LIMIT {_PORTION}"""
        return self._db.all(sql, (last, first, self._db.array(_READ_TOPICS)))

    def _touches(
        self, events: Iterable[tuple[Any, ...]], entity_types: Collection[str], associations: Collection[str]
    ) -> bool:
        """Returns whether any of the events may change these entity types or associations."""
        touched = _streams_touched(events)
        if touched is None:
            return True
        return not self._of_others(
            "resources", "entity_type", "entity_types", touched.resources, entity_types
        ) or not self._of_others("links", "association", "associations", touched.links, associations)

    def _of_others(
        self, table: str, column: str, names: str, streams: Collection[int], subjects: Collection[str]
    ) -> bool:
        """Returns whether all streams are those of other entity types or associations."""
        if not streams:
            return True
        sql = f"""SELECT n.name, count(*) FROM {table} t JOIN {names} n ON n.id = t.{column}
            WHERE {self._db.among_numbers("t.stream", 1)} GROUP BY n.name"""
        counts = dict(self._db.all(sql, (self._db.array(sorted(streams)),)))
        return sum(counts.values()) == len(streams) and counts.keys().isdisjoint(subjects)


@frozen
class _Touched:
    resources: set[int] = field(factory=set)
    links: set[int] = field(factory=set)


def _streams_touched(events: Iterable[tuple[Any, ...]]) -> _Touched | None:
    """Returns the streams that events may change; None if one of them may change others, too."""
    touched = _Touched()
    for _, stream, _, topic, _ in events:
        if topic in _HARMLESS:
            continue
        if topic in RESOURCE_TOPICS:
            touched.resources.add(int(stream))
        elif topic in LINK_TOPICS:
            touched.links.add(int(stream))
        else:
            return None
    return touched
