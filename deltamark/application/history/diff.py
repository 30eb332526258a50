"""Compares two moments: what differs, and not what happened in between."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application.ports.queries import Reading
from deltamark.domain.history.changes import Position
from deltamark.domain.history.diff import Difference, LinkDelta, resource_delta
from deltamark.domain.resources.link import Linked, LinkRef, Unlinked
from deltamark.domain.resources.resource import ResourceRef


def deltas(
    reading: Reading,
    entity_type: str,
    start: Position,
    end: Position,
    beyond: ResourceRef | LinkRef | None = None,
) -> Iterator[Difference]:
    """What differs between two positions, of which the second may be the earlier one.

    Resources of an entity type come first, by key, then the links that start or end at one, by association, source and
    target. Reads the changes between the two positions, and earlier ones of the resources that these changed.

    :param beyond: only what comes after this one.
    """
    first, last = min(start, end), max(start, end)
    link = beyond if isinstance(beyond, LinkRef) else None
    key = beyond.key if isinstance(beyond, ResourceRef) else None
    resources = () if link is not None else reading.resources_between(entity_type, first, last, key)
    for ref, past, later in resources:
        before, after = (past, later) if start <= end else (later, past)
        delta = resource_delta(ref, before, after)
        if delta is not None:
            yield delta
    for changed, exists in reading.links_between(entity_type, first, last, link):
        yield LinkDelta(kind=Linked.kind if exists == (start <= end) else Unlinked.kind, ref=changed)
