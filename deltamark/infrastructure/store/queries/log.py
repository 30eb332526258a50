"""Reads the log: changes, the history of a resource, past states, runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast

from deltamark.application.ports.records import RunSummary
from deltamark.domain.derivation.dependency_paths import Hop
from deltamark.domain.errors import store_damaged
from deltamark.domain.history.changes import AnyChange, Horizon
from deltamark.domain.resources.link import Linked, LinkEvent, LinkFact, LinkRef, LinkSnapshot, fold_link
from deltamark.domain.resources.resource import (
    Created,
    Resource,
    ResourceEvent,
    ResourceFact,
    ResourceRef,
    ResourceSnapshot,
    fold,
)
from deltamark.domain.runs.fold import fold_run
from deltamark.domain.runs.run import ChangesDiscarded, RunEvent
from deltamark.domain.values import Values, shown
from deltamark.infrastructure.store.database import index_damaged
from deltamark.infrastructure.store.events.mapper import CHANGE_TOPICS, to_micros
from deltamark.infrastructure.store.events.run_events import CHANGES_DISCARDED, ROWS_SET_ASIDE
from deltamark.infrastructure.store.queries.state import StateQueries

if TYPE_CHECKING:
    import pyarrow as pa

_READ = 2_000
"""Events read at a time: memory does not grow with the log."""

_END = 2**63 - 1
"""Above every position."""

# A stream of another table is written with a plus where events are looked up by it. Without the plus, SQLite would
# convert every stored stream to a number and scan the whole log.
EVENT = "notification_id, originator_id, originator_version, topic, state"


def portions(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Yields the rows, some at a time."""
    while portion := list(islice(rows, _READ)):
        yield portion


