"""What differs between two moments: a diff."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application.history.history import horizon_of, position_of, refuse_below
from deltamark.application.ports.reading import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.history.changes import Position, When
from deltamark.domain.history.diff import Difference, LinkDelta, link_delta, resource_delta
from deltamark.domain.resources.link import Linked, LinkRef


def deltas(
    reading: Reading, configuration: Configuration, entity_type: str, from_: When, to: When
) -> Iterator[Difference]:
    """What differs between two moments: the resources of an entity type by key, then the links that start or end at
    one, by association, source and target. The second moment may be the earlier one.

    Reads the changes between the two moments, and what came before of the resources that they are about.

    :raises HistoryDiscarded: if one of the moments lies below the horizon of the entity type.
    """
    start, end = position_of(reading, from_), position_of(reading, to)
    first, last = min(start, end), max(start, end)
    refuse_below(horizon_of(reading, configuration, entity_type), first)
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
