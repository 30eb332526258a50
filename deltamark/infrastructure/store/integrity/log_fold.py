"""Folds the whole log, stream by stream, into the rows that the stored state must have.

The result is that of `fold`, `fold_link` and `fold_run` of the domain, but without an object for each event: folding
takes little more time than reading JSON. A test compares both. Streams are read in ranges, so memory grows neither with
the log nor with the number of resources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import orjson
from attrs import Factory, define

from deltamark.domain.adoption.configuration_adopted import ADOPTIONS, ConfigurationAdopted
from deltamark.domain.errors import StoreError
from deltamark.domain.history.changes import Position
from deltamark.domain.retention.erasure import Erased
from deltamark.domain.runs.fold import fold_run
from deltamark.domain.runs.run import ChangesDiscarded, PairsAwaited, PlannedTask, RunStarted
from deltamark.domain.sources.places import PLACES, PlaceForgotten, PlaceMoved
from deltamark.domain.values import shown
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events import payload as members
from deltamark.infrastructure.store.events.adoption_events import CONFIGURATION_ADOPTED, DECISIONS
from deltamark.infrastructure.store.events.mapper import (
    COMPUTED,
    CREATED,
    DELETED,
    ERASED,
    LINK_SNAPSHOT,
    LINK_TOPICS,
    LINKED,
    RESOURCE_SNAPSHOT,
    RESOURCE_TOPICS,
    UPDATED,
    ChangeMapper,
)
from deltamark.infrastructure.store.events.place_events import PLACE_TOPICS
from deltamark.infrastructure.store.events.run_events import RUN_TOPICS
from deltamark.infrastructure.store.integrity.log_times import LogMoments

RANGE = 1_000
"""Streams folded at a time. With more rows in memory, the garbage collector runs often."""

_RESOURCE_TOPICS, _LINK_TOPICS = frozenset(RESOURCE_TOPICS), frozenset(LINK_TOPICS)
_ADOPTION_TOPICS = frozenset((CONFIGURATION_ADOPTED, *DECISIONS))
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)

Event: TypeAlias = tuple[Position, int, int, str, bytes]
"""Position, stream, version, topic, payload."""


class FoldedResource(NamedTuple):
    """The row of a resource."""

    stream: int
    entity_type: str
    key: str
    version: int
    position: Position
    live: bool
    state: str
    computed: str


class FoldedLink(NamedTuple):
    """The row of a link, with the names of its ends."""

    stream: int
    association: str
    source_type: str
    source_key: str
    target_type: str
    target_key: str
    version: int
    position: Position
    live: bool


class FoldedRun(NamedTuple):
    """The row of a run."""

    stream: int
    number: int
    version: int
    first: Position
    last: Position


@define
class Folded:
    """The rows of the streams from `first` up to, but not including, `after`.

    Streams that cannot be folded are left out.
    """

    first: int
    after: int
    resources: list[FoldedResource] = Factory(list)
    links: list[FoldedLink] = Factory(list)
    runs: list[FoldedRun] = Factory(list)
    is_read: bool = False
    """Whether the log has events of these streams."""


@define
class LogFault:
    """A fault of the log: where it is, and what is wrong."""

    subject: str
    problem: str
    position: Position | None


class _Broken(Exception):
    """A stream that cannot be folded."""

    def __init__(self, problem: str, position: Position | None) -> None:
        self.problem = problem
        self.position = position


class LogFold:
    """One reading of the whole log."""

    def __init__(self, database: Database, mapper: ChangeMapper, report_fault: Callable[[LogFault], None]) -> None:
        self._db = database
        self._mapper = mapper
        self._report_fault = report_fault
        self._moments = LogMoments(database)
        self.events = 0
        self.last_stream = 0
        self.discards: list[tuple[Position, ChangesDiscarded]] = []
        self.awaiting: list[tuple[Position, PairsAwaited]] = []
        self.adoptions: list[tuple[Position, ConfigurationAdopted]] = []
        self.planned: dict[int, tuple[PlannedTask, ...]] = {}
        self.discarded_to: dict[str, Position] = {}
        """Entity type or association -> the newest position that its snapshots cover."""

    @property
    def newest_time(self) -> int:
        """The newest time in the log, in microseconds."""
        return self._moments.newest_time

    def ranges(self) -> Iterator[Folded]:
        """Yields every stream, folded, in order.

        Then reports faults of the log as a whole.
        """
        start = self._next(None)
        while start is not None:
            folded = self._range(start)
            yield folded
            start = folded.after if folded.is_read else self._next(folded.after)
        self._check_whole()

    def _next(self, start: int | None) -> int | None:
        """Returns the first stream from `start` on, also one that only the stored state has."""
        columns = (
            ("originator_id", "stored_events"),
            ("stream", "snapshots"),
            ("stream", "resources"),
            ("stream", "links"),
            ("stream", "runs"),
        )
        first_of_each = [
            self._db.one(f"SELECT {column} FROM {table} ORDER BY {column} LIMIT 1")
            if start is None
            else self._db.one(f"SELECT {column} FROM {table} WHERE {column}>=?1 ORDER BY {column} LIMIT 1", (start,))
            for column, table in columns
        ]
        return min((stream for stream in first_of_each if isinstance(stream, int)), default=None)

    def _range(self, first: int) -> Folded:
        between = (first, first + RANGE)
        return self._folded(Folded(*between), "{0}>=?1 AND {0}<?2", between)

    def of_streams(self, streams: Sequence[int]) -> Folded:
        """Returns some streams, folded."""
        among = self._db.among_numbers("{0}", 1)
        return self._folded(Folded(streams[0], streams[-1] + 1), among, (self._db.array(streams),))

    def _folded(self, folded: Folded, condition: str, parameters: Sequence[Any]) -> Folded:
        """Adds the rows of the streams under a condition to `folded`, and returns it.

        :param condition: with ``{0}`` for the column of the stream.
        """
        snapshots = {
            row[0]: row
            for row in self._db.all(
                "SELECT stream, version, position, topic, state FROM snapshots WHERE " + condition.format("stream"),
                parameters,
            )
        }
        events = self._db.all(
            f"""SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
            WHERE {condition.format("originator_id")} ORDER BY originator_id, originator_version""",
            parameters,
        )
        self.events += len(events)
        folded.is_read = bool(events or snapshots)
        for stream, group in groupby(events, key=itemgetter(1)):
            self._fold_stream(folded, stream, group, snapshots.pop(stream, None))
        for stream, snapshot in snapshots.items():
            self._fold_stream(folded, stream, (), snapshot)
        return folded

    def _fold_stream(self, folded: Folded, stream: int, events: Iterable[Event], snapshot: Any) -> None:
        self.last_stream = max(self.last_stream, stream)
        events = iter(events)
        first = next(events, None)
        kind = snapshot[3] if snapshot is not None else first[3] if first is not None else ""
        try:
            if kind == ERASED:
                self._check_erased(first, events)
                return
            if stream == int(ADOPTIONS) or kind in _ADOPTION_TOPICS:
                self._check_adoptions(stream, first, events)
            elif stream == int(PLACES) or kind in PLACE_TOPICS:
                self._check_places(stream, first, events)
            elif kind in _RESOURCE_TOPICS or kind == RESOURCE_SNAPSHOT:
                folded.resources.append(self._fold_resource(stream, first, events, snapshot))
            elif kind in _LINK_TOPICS or kind == LINK_SNAPSHOT:
                folded.links.append(self._fold_link(stream, first, events, snapshot))
            else:
                folded.runs.append(self._fold_run(stream, first, events))
        except _Broken as e:
            self._report_fault(LogFault(f"stream {stream}", e.problem, e.position))

    def _fold_resource(
        self, stream: int, first: Event | None, events: Iterator[Event], snapshot: Any
    ) -> FoldedResource:
        version = position = 0
        live = False
        name: tuple[str, str] | None = None
        values: dict[str, Any] = {}
        computed: dict[str, Any] = {}
        loads, moments = orjson.loads, self._moments
        identity, values_and_origin = members.resource_identity, members.values_and_origin
        if snapshot is not None:
            _, version, position, _, payload = snapshot
            p = _snapshot(stream, payload, position)
            try:
                name, live = members.resource_identity(p), p[members.LIVE]
                values, computed = dict(p[members.VALUES]), dict(p.get(members.COMPUTED_VALUES, ()))
            except _UNREADABLE as e:
                raise _Broken(f"its snapshot cannot be read ({type(e).__name__}: {e})", position) from e
            self.discarded_to[name[0]] = max(position, self.discarded_to.get(name[0], 0))
        event = first
        while event is not None:
            place, _, number, topic, payload = event
            try:
                p = loads(payload)
                subject = identity(p)
                changes, at, _, _ = values_and_origin(p)
                if changes.__class__ is not dict:
                    raise TypeError("values must be an object")
                if number != version + 1:
                    raise _Broken(_gap(version, number), place)
                if subject != name:
                    if name is not None:
                        raise _Broken(f"its events belong to both {_named(name)} and {_named(subject)}", place)
                    name = subject
                if place <= position:
                    raise _Broken(f"event {number} has position {place}, which is not above {position}", place)
                if at != (moments.time if moments.low < place <= moments.high else moments.at(place)):
                    raise _Broken(moments.problem(place, at), place)
                if live is (topic == CREATED):
                    raise _Broken(_impossible(number, topic, live), place)
                if topic == UPDATED:
                    _apply(values, changes)
                elif topic == CREATED:
                    values, computed, live = changes, {}, True
                elif topic == COMPUTED:
                    _apply(computed, changes)
                elif topic == DELETED:
                    values, computed, live = {}, {}, False
                else:
                    raise _Broken(f"event {number} has the topic {shown(topic)}, which is not one of resources", place)
            except _UNREADABLE as e:
                raise _Broken(_cannot_be_read(number, topic, e), place) from e
            version, position = number, place
            event = next(events, None)
        assert name is not None, "every stream has a snapshot or an event"
        try:
            return FoldedResource(stream, *name, version, position, live, _text(values), _text(computed))
        except TypeError as e:
            raise _Broken(f"its values cannot be read ({e})", position) from e

    def _fold_link(self, stream: int, first: Event | None, events: Iterator[Event], snapshot: Any) -> FoldedLink:
        version = position = 0
        live = False
        name: tuple[str, str, str, str, str] | None = None
        if snapshot is not None:
            _, version, position, _, payload = snapshot
            p = _snapshot(stream, payload, position)
            try:
                name, live = members.link_identity(p), p[members.LIVE]
            except _UNREADABLE as e:
                raise _Broken(f"its snapshot cannot be read ({type(e).__name__}: {e})", position) from e
            self.discarded_to[name[0]] = max(position, self.discarded_to.get(name[0], 0))
        event = first
        while event is not None:
            place, _, number, topic, payload = event
            try:
                p = orjson.loads(payload)
                subject = members.link_identity(p)
                at, _, _ = members.origin(p)
            except _UNREADABLE as e:
                raise _Broken(_cannot_be_read(number, topic, e), place) from e
            if number != version + 1:
                raise _Broken(_gap(version, number), place)
            if name not in (None, subject):
                raise _Broken("its events belong to several links", place)
            if place <= position:
                raise _Broken(f"event {number} has position {place}, which is not above {position}", place)
            if at != self._moments.at(place):
                raise _Broken(self._moments.problem(place, at), place)
            if topic not in _LINK_TOPICS or live is (topic == LINKED):
                raise _Broken(_impossible(number, topic, live), place)
            name, version, position, live = subject, number, place, not live
            event = next(events, None)
        assert name is not None, "every stream has a snapshot or an event"
        return FoldedLink(stream, *name, version, position, live)

    def _check_erased(self, first: Event | None, events: Iterator[Event]) -> None:
        """Checks an erased stream: only positions and times are left, so it gives no row."""
        for place, _, number, topic, payload in (*([first] if first else []), *events):
            if topic != ERASED:
                raise _Broken(f"event {number} ({shown(topic)}) remains in an erased stream", place)
            try:
                at = orjson.loads(payload)[members.AT]
            except _UNREADABLE as e:
                raise _Broken(_cannot_be_read(number, topic, e), place) from e
            if at != self._moments.at(place):
                raise _Broken(self._moments.problem(place, at), place)

    def _check_adoptions(self, stream: int, first: Event | None, events: Iterator[Event]) -> None:
        """Checks the stream of adoptions, which gives no row, and keeps them in order."""
        if stream != int(ADOPTIONS):
            raise _Broken("it is not the stream of adoptions of configurations", first[0] if first else None)
        version, position, digest = 0, 0, None
        for place, _, number, topic, payload in (*([first] if first else []), *events):
            if topic not in _ADOPTION_TOPICS:
                raise _Broken(f"event {number} has the topic {shown(topic)}, which is not that of adoptions", place)
            try:
                adopted = self._mapper.event(str(stream), number, topic, payload)
                at = orjson.loads(payload)[members.AT]
            except StoreError as e:
                raise _Broken(str(e).split(". The store", 1)[0], place) from e
            if number != version + 1:
                raise _Broken(_gap(version, number), place)
            if place <= position:
                raise _Broken(f"event {number} has position {place}, which is not above {position}", place)
            if at != self._moments.at(place):
                raise _Broken(self._moments.problem(place, at), place)
            version, position = number, place
            if not isinstance(adopted, ConfigurationAdopted):
                continue
            if adopted.previous != digest:
                raise _Broken(f"event {number} does not follow the adoption before it", place)
            self.adoptions.append((place, adopted))
            digest = adopted.digest

    def _check_places(self, stream: int, first: Event | None, events: Iterator[Event]) -> None:
        """Checks the stream of places in sources, which gives no row."""
        if stream != int(PLACES):
            raise _Broken("it is not the stream of places in sources", first[0] if first else None)
        version = position = 0
        newest: dict[str, int] = {}
        for place, _, number, topic, payload in (*([first] if first else []), *events):
            if topic not in PLACE_TOPICS:
                raise _Broken(f"event {number} has the topic {shown(topic)}, which is not that of places", place)
            try:
                event = self._mapper.event(str(stream), number, topic, payload)
                at = orjson.loads(payload)[members.AT]
            except StoreError as e:
                raise _Broken(str(e).split(". The store", 1)[0], place) from e
            assert isinstance(event, PlaceMoved | PlaceForgotten), "the topic says so"
            if number != version + 1:
                raise _Broken(_gap(version, number), place)
            if place <= position:
                raise _Broken(f"event {number} has position {place}, which is not above {position}", place)
            if at != self._moments.at(place):
                raise _Broken(self._moments.problem(place, at), place)
            if event.newest != newest:
                raise _Broken(f"event {number} does not name the newest event of each connection", place)
            version, position = number, place
            newest[event.connection] = number

    def _fold_run(self, stream: int, first: Event | None, events: Iterator[Event]) -> FoldedRun:
        facts: list[Any] = []
        positions = [0]
        event = first
        while event is not None:
            place, _, number, topic, payload = event
            if topic not in RUN_TOPICS and topic != ERASED:
                raise _Broken(f"event {number} has the topic {shown(topic)}, which is not one of runs", place)
            try:
                fact = self._mapper.event(str(stream), number, topic, payload)
                at = orjson.loads(payload)[members.AT]
            except StoreError as e:
                raise _Broken(str(e).split(". The store", 1)[0], place) from e
            if number != len(facts) + 1:
                raise _Broken(_gap(len(facts), number), place)
            if place <= positions[-1]:
                raise _Broken(f"event {number} has position {place}, which is not above {positions[-1]}", place)
            if at != self._moments.at(place):
                raise _Broken(self._moments.problem(place, at), place)
            facts.append(fact)
            positions.append(place)
            event = next(events, None)
        try:
            run = fold_run(facts)
        except (AssertionError, AttributeError, IndexError):
            run = None
        if run is None or any(_run_of(fact) != run.number for fact in facts):
            raise _Broken("its events do not form one run", positions[-1] or None)
        self._remember(positions[1:], facts)
        return FoldedRun(stream, run.number, len(facts), positions[1], positions[-1])

    def _remember(self, positions: Iterable[Position], facts: Iterable[Any]) -> None:
        for position, fact in zip(positions, facts, strict=True):
            match fact:
                case RunStarted():
                    self.planned[fact.run] = fact.tasks
                case ChangesDiscarded():
                    self.discards.append((position, fact))
                case PairsAwaited():
                    self.awaiting.append((position, fact))

    def _check_whole(self) -> None:
        """Checks what no single stream shows."""
        count = self._db.one("SELECT count(*) FROM stored_events")
        if count != self.events:
            self._report_fault(LogFault("the log", f"{count - self.events} events belong to no stream", None))
        head = self._db.one("SELECT max(notification_id) FROM stored_events") or 0
        if head != self._moments.newest:
            problem = f"the log ends at position {head}, but its newest transaction at {self._moments.newest}"
            self._report_fault(LogFault("the log", problem, head or None))
        for position in self._moments.backwards():
            self._report_fault(LogFault("the log", f"time runs backwards at position {position}", position))


def _run_of(fact: Any) -> int:
    """The run of an event of its stream, which may have been erased."""
    return int(fact.cause.run if isinstance(fact, Erased) else fact.run)


def _snapshot(stream: int, payload: bytes, position: Position) -> dict[str, Any]:
    try:
        snapshot: dict[str, Any] = orjson.loads(payload)
    except ValueError as e:
        raise _Broken(f"its snapshot cannot be read ({e})", position) from e
    return snapshot


def _apply(values: dict[str, Any], changes: dict[str, Any]) -> None:
    for name, (_, after) in changes.items():
        if after is None:
            values.pop(name, None)
        else:
            values[name] = after


def _text(values: dict[str, Any]) -> str:
    """Returns values in the notation of the stored state."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode() if values else "{}"


def _gap(version: int, number: int) -> str:
    return f"event {version + 1} is missing: event {number} follows event {version}"


def _impossible(number: int, topic: str, live: bool) -> str:
    state = "already exists" if live else "does not exist"
    return f"event {number} ({shown(topic)}) cannot follow: its subject {state}"


def _cannot_be_read(number: int, topic: str, error: Exception) -> str:
    return f"event {number} ({shown(topic)}) cannot be read ({type(error).__name__}: {error})"


def _named(name: tuple[str, str]) -> str:
    return f"{name[0]} {name[1]}"
