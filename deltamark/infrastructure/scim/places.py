"""How far a SCIM service was read: the newest changes that it had when a reading began."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from attrs import frozen

from deltamark.application.ports.sources import PlaceLost, SourceUnreachable
from deltamark.domain.configuration.packages import overlap_of
from deltamark.domain.configuration.scim_paths import value_of
from deltamark.domain.values import shown
from deltamark.infrastructure.scim.client import Client, Document
from deltamark.infrastructure.scim.pages import identified, resource_path
from deltamark.infrastructure.scim.service import Service

NEWEST = 10
"""How many of the newest resources are kept to see that a service did not go back."""

_FORMAT = 1
_OVERLAP = timedelta(minutes=5)
_LONGEST_ID = 500
_PATH = "meta.lastModified"


@frozen
class Witness:
    """A resource, and when it was modified, in the words of the service."""

    identity: str
    modified: str

    @property
    def at(self) -> datetime:
        """When it was modified.

        :raises ValueError: if that is no time.
        """
        return moment(self.modified)


def moment(text: str) -> datetime:
    """A time with its zone.

    :raises ValueError: if it is none.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at.astimezone(UTC)


def newest(client: Client, service: Service, endpoint: str) -> tuple[Witness, ...] | None:
    """The resources that were modified last, the newest first; None where the service does not really sort by it."""
    document = client.get(
        endpoint,
        {
            "attributes": f"id,{_PATH}",
            "sortBy": _PATH,
            "sortOrder": "descending",
            "count": str(NEWEST),
            **({"cursor": ""} if service.has_cursors else {"startIndex": "1"}),
        },
    )
    found = []
    for identity, item in identified(client, endpoint, document):
        modified = modified_of(item)
        if modified is None or len(identity) > _LONGEST_ID:
            return None
        found.append(Witness(identity, modified))
    times = [witness.at for witness in found]
    return tuple(found[:NEWEST]) if times == sorted(times, reverse=True) else None


def modified_of(item: Document) -> str | None:
    """When a resource was modified, in the words of the service; None where it does not say so."""
    text = value_of(value_of(item, "meta"), "lastModified")
    try:
        return text if isinstance(text, str) and moment(text) else None
    except ValueError:
        return None


def cookie(witnesses: Mapping[str, tuple[Witness, ...]]) -> bytes:
    """What is kept of the newest resources of each table."""
    kept = {name: [[item.identity, item.modified] for item in items] for name, items in witnesses.items()}
    return json.dumps({"format": _FORMAT, "newest": kept}, sort_keys=True).encode()


def kept(place: bytes) -> dict[str, tuple[Witness, ...]]:
    """The newest resources of each table at a place.

    :raises PlaceLost: if they cannot be read.
    """
    try:
        members = json.loads(place)
        if members["format"] != _FORMAT:
            raise ValueError("format")
        return {
            name: tuple(Witness(str(identity), str(modified)) for identity, modified in items if moment(modified))
            for name, items in members["newest"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PlaceLost("the place was written by another version") from None


def see_that_it_went_on(client: Client, endpoint: str, then: tuple[Witness, ...], now: tuple[Witness, ...]) -> None:
    """Sees that a service was not restored from a backup: what it had modified is not as it was before.

    :raises PlaceLost: if it was, or may have been.
    """
    if not then or then[0] in now:
        return
    present = {item.identity: item for item in now}
    gone = 0
    for witness in then:
        item = present.get(witness.identity) or _asked(client, endpoint, witness)
        if item is None:
            gone += 1
        elif item.at < witness.at:
            raise PlaceLost(
                f"{shown(witness.identity)}, modified at {witness.modified}, is as it was at {item.modified}: it was "
                "restored from a backup"
            )
    if gone == len(then) and (not now or now[0].at < then[0].at):
        raise PlaceLost(
            "the resources that were modified last are gone: the service may have been restored from a backup"
        )


def _asked(client: Client, endpoint: str, witness: Witness) -> Witness | None:
    item = client.find(resource_path(endpoint, witness.identity), {"attributes": f"id,{_PATH}"})
    modified = None if item is None else modified_of(item)
    return None if modified is None else Witness(witness.identity, modified)


def begin(witnesses: tuple[Witness, ...], overlap: str | None) -> str | None:
    """From when on changes are asked for; None for all.

    :raises SourceUnreachable: if the overlap is no time.
    """
    if not witnesses:
        return None
    step = _OVERLAP if overlap is None else overlap_of(overlap)
    if isinstance(step, int):
        raise SourceUnreachable(f"the Overlap {shown(overlap)} is no time", "Write a time, such as 00:05:00.")
    return (witnesses[0].at - step).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
