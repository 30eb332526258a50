"""Queries of the log: changes, one resource's history, what was at a past position, runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

import orjson

from deltamark.application.ports.store import RunSummary
from deltamark.domain.changes import AnyChange
from deltamark.domain.errors import StoreError
from deltamark.domain.link import Link, LinkFact, LinkRef, fold_link
from deltamark.domain.resource import Resource, ResourceFact, ResourceRef, fold
from deltamark.domain.run import ChangesDiscarded, RunEvent, fold_run
from deltamark.domain.values import Values
from deltamark.infrastructure.store.mapper import CHANGE_TOPICS, to_micros
from deltamark.infrastructure.store.run_payload import CHANGES_DISCARDED, ROWS_SET_ASIDE
from deltamark.infrastructure.store.sqlite.queries import StateQueries
from deltamark.infrastructure.store.whole_streams import whole

_READ = 2_000
"""Events read at a time: memory does not grow with the log."""

# Where events are looked up by the stream of another table, that stream stands behind a plus: without it, SQLite
# would convert every stored stream to a number first and scan the whole log.
_EVENT = "notification_id, originator_id, originator_version, topic, state"


class LogQueries(StateQueries):
    """The log, and what folding it gives."""

    def head(self) -> int:
        """See `Reading.head`."""
        return self._one("SELECT max(notification_id) FROM stored_events") or 0

    def changed_since(self, position: int) -> bool:
        """See `Reading.changed_since`."""
        sql = """SELECT EXISTS (SELECT 1 FROM stored_events WHERE notification_id>?
            AND topic IN (SELECT value FROM json_each(?)))"""
        return bool(self._one(sql, (position, orjson.dumps([*CHANGE_TOPICS, CHANGES_DISCARDED]).decode())))

    def _event(self, row: tuple[Any, ...]) -> tuple[int, Any]:
        position, stream, version, topic, state = row
        return position, self._mapper.event(str(stream), version, topic, state)

    def changes(self, after: int, until: int | None) -> Iterator[tuple[int, AnyChange]]:
        """See `Reading.changes`."""
        last = self.head() if until is None else until
        topics = orjson.dumps(CHANGE_TOPICS).decode()
        sql = f"""SELECT {_EVENT} FROM stored_events WHERE notification_id>? AND notification_id<=?
            AND topic IN (SELECT value FROM json_each(?)) ORDER BY notification_id LIMIT {_READ}"""
        while rows := self._cursor(sql, (after, last, topics)).fetchall():
            for row in rows:
                yield self._event(row)
            after = rows[-1][0]

    def facts(self, ref: ResourceRef, until: int | None = None) -> Iterator[tuple[int, ResourceFact]]:
        """See `Reading.facts`."""
        stream = self.stream_of(ref)
        if stream is not None:
            yield from self._facts(stream, until)

    def _facts(self, stream: int, until: int | None) -> Iterator[tuple[int, Any]]:
        return whole(stream, self._stored_facts(stream, until))

    def _stored_facts(self, stream: int, until: int | None) -> Iterator[tuple[int, Any]]:
        snapshot = "SELECT position, stream, version, topic, state FROM snapshots WHERE stream=?"
        for row in self._rows(snapshot, (stream,)):
            yield self._event(row)
        events = f"""SELECT {_EVENT} FROM stored_events WHERE originator_id=?1
            AND (?2 IS NULL OR notification_id<=?2) ORDER BY originator_version"""
        for row in self._rows(events, (stream, until)):
            yield self._event(row)

    def link_changes_of(self, ref: ResourceRef) -> Iterator[tuple[int, AnyChange]]:
        """See `Reading.link_changes_of`."""
        stream = self.stream_of(ref)
        if stream is None:
            return
        sql = f"""SELECT {_EVENT} FROM links l CROSS JOIN stored_events e ON e.originator_id = +l.stream
            WHERE l.source=?1 OR l.target=?1 ORDER BY notification_id"""
        for row in self._rows(sql, (stream,)):
            yield self._event(row)

    def states_at(self, entity_type: str, until: int | None) -> Iterator[tuple[str, Values]]:
        """See `Reading.states_at`.

        A resource that did not change since needs no folding; only the others cost their own changes.
        """
        sql = "SELECT stream, key, position, live, state FROM resources WHERE entity_type=? ORDER BY key"
        for stream, key, position, live, state in self._rows(sql, (self._type_id(entity_type),)):
            if until is None or position <= until:
                if live:
                    yield key, self._values(key, state)
                continue
            resource = self.fold_stream(stream, until)
            if resource is not None and resource.live:
                yield key, resource.values

    def fold_stream(self, stream: int, until: int | None = None) -> Resource | None:
        """What one resource's snapshots and events up to a position leave."""
        return fold(cast(ResourceFact, fact) for _, fact in self._facts(stream, until))

    def fold_link_stream(self, stream: int, until: int | None = None) -> Link | None:
        """What one link's snapshots and events up to a position leave."""
        return fold_link(cast(LinkFact, fact) for _, fact in self._facts(stream, until))

    def links_at(self, association: str, until: int) -> Iterator[tuple[str, str]]:
        """See `Reading.links_at`."""
        sql = """SELECT l.stream, l.position, l.live, s.key, t.key FROM links l
            JOIN resources s ON s.stream = l.source JOIN resources t ON t.stream = l.target
            WHERE l.association=? ORDER BY s.key, t.key"""
        for stream, position, live, source, target in self._rows(sql, (self._association_id(association),)):
            if self._stood(stream, position, live, until):
                yield source, target

    def _stood(self, stream: int, position: int, live: int, until: int) -> bool:
        if position <= until:
            return bool(live)
        link = self.fold_link_stream(stream, until)
        return link is not None and link.live

    def links_of_at(self, ref: ResourceRef, until: int) -> list[LinkRef]:
        """See `Reading.links_of_at`."""
        stream = self.stream_of(ref)
        if stream is None:
            return []
        folded = ((self.fold_link_stream(link, until), pair) for _, link, pair in self.link_rows(stream))
        return [pair for link, pair in folded if link is not None and link.live]

    def position_at(self, moment: datetime) -> int:
        """See `Reading.position_at`."""
        return self._one("SELECT max(position) FROM moments WHERE at<=?", (to_micros(moment),)) or 0


