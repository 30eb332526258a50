"""Maps events to stored rows: short versioned topics, lean JSON payloads, a closed registry.

A topic is looked up in a table of this module: no stored row can make Python import anything. See `payload` for the
members of payloads. A topic never changes its meaning: a new form gets a new topic (``c2``) beside the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted
from deltamark.domain.adoption.decommission import Decommissioned, FedAgain
from deltamark.domain.errors import StoreError, store_damaged
from deltamark.domain.resources.events import Event, Origin
from deltamark.domain.resources.link import Linked, LinkEvent, LinkRef, LinkSnapshot, Unlinked
from deltamark.domain.resources.resource import (
    Because,
    Change,
    Computed,
    Created,
    Deleted,
    ResourceEvent,
    ResourceRef,
    ResourceSnapshot,
    Updated,
)
from deltamark.domain.retention.erasure import Erased
from deltamark.domain.runs.run import RunEvent
from deltamark.domain.sources.places import PlaceForgotten, PlaceMoved
from deltamark.domain.values import Values, shown
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.adoption_events import (
    CONFIGURATION_ADOPTED,
    DECISIONS,
    adoption_event,
    adoption_payload,
    decision_event,
    decision_payload,
)
from deltamark.infrastructure.store.events.place_events import PLACE_TOPICS, place_event, place_payload
from deltamark.infrastructure.store.events.run_events import RUN_TOPICS, run_event, run_payload

CREATED, UPDATED, COMPUTED, DELETED = "c1", "u1", "p1", "d1"
LINKED, UNLINKED = "l1", "x1"
RESOURCE_SNAPSHOT, LINK_SNAPSHOT = "s1", "sl1"
ERASED = "e1"

RESOURCE_TOPICS = (CREATED, UPDATED, DELETED, COMPUTED)
LINK_TOPICS = (LINKED, UNLINKED)
CHANGE_TOPICS = RESOURCE_TOPICS + LINK_TOPICS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOPIC_OF: Mapping[type[Event], str] = {
    Created: CREATED,
    Updated: UPDATED,
    Computed: COMPUTED,
    Deleted: DELETED,
    Linked: LINKED,
    Unlinked: UNLINKED,
    ResourceSnapshot: RESOURCE_SNAPSHOT,
    LinkSnapshot: LINK_SNAPSHOT,
    Erased: ERASED,
    ConfigurationAdopted: CONFIGURATION_ADOPTED,
    **{event: topic for topic, event in DECISIONS.items()},
    **{event: topic for topic, event in RUN_TOPICS.items()},
    **{event: topic for topic, event in PLACE_TOPICS.items()},
}


def is_stream_number(text: str) -> bool:
    """Whether a text is the number of a stream, as it is written."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 19 and (text == "0" or digits[0] != "0")


class StoredRow(NamedTuple):
    """The row of a stored event, with the attributes of the library's `StoredEvent`."""

    originator_id: UUID | str
    originator_version: int
    topic: str
    state: bytes


def to_micros(at: datetime) -> int:
    """Returns the microseconds since 1970-01-01 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=4096)  # all changes of a task have one time
def from_micros(micros: int) -> datetime:
    """Returns the time of a number of microseconds since 1970-01-01 UTC."""
    return _EPOCH + timedelta(microseconds=micros)


class JSONTranscoder(Transcoder):
    """Plain JSON by orjson, without type markers: stored data cannot choose a Python type."""

    def encode(self, obj: Any) -> bytes:
        """Returns the JSON text of plain data."""
        return orjson.dumps(obj)

    def decode(self, data: bytes) -> Any:
        """Returns the plain data of a JSON text."""
        return orjson.loads(data)


class ChangeMapper(Mapper[str]):
    """Turns events into stored rows and back.

    :raises StoreError: for a topic that is not in the registry, or a payload that does not fit its topic.
    """

    def __init__(self) -> None:
        super().__init__(JSONTranscoder())

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """Returns the row of an event."""
        event = cast(Event, domain_event)
        topic = _TOPIC_OF[type(event)]
        state = self.transcoder.encode(_payload(event))
        row = StoredRow(event.originator_id, event.originator_version, topic, state)
        return cast(StoredEvent, row)

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[str]:
        """Returns the event of a row."""
        return cast(
            DomainEventProtocol[str],
            self.event(
                str(stored_event.originator_id),
                stored_event.originator_version,
                stored_event.topic,
                stored_event.state,
            ),
        )

    def event(self, stream: str, version: int, topic: str, state: bytes) -> Event:
        """Returns the event of the four columns of a row."""
        try:
            return _BUILDERS[topic](stream, version, orjson.loads(state))
        except UNREADABLE as e:
            raise unreadable(stream, version, topic, e) from e

    def events(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yields the events of many rows, each with its position.

        :param rows: position, stream, version, topic and payload.
        """
        decoded, builders = orjson.loads, _BUILDERS
        for position, stream, version, topic, state in rows:
            try:
                event = builders[topic](str(stream), version, decoded(state))
            except UNREADABLE as e:
                raise unreadable(stream, version, topic, e) from e
            yield position, event


UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What decoding a payload raises if it does not fit its topic."""


def unreadable(stream: object, version: int, topic: str, error: Exception) -> StoreError:
    """Returns the error for an event that cannot be read."""
    if topic not in _BUILDERS:
        return StoreError(
            f"event {version} of stream {stream} has the unknown topic {shown(topic)}: it was written by a newer "
            "version of Deltamark, or the store was altered. Upgrade Deltamark, or verify the store."
        )
    return store_damaged(
        f"event {version} of stream {stream} ({topic}) cannot be read: {type(error).__name__}: {error}"
    )


def _payload(event: Event) -> dict[str, Any]:
    if isinstance(event, RunEvent):
        return {**payload.head(to_micros(event.at)), **run_payload(event)}
    if isinstance(event, ConfigurationAdopted):
        return {**payload.head(to_micros(event.at)), **adoption_payload(event)}
    if isinstance(event, Decommissioned | FedAgain):
        return {**payload.head(to_micros(event.at)), **decision_payload(event)}
    if isinstance(event, PlaceMoved | PlaceForgotten):
        return {**payload.head(to_micros(event.at)), **place_payload(event)}
    cause = event.cause if isinstance(event, ResourceEvent | LinkEvent | Erased) else None
    head = payload.head(to_micros(event.at), cause)
    match event:
        case Created():
            return {**head, **_resource(event.ref), **_values(event.values)}
        case Deleted():
            return {**head, **_resource(event.ref), **_all_values(event)}
        case Updated():
            updates = {name: [c.before, c.after] for name, c in sorted(event.updates.items())}
            return {**head, **_resource(event.ref), payload.VALUES: updates, **_because(event)}
        case ResourceSnapshot():
            return {**head, **_resource(event.ref), **_all_values(event), payload.LIVE: event.live}
        case Linked():
            return {**head, **_link(event.ref)}
        case Unlinked():
            because = {} if event.because is None else {payload.GROUNDS: event.because}
            return {**head, **_link(event.ref), **because}
        case LinkSnapshot():
            return {**head, **_link(event.ref), payload.LIVE: event.live}
        case Erased():
            return head
    raise AssertionError(f"{type(event).__name__} has a topic but no payload")


def _because(event: Updated) -> dict[str, Any]:
    if not isinstance(event, Computed) or event.because is None:
        return {}
    because = event.because
    members: dict[str, Any] = {}
    if because.first is not None:
        members[payload.GROUNDS] = list(dict.fromkeys([because.first, because.last]))
    if because.whole is not None:
        members[payload.WHOLE] = because.whole
    return members


def _all_values(event: Deleted | ResourceSnapshot) -> dict[str, Any]:
    computed = {payload.COMPUTED_VALUES: dict(sorted(event.computed.items()))} if event.computed else {}
    return {**_values(event.values), **computed}


def _values(values: Values) -> dict[str, Any]:
    return {payload.VALUES: dict(sorted(values.items()))}


def _resource(ref: ResourceRef) -> dict[str, str]:
    return {payload.ENTITY_TYPE: ref.entity_type, payload.KEY: ref.key}


def _link(ref: LinkRef) -> dict[str, str]:
    return {
        payload.ASSOCIATION: ref.association,
        payload.ENTITY_TYPE: ref.source.entity_type,
        payload.KEY: ref.source.key,
        payload.TARGET_TYPE: ref.target.entity_type,
        payload.TARGET_KEY: ref.target.key,
    }


def _ref(p: dict[str, Any]) -> ResourceRef:
    return ResourceRef(p[payload.ENTITY_TYPE], p[payload.KEY])


def _link_ref(p: dict[str, Any]) -> LinkRef:
    association, source_type, source_key, target_type, target_key = payload.link_identity(p)
    return LinkRef(association, ResourceRef(source_type, source_key), ResourceRef(target_type, target_key))


def _common(stream: str, version: int, p: dict[str, Any]) -> dict[str, Any]:
    return {"originator_id": stream, "originator_version": version, "at": from_micros(p[payload.AT])}


# Resources are created and updated by the million: their builders make no dictionary of arguments on the way.
_members = itemgetter(payload.AT, payload.RUN, payload.TASK, payload.ENTITY_TYPE, payload.KEY, payload.VALUES)
_LINE = payload.LINE


def _created(s: str, v: int, p: dict[str, Any]) -> Event:
    at, run, task, entity_type, key, values = _members(p)
    return Created(
        originator_id=s,
        originator_version=v,
        at=from_micros(at),
        cause=Origin(run, task, p.get(_LINE)),
        ref=ResourceRef(entity_type, key),
        values=values if values.__class__ is dict else dict(values),  # which raises
    )


def _updated(s: str, v: int, p: dict[str, Any]) -> Event:
    at, run, task, entity_type, key, values = _members(p)
    return Updated(
        originator_id=s,
        originator_version=v,
        at=from_micros(at),
        cause=Origin(run, task, p.get(_LINE)),
        ref=ResourceRef(entity_type, key),
        updates=_updates(values),
    )


def _computed(s: str, v: int, p: dict[str, Any]) -> Event:
    at, run, task, entity_type, key, values = _members(p)
    because = None
    if payload.GROUNDS in p or payload.WHOLE in p:
        positions = p.get(payload.GROUNDS) or [None]
        because = Because(first=positions[0], last=positions[-1], whole=p.get(payload.WHOLE))
    return Computed(
        originator_id=s,
        originator_version=v,
        at=from_micros(at),
        cause=Origin(run, task, p.get(_LINE)),
        ref=ResourceRef(entity_type, key),
        updates=_updates(values),
        because=because,
    )


def _updates(values: dict[str, Any]) -> dict[str, Change]:
    return {name: Change(before, after) for name, (before, after) in values.items()}


def _deleted(s: str, v: int, p: dict[str, Any]) -> Event:
    values, computed = dict(p[payload.VALUES]), dict(p.get(payload.COMPUTED_VALUES, ()))
    return Deleted(**_common(s, v, p), cause=payload.cause_of(p), ref=_ref(p), values=values, computed=computed)


def _linked(s: str, v: int, p: dict[str, Any]) -> Event:
    return Linked(**_common(s, v, p), cause=payload.cause_of(p), ref=_link_ref(p))


def _unlinked(s: str, v: int, p: dict[str, Any]) -> Event:
    return Unlinked(**_common(s, v, p), cause=payload.cause_of(p), ref=_link_ref(p), because=p.get(payload.GROUNDS))


def _erased(s: str, v: int, p: dict[str, Any]) -> Event:
    return Erased(**_common(s, v, p), cause=payload.cause_of(p))


def _resource_snapshot(s: str, v: int, p: dict[str, Any]) -> Event:
    values, computed = dict(p[payload.VALUES]), dict(p.get(payload.COMPUTED_VALUES, ()))
    return ResourceSnapshot(**_common(s, v, p), ref=_ref(p), values=values, computed=computed, live=p[payload.LIVE])


def _link_snapshot(s: str, v: int, p: dict[str, Any]) -> Event:
    return LinkSnapshot(**_common(s, v, p), ref=_link_ref(p), live=p[payload.LIVE])


def _adopted(s: str, v: int, p: dict[str, Any]) -> Event:
    return adoption_event(s, v, from_micros(p[payload.AT]), p)


def _decision_builder(topic: str) -> Callable[[str, int, dict[str, Any]], Event]:
    def build(stream: str, version: int, p: dict[str, Any]) -> Event:
        return decision_event(topic, stream, version, from_micros(p[payload.AT]), p)

    return build


def _place_builder(topic: str) -> Callable[[str, int, dict[str, Any]], Event]:
    def build(stream: str, version: int, p: dict[str, Any]) -> Event:
        return place_event(topic, stream, version, from_micros(p[payload.AT]), p)

    return build


def _run_builder(topic: str) -> Callable[[str, int, dict[str, Any]], Event]:
    def build(stream: str, version: int, p: dict[str, Any]) -> Event:
        return run_event(topic, stream, version, from_micros(p[payload.AT]), p)

    return build


_BUILDERS: Mapping[str, Callable[[str, int, dict[str, Any]], Event]] = {
    CREATED: _created,
    UPDATED: _updated,
    COMPUTED: _computed,
    DELETED: _deleted,
    LINKED: _linked,
    UNLINKED: _unlinked,
    RESOURCE_SNAPSHOT: _resource_snapshot,
    LINK_SNAPSHOT: _link_snapshot,
    ERASED: _erased,
    CONFIGURATION_ADOPTED: _adopted,
    **{topic: _decision_builder(topic) for topic in DECISIONS},
    **{topic: _run_builder(topic) for topic in RUN_TOPICS},
    **{topic: _place_builder(topic) for topic in PLACE_TOPICS},
}

TOPICS = tuple(_BUILDERS)
"""All topics that the log and the snapshots of a store may have."""


def topics_of(kinds: Iterable[type[object]]) -> tuple[str, ...]:
    """Returns the topics of some classes of events and of their subclasses."""
    classes = tuple(kinds)
    return tuple(topic for event, topic in _TOPIC_OF.items() if issubclass(event, classes))