class LogQueries(StateQueries):
    """Reads the log, and folds it."""

    def head(self) -> int:
        return self._db.one("SELECT max(notification_id) FROM stored_events") or 0

    def changed_since(self, position: int) -> bool:
        # With an order, because a planner that looks for any one row would begin with the oldest event.
        sql = f"""SELECT notification_id FROM stored_events WHERE notification_id>?1
            AND {self._db.among_texts("topic", 2)} ORDER BY notification_id LIMIT 1"""
        if self._db.one(sql, (position, self._db.array(CHANGE_TOPICS))) is not None:
            return True
        return bool(self._discarded_beyond(position))

    def _event(self, row: tuple[Any, ...]) -> tuple[int, Any]:
        position, stream, version, topic, state = row
        return position, self._mapper.event(str(stream), version, topic, state)

    def discards(self, after: int) -> list[tuple[int, ChangesDiscarded]]:
        sql = f"SELECT {EVENT} FROM stored_events WHERE topic=?1 AND notification_id>?2 ORDER BY notification_id"
        return [self._event(row) for row in self._db.rows(sql, (CHANGES_DISCARDED, after))]

    def _discarded_beyond(self, position: int) -> list[ChangesDiscarded]:
        """Returns the discards that removed changes above a position."""
        return [discarded for _, discarded in self.discards(position) if discarded.up_to > position]

    def changes(self, after: int, until: int | None) -> Iterator[tuple[int, AnyChange]]:
        last = self.head() if until is None else until
        sql = f"""SELECT {EVENT} FROM stored_events WHERE notification_id>?1 AND notification_id<=?2
            AND {self._db.among_texts("topic", 3)} ORDER BY notification_id"""
        return map(self._event, self._db.rows(sql, (after, last, self._db.array(CHANGE_TOPICS))))

    def facts(self, ref: ResourceRef, until: int | None = None) -> Iterator[tuple[int, ResourceFact]]:
        stream = self.stream_of(ref)
        if stream is not None:
            yield from whole(stream, self._facts([stream], until))

    def _facts(self, streams: Sequence[int], until: int | None) -> Iterator[tuple[int, Any]]:
        """Yields the snapshots and events of some streams, stream by stream, oldest first."""
        sql = f"""SELECT position, stream, version, topic, state FROM snapshots
            WHERE {self._db.among_numbers("stream", 1)}
            UNION ALL SELECT {EVENT} FROM stored_events
            WHERE {self._db.among_numbers("originator_id", 1)} AND notification_id<=?2 ORDER BY 2, 3"""
        return map(self._event, self._db.rows(sql, (self._db.array(streams), _END if until is None else until)))

    def _facts_by_stream(self, streams: Sequence[int], until: int) -> Iterator[tuple[int, Iterator[Any]]]:
        facts = self._facts(streams, until) if streams else iter(())
        for text, group in groupby(facts, key=lambda row: row[1].originator_id):
            stream = int(text)
            yield stream, (fact for _, fact in whole(stream, group))

    def changes_of(self, streams: pa.Array, after: int) -> Iterator[tuple[int, ResourceEvent]]:
        # By stream, not by position: the streams are few, and the log is long.
        sql = f"""SELECT {EVENT} FROM stored_events WHERE {self._db.among_numbers("originator_id", 1)}
            AND +notification_id>?2 ORDER BY +notification_id"""
        return map(self._event, self._db.rows(sql, (self._db.array(streams.to_pylist()), after)))

    def link_changes_at(self, hop: Hop, near: pa.Array, after: int) -> Iterator[tuple[int, LinkEvent]]:
        sql = f"""SELECT {EVENT} FROM links l {self._db.ordered_join} stored_events e ON e.originator_id = +l.stream
            WHERE l.association=?1 AND {self._db.among_numbers("l.source" if hop.forward else "l.target", 2)}
            AND +notification_id>?3 ORDER BY +notification_id"""
        parameters = (self._association_id(hop.association), self._db.array(near.to_pylist()), after)
        return map(self._event, self._db.rows(sql, parameters))

    def link_changes_of(self, ref: ResourceRef) -> Iterator[tuple[int, AnyChange]]:
        stream = self.stream_of(ref)
        if stream is None:
            return
        sql = f"""SELECT {EVENT} FROM links l {self._db.ordered_join} stored_events e ON e.originator_id = +l.stream
            WHERE l.source=?1 OR l.target=?1 ORDER BY notification_id"""
        for row in self._db.rows(sql, (stream,)):
            yield self._event(row)

    def states_at(self, entity_type: str, until: int | None) -> Iterator[tuple[str, Values]]:
        """Folds only the resources that changed since.

        Of the others the present state is read.
        """
        last = _END if until is None else until
        columns = ("stream", "key", "position", "live", "state", "computed")
        for rows in portions(self._in_key_order(self._type_id(entity_type), columns)):
            past = self._resources_at([stream for stream, _, position, *_ in rows if position > last], last)
            for stream, key, position, live, state, computed in rows:
                if position <= last:
                    if live:
                        yield key, {**self._values(key, state), **self._values(key, computed)}
                elif stream in past:
                    yield key, past[stream].values

    def _in_key_order(self, kind: int, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yields the resources of an entity type in the order of their keys, which is that of an index.

        :param columns: the first two must be ``stream`` and ``key``.
        :raises StoreError: after the last row, if the index left out any, or at a row that is not in order.
        """
        count = total = 0
        before: bytes | None = None
        for row in self._db.rows(self._db.in_key_order(columns), (kind,)):
            stream, key = row[:2]
            encoded = key.encode() if isinstance(key, str) else b""
            if not isinstance(key, str) or (before is not None and encoded <= before):
                raise index_damaged(f"the key {shown(key)} is not a text, or not in order")
            before, count, total = encoded, count + 1, total + stream
            yield row
        sql = f"SELECT count(*), coalesce(sum(stream), 0) FROM resources {self._db.unindexed} WHERE entity_type=?1"
        if self._db.row(sql, (kind,)) != (count, total):
            raise index_damaged("the index of keys does not have the rows of the table of resources")

    def _resources_at(self, streams: Sequence[int], until: int) -> dict[int, Resource]:
        """Returns the resources that existed at a position."""
        folded = ((stream, fold(facts)) for stream, facts in self._facts_by_stream(streams, until))
        return {stream: resource for stream, resource in folded if resource is not None and resource.live}

    def _links_at(self, streams: Sequence[int], until: int) -> set[int]:
        """Returns the links that existed at a position."""
        folded = ((stream, fold_link(facts)) for stream, facts in self._facts_by_stream(streams, until))
        return {stream for stream, link in folded if link is not None and link.live}

    def links_at(self, association: str, until: int) -> Iterator[tuple[str, str]]:
        sql = f"""SELECT l.stream, l.position, l.live, s.key, t.key FROM links l {self._db.unindexed}
            JOIN resources s ON s.stream = l.source JOIN resources t ON t.stream = l.target
            WHERE l.association=?1 ORDER BY s.key, t.key"""
        for rows in portions(self._db.rows(sql, (self._association_id(association),))):
            past = self._links_at([stream for stream, position, *_ in rows if position > until], until)
            for stream, position, live, source, target in rows:
                if live if position <= until else stream in past:
                    yield source, target

    def links_of_at(self, ref: ResourceRef, until: int) -> list[LinkRef]:
        stream = self.stream_of(ref)
        if stream is None:
            return []
        links = self.link_rows(stream)
        standing = self._links_at([link for _, link, _ in links], until)
        return [pair for _, link, pair in links if link in standing]

    def position_at(self, moment: datetime) -> int:
        return self._db.one("SELECT max(position) FROM moments WHERE at<=?1", (to_micros(moment),)) or 0


class RunQueries(LogQueries):
    """Reads runs, folded from their streams, and horizons."""

    def run(self, number: int, *, with_rows: bool = True) -> RunSummary | None:
        return next(iter(self._folded("r.number=?1", (number,), with_rows=with_rows)), None)

    def runs(self, newest: int | None = None) -> list[RunSummary]:
        above = -1 if newest is None else (self._db.one("SELECT max(number) FROM runs") or 0) - newest
        return list(self._folded("r.number>?1", (above,), with_rows=False))

    def _folded(self, which: str, parameters: tuple[Any, ...], *, with_rows: bool) -> Iterator[RunSummary]:
        rows = self._db.rows(
            f"""SELECT r.number, r.first, r.last, {EVENT} FROM runs r
            {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE {which} AND (?2 OR e.topic<>?3) ORDER BY r.number, e.originator_version""",
            (*parameters, with_rows, ROWS_SET_ASIDE),
        )
        for (number, first, last), events in groupby(rows, key=itemgetter(0, 1, 2)):
            facts = [cast(RunEvent, self._event(row[3:])[1]) for row in events]
            try:
                run = fold_run(facts)
            except (AssertionError, AttributeError, IndexError):
                run = None
            if run is None:
                raise store_damaged(f"run {number} cannot be read: some of its events are missing or wrong")
            yield RunSummary(run=run, first=first, last=last)

    def entity_types_changed_since(self, position: int) -> set[str] | None:
        if self._discarded_beyond(position):
            return None
        sql = f"""SELECT DISTINCT t.name FROM stored_events e
            {self._db.ordered_join} resources r ON r.stream = e.originator_id
            {self._db.ordered_join} entity_types t ON t.id = r.entity_type WHERE e.notification_id>?1"""
        return {name for (name,) in self._db.all(sql, (position,))}

    def horizons(self) -> list[Horizon]:
        sql = "SELECT connector, subject, position, run, task FROM horizons ORDER BY subject, connector"
        return [Horizon(connector=c, subject=s, position=p, run=r, task=t) for c, s, p, r, t in self._db.all(sql)]


_Fact = TypeVar("_Fact", bound=ResourceFact | LinkFact)

_BEGINNINGS = (Created, Linked, ResourceSnapshot, LinkSnapshot)


def whole(stream: int, facts: Iterable[tuple[int, _Fact]]) -> Iterator[tuple[int, _Fact]]:
    """Yields the facts of one stream: its snapshot if there is one, then every event after it.

    :raises StoreError: if an event is missing.
    """
    expected = 1
    for position, fact in facts:
        version = fact.originator_version
        if isinstance(fact, ResourceSnapshot | LinkSnapshot):
            expected = version
        if version != expected:
            raise store_damaged(f"stream {stream} lacks event {expected}: event {version} follows instead")
        if expected == 1 and not isinstance(fact, _BEGINNINGS):
            raise store_damaged(f"stream {stream} begins with an event that cannot be first ({type(fact).__name__})")
        yield position, fact
        expected = version + 1
