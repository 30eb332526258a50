"""Compares two moments: what differs, and not what happened in between."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application.ports.queries import Reading
from deltamark.domain.history.changes import Position
from deltamark.domain.history.diff import Difference, LinkDelta, link_delta, resource_delta
from deltamark.domain.resources.link import Linked, LinkRef
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
    resources = () if isinstance(beyond, LinkRef) else reading.resources_between(entity_type, first, last)
    for ref, past, later in resources:
        if isinstance(beyond, ResourceRef) and ref.key.encode() <= beyond.key.encode():
            continue
        before, after = (past, later) if start <= end else (later, past)
        delta = resource_delta(ref, before, after)
        if delta is not None:
            yield delta
    for link in _link_deltas(reading, entity_type, first, last, is_backwards=end < start):
        if not isinstance(beyond, LinkRef) or _in_order(link.ref) > _in_order(beyond):
            yield link


def _link_deltas(
    reading: Reading, entity_type: str, first: Position, last: Position, *, is_backwards: bool
) -> Iterator[LinkDelta]:
    # The first change of a link shows whether it existed before: no earlier change need be read.
    existed: dict[LinkRef, bool] = {}
    exists: dict[LinkRef, bool] = {}
    for _, event in reading.link_changes(first, last):
        ref = event.ref
        if entity_type in (ref.source.entity_type, ref.target.entity_type):
            exists[ref] = isinstance(event, Linked)
            existed.setdefault(ref, not exists[ref])
    before, after = (exists, existed) if is_backwards else (existed, exists)
    for ref in sorted(existed, key=_in_order):
        delta = link_delta(ref, before=before[ref], after=after[ref])
        if delta is not None:
            yield delta


def _in_order(ref: LinkRef) -> tuple[bytes, bytes, bytes]:
    """The order of the store: by the bytes of UTF-8."""
    return ref.association.encode(), ref.source.key.encode(), ref.target.key.encode()
