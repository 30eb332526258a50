"""Audits: values and links between two moments, with the changes that began and ended them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from deltamark.application.history.history import RunNames, position_of, refuse_below
from deltamark.application.lookup import resource_not_found
from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.entity_model import EntityAssociation
from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import LoggedChange, Position, When
from deltamark.domain.history.intervals import HeldLink, HeldValue, Logged, link_intervals, value_intervals
from deltamark.domain.resources.link import LinkFact
from deltamark.domain.resources.resource import ResourceFact, ResourceRef
from deltamark.domain.values import shown


@frozen
class Span:
    """From one position to another, both inclusive.

    :raises UsageError: if the second lies before the first.
    """

    first: Position
    last: Position

    def __attrs_post_init__(self) -> None:
        if self.last < self.first:
            raise UsageError(
                f"the second moment (position {self.last}) lies before the first one (position {self.first}). "
                "Name the earlier one first."
            )


def span_between(reading: Reading, subject: str, from_: When, to: When) -> Span:
    """The span between two moments.

    :param subject: an entity type without its links, or an association.
    :raises HistoryDiscarded: if the first moment lies below the horizon of the subject.
    :raises UsageError: for a moment that does not exist, or if the second lies before the first.
    """
    span = Span(position_of(reading, from_), position_of(reading, to))
    horizon = next((horizon for horizon in reading.horizons() if horizon.subject == subject), None)
    refuse_below(horizon, span.first)
    return span


def values_between(
    reading: Reading, entity_type: str, property_name: str, span: Span, key: str | None
) -> Iterator[HeldValue]:
    """Every value of a property that a resource had within the span, by key and time.

    :raises UsageError: for a key that never existed.
    """
    names = Names(reading)
    for facts in _resources(reading, entity_type, key):
        for interval in value_intervals(facts, property_name):
            if interval.overlaps(span.first, span.last):
                yield HeldValue(
                    ref=facts[0][1].ref,
                    property=property_name,
                    value=interval.value,
                    since=names.of_fact(interval.since),
                    until=names.of_fact(interval.until),
                )


def links_between(reading: Reading, association: EntityAssociation, span: Span, key: str | None) -> Iterator[HeldLink]:
    """Every link of an association that existed within the span, by source, target and time.

    :param key: of a resource at either end.
    :raises UsageError: for a key that never existed.
    """
    names = Names(reading)
    for facts in _links(reading, association, key):
        for interval in link_intervals(facts):
            if interval.overlaps(span.first, span.last):
                yield HeldLink(
                    ref=facts[0][1].ref, since=names.of_fact(interval.since), until=names.of_fact(interval.until)
                )


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


class Names(RunNames):
    """The names of run, job and task of changes, where there is a change."""

    _newest: LoggedChange | None = None

    def of_fact(self, logged: Logged | None) -> LoggedChange | None:
        """The change with its names."""
        if logged is None:
            return None
        newest = self._newest
        if newest is None or newest.position != logged[0]:  # a change that ends a value mostly begins the next one
            newest = self._newest = self.named(*logged)
        return newest