class RunQueries(LogQueries):
    """Runs, folded from their streams."""

    def run(self, number: int, *, with_rows: bool = True) -> RunSummary | None:
        """See `Reading.run`."""
        return next(iter(self._folded("r.number=?", (number,), with_rows=with_rows)), None)

    def runs(self, newest: int | None = None) -> list[RunSummary]:
        """See `Reading.runs`."""
        above = -1 if newest is None else (self._one("SELECT max(number) FROM runs") or 0) - newest
        return list(self._folded("r.number>?", (above,), with_rows=False))

    def _folded(self, which: str, parameters: tuple[Any, ...], *, with_rows: bool) -> Iterator[RunSummary]:
        rows = self._rows(
            f"""SELECT r.number, r.first, r.last, {_EVENT} FROM runs r
            CROSS JOIN stored_events e ON e.originator_id = +r.stream
            WHERE {which} AND (? OR e.topic<>?) ORDER BY r.number, e.originator_version""",
            (*parameters, with_rows, ROWS_SET_ASIDE),
        )
        for (number, first, last), events in groupby(rows, key=itemgetter(0, 1, 2)):
            facts = [cast(RunEvent, self._event(row[3:])[1]) for row in events]
            try:
                run = fold_run(facts)
            except (AssertionError, AttributeError, IndexError):
                run = None
            if run is None:
                raise StoreError(
                    f"run {number} cannot be read: events of it are missing or wrong. The store was altered or is "
                    "damaged. Restore a backup."
                )
            yield RunSummary(run=run, first=first, last=last)

    def discards(self, after: int) -> list[tuple[int, ChangesDiscarded]]:
        """See `Reading.discards`."""
        sql = f"SELECT {_EVENT} FROM stored_events WHERE topic=? AND notification_id>? ORDER BY notification_id"
        return [self._event(row) for row in self._rows(sql, (CHANGES_DISCARDED, after))]
