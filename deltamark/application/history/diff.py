"""What differs between two moments: a diff."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application.ports.reading import Reading
from deltamark.domain.history.changes import Position
from deltamark.domain.history.diff import Delta, LinkDelta, link_delta, resource_delta
from deltamark.domain.resources.link import Linked, LinkRef


def deltas(reading: Reading, entity_type: str, start: Position, end: Position) -> Iterator[Delta]:
    """What leads from one moment to another, which may be the earlier one: the resources of an entity type by key,
    then the links that start or end at one, by association, source and target.

    Reads the changes between the two moments, and of the resources that they are about what came before.
    """
    first, last = min(start, end), max(start, end)
    for ref, past, later in reading.resources_between(entity_type, first, last):
        before, after = (past, later) if start <= end else (later, past)
        delta = resource_delta(ref, before, after)
        if delta is not None:
            yield delta
    yield from _link_deltas(reading, entity_type, first, last, is_backwards=end < start)


def _link_deltas(
    reading: Reading, entity_type: str, first: Position, last: Position, *, is_backwards: bool
) -> Iterator[LinkDelta]:
    # What the first change of a link does tells how it stood before; no earlier one need be read.
    stood: dict[LinkRef, bool] = {}
    stands: dict[LinkRef, bool] = {}
    for _, event in reading.link_changes(first, last):
        ref = event.ref
        if entity_type in (ref.source.entity_type, ref.target.entity_type):
            stands[ref] = isinstance(event, Linked)
            stood.setdefault(ref, not stands[ref])
    before, after = (stands, stood) if is_backwards else (stood, stands)
    for ref in sorted(stood, key=_in_order):
        delta = link_delta(ref, before=before[ref], after=after[ref])
        if delta is not None:
            yield delta


def _in_order(ref: LinkRef) -> tuple[bytes, bytes, bytes]:
    """The order of a store: by the bytes of UTF-8."""
    return ref.association.encode(), ref.source.key.encode(), ref.target.key.encode()
