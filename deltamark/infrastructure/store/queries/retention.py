"""Counts the changes of some subjects, with their kinds, positions and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import evolve

from deltamark.domain.resources.link import Linked, Unlinked
from deltamark.domain.resources.resource import Created, Deleted, Updated
from deltamark.domain.retention.retention import Outgoing
from deltamark.infrastructure.store.events.mapper import (
    CHANGE_TOPICS,
    COMPUTED,
    CREATED,
    DELETED,
    LINKED,
    UNLINKED,
    UPDATED,
    from_micros,
)
from deltamark.infrastructure.store.queries.state import Queries

_KINDS: Mapping[str, str] = {
    CREATED: Created.kind,
    UPDATED: Updated.kind,
    COMPUTED: Updated.kind,
    DELETED: Deleted.kind,
    LINKED: Linked.kind,
    UNLINKED: Unlinked.kind,
}


class RetentionQueries(Queries):
    """Queries about the changes that a retention may discard."""

    def _of_subjects(self, topics: int, names: int) -> str:
        """Returns the FROM clause for the changes of some subjects.

        It keeps the order of the log, so that a query for the first or last few changes reads no more.
        """
        return f"""stored_events e
            LEFT JOIN resources r ON r.stream = e.originator_id LEFT JOIN entity_types t ON t.id = r.entity_type
            LEFT JOIN links l ON l.stream = e.originator_id LEFT JOIN associations a ON a.id = l.association
            WHERE {self._db.among_texts("e.topic", topics)}
            AND {self._db.among_texts("coalesce(t.name, a.name)", names)}"""

    def changes_between(self, subjects: Sequence[str], after: int, until: int) -> list[Outgoing]:
        rows = self._db.all(
            f"""SELECT coalesce(t.name, a.name) AS subject, e.topic, count(*), min(e.notification_id),
                max(e.notification_id), sum(length(e.state))
            FROM {self._of_subjects(1, 2)} AND e.notification_id>?3 AND e.notification_id<=?4 GROUP BY 1, 2""",
            (self._db.array(CHANGE_TOPICS), self._db.array(list(subjects)), after, until),
        )
        groups: dict[tuple[int, str], Outgoing] = {}
        for subject, topic, count, first, last, size in rows:
            key = list(subjects).index(subject), _KINDS[topic]
            other = groups.get(key)
            groups[key] = Outgoing(
                subject=subject,
                kind=_KINDS[topic],
                count=count + (other.count if other else 0),
                first=min(first, other.first) if other else first,
                last=max(last, other.last) if other else last,
                first_at=from_micros(0),
                last_at=from_micros(0),
                size=int(size) + (other.size if other else 0),
            )
        return [
            evolve(group, first_at=self.time_of(group.first), last_at=self.time_of(group.last))
            for _, group in sorted(groups.items(), key=lambda item: item[0])
        ]

    def oldest_of_newest(self, subjects: Sequence[str], count: int) -> int | None:
        if count == 0:
            return None
        sql = f"""SELECT e.notification_id FROM {self._of_subjects(1, 2)}
            ORDER BY e.notification_id DESC LIMIT 1 OFFSET ?3"""
        position: int | None = self._db.one(
            sql, (self._db.array(CHANGE_TOPICS), self._db.array(list(subjects)), count - 1)
        )
        return position

    def time_of(self, position: int) -> datetime:
        # Moments are in the order of positions, so the first moment at or above a position is its own.
        sql = "SELECT at FROM moments WHERE position>=?1 ORDER BY position LIMIT 1"
        return from_micros(self._db.one(sql, (position,)) or 0)
