"""Maps the events that move and forget places in sources to payloads of their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import asdict, fields

from deltamark.domain.sources.places import PlaceForgotten, PlaceMoved

PLACE_TOPICS: Mapping[str, type[PlaceMoved | PlaceForgotten]] = {"pm1": PlaceMoved, "pf1": PlaceForgotten}
"""The events in the stream of places, by topic."""

_HEAD = ("originator_id", "originator_version", "at")


def place_payload(event: PlaceMoved | PlaceForgotten) -> dict[str, Any]:
    """Returns plain JSON data of an event, without stream, version and time."""
    return asdict(event, filter=lambda attribute, value: attribute.name not in _HEAD)


def place_event(
    topic: str, stream: str, version: int, at: datetime, payload: Mapping[str, Any]
) -> PlaceMoved | PlaceForgotten:
    """Returns the event of a payload."""
    kind = PLACE_TOPICS[topic]
    values = {field.name: payload[field.name] for field in fields(kind) if field.name in payload}
    return kind(originator_id=stream, originator_version=version, at=at, **values)
