"""Reads the log: changes, the history of a resource, past states, runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any, TypeVar, cast

import orjson

from deltamark.application.ports.records import ChangeBatch, Narrowing, RunSummary
from deltamark.domain.derivation.dependency_paths import Hop
from deltamark.domain.errors import store_damaged
from deltamark.domain.history.changes import AnyChange, ChangeKind, Horizon
from deltamark.domain.resources.events import Event
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
from deltamark.domain.runs.run import ChangesDiscarded, RowsSetAside, RunEvent, RunResumed
from deltamark.domain.values import Values, shown
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.database import index_damaged
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.columns import change_batch
from deltamark.infrastructure.store.events.mapper import (
    CHANGE_TOPICS,
    COMPUTED,
    CREATED,
    DELETED,
    LINK_TOPICS,
    LINKED,
    RESOURCE_TOPICS,
    UNLINKED,
    UPDATED,
    to_micros,
)
from deltamark.infrastructure.store.events.run_events import CHANGES_DISCARDED, ROWS_SET_ASIDE, RUN_BEGINNINGS
from deltamark.infrastructure.store.queries.state import StateQueries, links, whole_states

_SPARSE = 20
"""Streams are looked up one by one where there are so many positions to be read for each of them, or more."""

_READ_AT = 200
"""Events read at a time by their positions, of which a reader may want only some."""

_READ = 2_000
"""Events read at a time: memory does not grow with the log."""

END_OF_LOG = 2**63 - 1
"""Above every position."""

# A stream of another table is written with a plus where events are looked up by it. Without the plus, SQLite would
# convert every stored stream to a number and scan the whole log.
EVENT = "notification_id, originator_id, originator_version, topic, state"


_TOPICS_OF: Mapping[ChangeKind, Sequence[str]] = {
    ChangeKind.CREATED: (CREATED,),
    ChangeKind.UPDATED: (UPDATED, COMPUTED),
    ChangeKind.COMPUTED: (COMPUTED,),
    ChangeKind.DELETED: (DELETED,),
    ChangeKind.LINKED: (LINKED,),
    ChangeKind.UNLINKED: (UNLINKED,),
}


def _topics(narrowing: Narrowing) -> Sequence[str]:
    topics = CHANGE_TOPICS if narrowing.kind is None else _TOPICS_OF[narrowing.kind]
    if narrowing.fed is not None:
        topics = [topic for topic in topics if topic != COMPUTED]
    if narrowing.association is not None:
        return [topic for topic in topics if topic in LINK_TOPICS]
    if narrowing.is_computed:
        return [topic for topic in topics if topic == COMPUTED]
    return [topic for topic in topics if topic in RESOURCE_TOPICS] if narrowing.properties else topics


def _direction(newest_first: bool) -> str:
    return "DESC" if newest_first else "ASC"


@cache
def _links() -> pa.Schema:
    return links().append(pa.field("stream", pa.int64()))


def _json(values: Values) -> str:
    """Returns values in the notation of the stored state."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()


