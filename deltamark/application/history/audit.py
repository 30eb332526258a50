"""Who had what between two moments, and since which change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from deltamark.application.history.history import RunNames, position_of, refuse_below
from deltamark.application.lookup import resource_not_found
from deltamark.application.ports.reading import Reading
from deltamark.domain.configuration.entity_model import EntityAssociation
from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import LoggedChange, Position, When
from deltamark.domain.history.intervals import HeldLink, HeldValue, Logged, link_intervals, value_intervals
from deltamark.domain.resources.link import LinkFact
from deltamark.domain.resources.resource import ResourceFact, ResourceRef
from deltamark.domain.values import shown


@frozen
class Span:
    """From one moment to another, both included."""

    first: Position
    last: Position

    def __attrs_post_init__(self) -> None:
        if self.last < self.first:
            raise UsageError(
                f"the second moment (position {self.last}) lies before the first one (position {self.first}). "
                "Name the earlier one first."
            )


def values_between(
    reading: Reading, entity_type: str, property_name: str, between: tuple[When, When], key: str | None
) -> Iterator[HeldValue]:
    """Every value of a property that a resource had between two moments, by key and time.

    :raises HistoryDiscarded: if the first moment lies below the horizon of the entity type.
    :raises UsageError: for a key that never was, or if the second moment lies before the first.
    """
    span = _span(reading, entity_type, between)
    names = _Names(reading)
    for facts in _resources(reading, entity_type, key):
        for held in value_intervals(facts, property_name):
            if held.overlaps(span.first, span.last):
                yield HeldValue(
                    ref=facts[0][1].ref,
                    property=property_name,
                    value=held.value,
                    since=names.of(held.since),
                    until=names.of(held.until),
                )


def links_between(
    reading: Reading, association: EntityAssociation, between: tuple[When, When], key: str | None
) -> Iterator[HeldLink]:
    """Every link of an association that existed between two moments, by source, target and time.

    :param key: of a resource at either end.
    :raises HistoryDiscarded: if the first moment lies below the horizon of the association.
    :raises UsageError: for a key that never was, or if the second moment lies before the first.
    """
    span = _span(reading, association.identifier, between)
    names = _Names(reading)
    for facts in _links(reading, association, key):
        for held in link_intervals(facts):
            if held.overlaps(span.first, span.last):
                yield HeldLink(ref=facts[0][1].ref, since=names.of(held.since), until=names.of(held.until))


def _span(reading: Reading, subject: str, between: tuple[When, When]) -> Span:
    """The span between two moments of an entity type without its links, or of an association."""
    span = Span(*(position_of(reading, when) for when in between))
    horizon = next((horizon for horizon in reading.horizons() if horizon.subject == subject), None)
    refuse_below(horizon, span.first)
    return span


def _resources(reading: Reading, entity_type: str, key: str | None) -> Iterable[list[tuple[Position, ResourceFact]]]:
    if key is None:
        return reading.facts_of_all(entity_type)
    ref = ResourceRef(entity_type, key)
    if reading.stream_of(ref) is None:
        raise resource_not_found(reading, ref)
    return [list(reading.facts(ref))]


def _links(
    reading: Reading, association: EntityAssociation, key: str | None
) -> Iterable[list[tuple[Position, LinkFact]]]:
    if key is None:
        return reading.link_facts(association.identifier, None)
    source, target = association.property1.entity_type, association.property2.entity_type
    ends = reading.stream_of(ResourceRef(source, key)), reading.stream_of(ResourceRef(target, key))
    if ends == (None, None):
        either = source if source == target else f"{source} or {target}"
        raise UsageError(f"there never was a {either} with the key {shown(key)}.")
    return reading.link_facts(association.identifier, ends)


class _Names(RunNames):
    """Puts the names of run, job and task to changes, if there are any."""

    def of(self, logged: Logged | None) -> LoggedChange | None:
        """The change with its names."""
        return None if logged is None else self.named(*logged)
