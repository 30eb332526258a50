"""Reads events in their stored form, as recorders of the `eventsourcing` library give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from deltamark.domain.resources.link import LinkRef
from deltamark.infrastructure.store.queries.log import END_OF_LOG, EVENT, RunQueries


class EventRow(NamedTuple):
    """A stored event: its position, the number of its stream, its place there, its topic and its payload."""

    position: int
    stream: int
    version: int
    topic: str
    state: bytes


class StoredEventQueries(RunQueries):
    """Reads ranges of the log and whole streams, without looking into payloads."""

    def event_rows(self, first: int, last: int, topics: Sequence[str], limit: int) -> list[EventRow]:
        """Returns the oldest events of a range of positions, both inclusive.

        :param topics: only those; without any, all.
        """
        return self._page("stored_events", EVENT, "notification_id", (first, last, limit), topics)

    def snapshot_rows(self, first: int, last: int, topics: Sequence[str], limit: int) -> list[EventRow]:
        """Returns snapshots as events at the positions of the newest discarded changes that they stand for."""
        return self._page(
            "snapshots", "position, stream, version, topic, state", "position", (first, last, limit), topics
        )

    def _page(
        self, table: str, columns: str, position: str, bounds: tuple[int, int, int], topics: Sequence[str]
    ) -> list[EventRow]:
        chosen = f" AND {self._db.among_texts('topic', 4)}" if topics else ""
        sql = f"""SELECT {columns} FROM {table} WHERE {position}>=?1 AND {position}<=?2{chosen}
            ORDER BY {position} LIMIT ?3"""
        parameters = (*bounds, self._db.array(list(topics))) if topics else bounds
        return [EventRow(*row) for row in self._db.all(sql, parameters)]

    def event_count(self, first: int, last: int) -> int:
        """Returns how many events are left in a range of positions, both inclusive."""
        sql = "SELECT count(*) FROM stored_events WHERE notification_id>=?1 AND notification_id<=?2"
        return int(self._db.one(sql, (first, last)))

    def first_missing(self, first: int, last: int) -> int:
        """Returns the first position of a range, both inclusive, that has no event; some position of it has none."""
        while first < last:  # halves the range: the counts together cost no more than twice the first one
            middle = (first + last) // 2
            if self.event_count(first, middle) < middle - first + 1:
                last = middle
            else:
                first = middle + 1
        return first

    def stream_rows(
        self, stream: int, *, above: int = 0, up_to: int = END_OF_LOG, newest_first: bool = False, limit: int | None
    ) -> list[EventRow]:
        """Returns the snapshot of a stream, if there is one, and its events after that.

        :param above: only those with a higher place in the stream.
        :param up_to: only those with this place or a lower one.
        """
        sql = f"""SELECT * FROM (
                SELECT position, stream, version, topic, state FROM snapshots WHERE stream=?1
                UNION ALL SELECT {EVENT} FROM stored_events WHERE originator_id=?1) facts
            WHERE version>?2 AND version<=?3 ORDER BY version {"DESC" if newest_first else "ASC"} LIMIT ?4"""
        most = END_OF_LOG if limit is None else limit
        return [EventRow(*row) for row in self._db.all(sql, (stream, above, up_to, most))]

    def stream_of_link(self, link: LinkRef) -> int | None:
        """Returns the stream of a link, or None if there never was one."""
        source, target = self.stream_of(link.source), self.stream_of(link.target)
        if source is None or target is None:
            return None
        sql = "SELECT stream FROM links WHERE association=?1 AND source=?2 AND target=?3"
        stream: int | None = self._db.one(sql, (self._association_id(link.association), source, target))
        return stream

    def stream_of_run(self, number: int) -> int | None:
        """Returns the stream of a run, or None if there is no such run."""
        stream: int | None = self._db.one("SELECT stream FROM runs WHERE number=?1", (number,))
        return stream