def portions(rows: Iterator[tuple[Any, ...]], at_most: int = _READ) -> Iterator[list[tuple[Any, ...]]]:
    """Yields the rows, some at a time."""
    while portion := list(islice(rows, at_most)):
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
        return list(self._mapper.events(self._db.rows(sql, (CHANGES_DISCARDED, after))))

    def _discarded_beyond(self, position: int) -> list[ChangesDiscarded]:
        """Returns the discards that removed changes above a position."""
        return [discarded for _, discarded in self.discards(position) if discarded.up_to > position]

    def changes(
        self, after: int, until: int | None, narrowing: Narrowing | None = None, *, newest_first: bool = False
    ) -> Iterator[tuple[int, AnyChange]]:
        last = self.head() if until is None else until
        if narrowing is None:
            sql = f"""SELECT {EVENT} FROM stored_events WHERE notification_id>?1 AND notification_id<=?2
                AND {self._db.among_texts("topic", 3)} ORDER BY notification_id {_direction(newest_first)}"""
            return self._mapper.events(self._db.rows(sql, (after, last, self._db.array(CHANGE_TOPICS))))
        spans = [(max(first, after), min(end, last)) for first, end in narrowing.spans or [(after, last)]]
        return self._narrowed([(first, end) for first, end in spans if first < end], narrowing, newest_first)

    def changes_at(
        self, streams: Sequence[int], after: int, until: int, *, newest_first: bool
    ) -> Iterator[tuple[int, AnyChange]]:
        # A resource may have a hundred thousand links: of those not asked for, only entries of indexes are read.
        within = "+e.notification_id>?2 AND +e.notification_id<=?3"
        sql = f"""SELECT position FROM (
            SELECT e.notification_id AS position FROM stored_events e
            WHERE {self._db.among_numbers("e.originator_id", 1)} AND {within}
            UNION ALL SELECT e.notification_id FROM links l
            {self._db.ordered_join} stored_events e ON e.originator_id = +l.stream
            WHERE ({self._db.among_numbers("l.source", 1)} OR {self._db.among_numbers("l.target", 1)}) AND {within}
            ) p ORDER BY position {_direction(newest_first)}"""
        events = f"""SELECT {EVENT} FROM stored_events WHERE {self._db.among_numbers("notification_id", 1)}
            AND {self._db.among_texts("topic", 2)} ORDER BY notification_id {_direction(newest_first)}"""
        positions = self._db.rows(sql, (self._db.array(list(streams)), after, until))
        while portion := [position for (position,) in islice(positions, _READ_AT)]:
            parameters = (self._db.array(portion), self._db.array(CHANGE_TOPICS))
            yield from self._mapper.events(self._db.all(events, parameters))

    def change_batches(self, after: int, until: int | None, at_most: int) -> Iterator[ChangeBatch]:
        last = self.head() if until is None else until
        sql = f"""SELECT {EVENT} FROM stored_events WHERE notification_id>?1 AND notification_id<=?2
            AND {self._db.among_texts("topic", 3)} ORDER BY notification_id"""
        rows = self._db.rows(sql, (after, last, self._db.array(CHANGE_TOPICS)))
        for first in rows:
            yield change_batch(chain((first,), islice(rows, at_most - 1)))

    def _narrowed(
        self, spans: Sequence[tuple[int, int]], narrowing: Narrowing, newest_first: bool
    ) -> Iterator[tuple[int, AnyChange]]:
        """Yields the changes of some spans, those of few streams by the index of streams."""
        parameters: list[Any] = [0, 0, self._db.array(_topics(narrowing))]
        conditions = []
        for parts in payload.parts_to_look_for(narrowing.properties, narrowing.ordinals):
            parameters += parts
            numbers = range(len(parameters) - len(parts) + 1, len(parameters) + 1)
            conditions.append(f"({' OR '.join(self._db.holds('state', f'?{number}') for number in numbers)})")
        streams = self.few_streams(narrowing, at_most=sum(end - first for first, end in spans) // _SPARSE)
        plus = ""
        if streams is not None:
            parameters.append(self._db.array(streams))
            conditions.append(self._db.among_numbers("originator_id", len(parameters)))
            plus = "+"  # searched by streams, not by position
        elif (of_subject := self._of_subject(narrowing, parameters)) is not None:
            conditions.append(of_subject)
        sql = f"""SELECT {EVENT} FROM stored_events WHERE {plus}notification_id>?1 AND {plus}notification_id<=?2
            AND {self._db.among_texts("topic", 3)}{"".join(f" AND {condition}" for condition in conditions)}
            ORDER BY {plus}notification_id {_direction(newest_first)}"""
        ordered = spans[::-1] if newest_first else spans
        for first, end in ordered if streams is None or len(spans) < 2 else [(spans[0][0], spans[-1][1])]:
            parameters[:2] = first, end
            yield from self._mapper.events(self._db.rows(sql, tuple(parameters)))

    def few_streams(self, narrowing: Narrowing, *, at_most: int) -> list[int] | None:
        if narrowing.association is not None:
            sql = "SELECT stream FROM links WHERE association=?1 LIMIT ?2"
            parameters = (self._association_id(narrowing.association), at_most + 1)
        elif narrowing.entity_type is not None:
            sql = "SELECT stream FROM resources WHERE entity_type=?1 LIMIT ?2"
            parameters = (self._type_id(narrowing.entity_type), at_most + 1)
        else:
            return None
        streams = [stream for (stream,) in self._db.all(sql, parameters)]
        if len(streams) <= at_most and narrowing.association is None:
            resources = self._db.array(streams)
            for end in ("source", "target"):
                of_end = f"SELECT stream FROM links WHERE {self._db.among_numbers(end, 1)} LIMIT ?2"
                streams += [stream for (stream,) in self._db.all(of_end, (resources, at_most + 1))]
        return list(dict.fromkeys(streams)) if len(streams) <= at_most else None

    def _of_subject(self, narrowing: Narrowing, parameters: list[Any]) -> str | None:
        """Returns a condition for events of what is named: an association, an entity type with its links, what is fed.

        None where nothing is named.

        To read what is not asked for would take ten times as long: each event is looked up, and few are decoded.

        :param parameters: gets those of the condition.
        """
        number = f"?{len(parameters) + 1}"
        if narrowing.association is not None:
            parameters.append(self._association_id(narrowing.association))
            return f"EXISTS (SELECT 1 FROM links l WHERE l.stream = originator_id AND l.association={number})"
        if narrowing.entity_type is None and narrowing.fed is not None:
            return self._of_fed(narrowing.fed, parameters)
        if narrowing.entity_type is None:
            return None
        parameters += [self._type_id(narrowing.entity_type), self._db.array(LINK_TOPICS)]
        is_link = self._db.among_texts("topic", len(parameters))
        of_type = f"SELECT 1 FROM resources r WHERE r.stream = {{}} AND r.entity_type={number}"
        ends = f"""SELECT 1 FROM links l WHERE l.stream = originator_id
            AND (EXISTS ({of_type.format("l.source")}) OR EXISTS ({of_type.format("l.target")}))"""
        return f"CASE WHEN {is_link} THEN EXISTS ({ends}) ELSE EXISTS ({of_type.format('originator_id')}) END"

    def _of_fed(self, fed: Iterable[str], parameters: list[Any]) -> str:
        """Returns a condition for events of entity types, without their links, and of associations."""
        names, count = sorted(fed), len(parameters)
        associations, types = (
            self._db.array([number for number in map(number_of, names) if number])
            for number_of in (self._association_id, self._type_id)
        )
        parameters += [self._db.array(LINK_TOPICS), associations, types]
        links = f"""SELECT 1 FROM links l WHERE l.stream = originator_id
            AND {self._db.among_numbers("l.association", count + 2)}"""
        resources = f"""SELECT 1 FROM resources r WHERE r.stream = originator_id
            AND {self._db.among_numbers("r.entity_type", count + 3)}"""
        return (
            f"CASE WHEN {self._db.among_texts('topic', count + 1)} THEN EXISTS ({links}) ELSE EXISTS ({resources}) END"
        )

    def facts(self, ref: ResourceRef, until: int | None = None) -> Iterator[tuple[int, ResourceFact]]:
        stream = self.stream_of(ref)
        if stream is not None:
            yield from whole(stream, self._facts([stream], until))

    def _facts(self, streams: Sequence[int], until: int | None) -> Iterator[tuple[int, Any]]:
        """Yields the snapshots and events of some streams, stream by stream, oldest first."""
        return self._mapper.events(self._fact_rows(streams, until))

    def _fact_rows(self, streams: Sequence[int], until: int | None) -> Iterator[tuple[Any, ...]]:
        sql = f"""SELECT position, stream, version, topic, state FROM snapshots
            WHERE {self._db.among_numbers("stream", 1)}
            UNION ALL SELECT {EVENT} FROM stored_events
            WHERE {self._db.among_numbers("originator_id", 1)} AND notification_id<=?2 ORDER BY 2, 3"""
        return self._db.rows(sql, (self._db.array(streams), END_OF_LOG if until is None else until))

    def _facts_by_stream(self, streams: Sequence[int], until: int) -> Iterator[tuple[int, Iterator[Any]]]:
        facts = self._facts(streams, until) if streams else iter(())
        for text, group in groupby(facts, key=lambda row: row[1].originator_id):
            stream = int(text)
            yield stream, (fact for _, fact in whole(stream, group))

    def changes_of(self, streams: pa.Array, after: int) -> Iterator[tuple[int, ResourceEvent]]:
        # By stream, not by position: the streams are few, and the log is long.
        sql = f"""SELECT {EVENT} FROM stored_events WHERE {self._db.among_numbers("originator_id", 1)}
            AND +notification_id>?2 ORDER BY +notification_id"""
        return self._mapper.events(self._db.rows(sql, (self._db.array(streams.to_pylist()), after)))

    def link_changes_at(self, hop: Hop, near: pa.Array, after: int) -> Iterator[tuple[int, LinkEvent]]:
        sql = f"""SELECT {EVENT} FROM links l {self._db.ordered_join} stored_events e ON e.originator_id = +l.stream
            WHERE l.association=?1 AND {self._db.among_numbers("l.source" if hop.forward else "l.target", 2)}
            AND +notification_id>?3 ORDER BY +notification_id"""
        parameters = (self._association_id(hop.association), self._db.array(near.to_pylist()), after)
        return self._mapper.events(self._db.rows(sql, parameters))

    def link_changes_of(self, ref: ResourceRef) -> Iterator[tuple[int, AnyChange]]:
        stream = self.stream_of(ref)
        if stream is None:
            return
        sql = f"""SELECT {EVENT} FROM links l {self._db.ordered_join} stored_events e ON e.originator_id = +l.stream
            WHERE l.source=?1 OR l.target=?1 ORDER BY notification_id"""
        yield from self._mapper.events(self._db.rows(sql, (stream,)))

    def states_at(self, entity_type: str, until: int | None) -> Iterator[tuple[str, Values]]:
        """Folds only the resources that changed since.

        Of the others the present state is read.
        """
        last = END_OF_LOG if until is None else until
        columns = ("stream", "key", "position", "live", "state", "computed")
        for rows in portions(self._in_key_order(self._type_id(entity_type), columns)):
            past = self._resources_at([stream for stream, _, position, *_ in rows if position > last], last)
            for stream, key, position, live, state, computed in rows:
                if position <= last:
                    if live:
                        yield key, {**self._values(key, state), **self._values(key, computed)}
                elif stream in past:
                    yield key, past[stream].values

    def resources_at(self, entity_type: str, until: int | None) -> pa.Table:
        """Folds only the resources that changed since.

        Of the others the present state is read.
        """
        kind, last = self._type_id(entity_type), END_OF_LOG if until is None else until
        of_type = f"FROM resources {self._db.unindexed} WHERE entity_type=?1"
        unchanged = f"SELECT stream, key, state, computed {of_type} AND live AND position<=?2"
        tables = [self._db.table(unchanged, (kind, last), whole_states())]
        changed = self._db.rows(f"SELECT stream, key {of_type} AND position>?2 ORDER BY stream", (kind, last))
        for rows in portions(changed):
            past = self._resources_at([stream for stream, _ in rows], last)
            states = [
                (stream, key, _json(past[stream].synchronized), _json(past[stream].computed))
                for stream, key in rows
                if stream in past
            ]
            columns = zip(*states, strict=True) if states else ([], [], [], [])
            tables.append(pa.table(dict(zip(whole_states().names, columns, strict=True)), schema=whole_states()))
        return pa.concat_tables(tables)

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

    def linked_at(self, association: str, until: int | None) -> pa.Table:
        number, last = self._association_id(association), END_OF_LOG if until is None else until
        of_association = f"""SELECT l.source, l.target, s.key, t.key, l.stream FROM links l {self._db.unindexed}
            JOIN resources s ON s.stream = l.source JOIN resources t ON t.stream = l.target WHERE l.association=?1"""
        tables = [self._db.table(f"{of_association} AND l.live AND l.position<=?2", (number, last), _links())]
        for rows in portions(self._db.rows(f"{of_association} AND l.position>?2", (number, last))):
            past = self._links_at([stream for *_, stream in rows], last)
            standing = [row for row in rows if row[-1] in past]
            columns = zip(*standing, strict=True) if standing else ([], [], [], [], [])
            tables.append(pa.table(dict(zip(_links().names, columns, strict=True)), schema=_links()))
        return pa.concat_tables(tables).select(links().names)

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

    def runs_before(self, before: int | None, at_most: int) -> list[RunSummary]:
        below = END_OF_LOG if before is None else before
        sql = "SELECT number FROM runs WHERE number<?1 ORDER BY number DESC LIMIT ?2"
        numbers = [number for (number,) in self._db.all(sql, (below, at_most))]
        if not numbers:
            return []
        return list(self._folded("r.number>=?1 AND r.number<=?4", (numbers[-1],), with_rows=False, last=numbers[0]))[
            ::-1
        ]

    def rows_set_aside(self, number: int, after: int) -> Iterator[RowsSetAside]:
        dropped: dict[int, int] = {}
        for event in self.run_events(number):
            if isinstance(event, RunResumed):
                dropped |= dict.fromkeys(set(event.again) - set(event.pending), event.originator_version)
        rows = self._db.rows(
            f"""SELECT {EVENT} FROM runs r {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE r.number=?1 AND e.originator_version>?2 AND e.topic=?3 ORDER BY e.originator_version""",
            (number, after, ROWS_SET_ASIDE),
        )
        for row in rows:
            event = cast(RowsSetAside, self._event(row)[1])
            if event.originator_version > dropped.get(event.task, 0):
                yield event

    def run_starts(self) -> Iterator[RunSummary]:
        rows = self._db.rows(
            f"""SELECT r.number, r.first, r.last, {EVENT} FROM runs r
            {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE {self._db.among_texts("e.topic", 1)} ORDER BY r.number, e.originator_version""",
            (self._db.array(RUN_BEGINNINGS),),
        )
        return self._folded_rows(rows)

    def run_events(self, number: int, after: int = 0) -> list[Event]:
        rows = self._db.rows(
            f"""SELECT {EVENT} FROM runs r {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE r.number=?1 AND e.originator_version>?2 AND e.topic<>?3 ORDER BY e.originator_version""",
            (number, after, ROWS_SET_ASIDE),
        )
        return [event for _, event in self._mapper.events(rows)]

    def _folded(
        self, which: str, parameters: tuple[Any, ...], *, with_rows: bool, last: int | None = None
    ) -> Iterator[RunSummary]:
        rows = self._db.rows(
            f"""SELECT r.number, r.first, r.last, {EVENT} FROM runs r
            {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE {which} AND (?2 OR e.topic<>?3) ORDER BY r.number, e.originator_version""",
            (*parameters, with_rows, ROWS_SET_ASIDE, *(() if last is None else (last,))),
        )
        return self._folded_rows(rows)

    def _folded_rows(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[RunSummary]:
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

_SNAPSHOTS = (ResourceSnapshot, LinkSnapshot)
_BEGINNINGS = (Created, Linked, *_SNAPSHOTS)


def whole(stream: int, facts: Iterable[tuple[int, _Fact]]) -> Iterator[tuple[int, _Fact]]:
    """Yields the facts of one stream: its snapshot if there is one, then every event after it.

    :raises StoreError: if an event is missing.
    """
    expected = 1
    for fact in facts:
        expected = _following(stream, expected, fact[1])
        yield fact


def check_whole(stream: int, facts: Iterable[tuple[int, _Fact]]) -> None:
    """Checks facts that `whole` would yield.

    :raises StoreError: if an event is missing.
    """
    expected = 1
    for _, fact in facts:
        if expected > 1 and fact.originator_version == expected:
            expected += 1
        else:
            expected = _following(stream, expected, fact)


def _following(stream: int, expected: int, fact: _Fact) -> int:
    """Returns the version after a fact, which must be the one that is expected."""
    version = fact.originator_version
    if isinstance(fact, _SNAPSHOTS):
        expected = version
    if version != expected:
        raise store_damaged(f"stream {stream} lacks event {expected}: event {version} follows instead")
    if expected == 1 and not isinstance(fact, _BEGINNINGS):
        raise store_damaged(f"stream {stream} begins with an event that cannot be first ({type(fact).__name__})")
    return version + 1
