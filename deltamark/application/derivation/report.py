"""Reports on one resource, across its links, from its own changes and those of its links alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deltamark.application.adoption.configurations import configuration_in_force
from deltamark.application.derivation.results import best_classification, pairs_of
from deltamark.application.history.audit import Names, Span
from deltamark.application.history.history import horizons_of, position_of
from deltamark.application.lookup import resource_not_found
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import derivations
from deltamark.domain.history.changes import Position, When
from deltamark.domain.history.intervals import (
    HeldLink,
    HeldValue,
    Interval,
    existence_intervals,
    link_intervals,
    value_intervals,
)
from deltamark.domain.history.report import Existence, ReportedValue, ResourceReport
from deltamark.domain.resources.resource import Computed, ResourceEvent, ResourceFact, ResourceRef, ResourceSnapshot

_Facts = list[tuple[Position, ResourceFact]]


def resource_report(
    reading: Reading, services: Services, ref: ResourceRef, from_: When | None, to: When | None
) -> ResourceReport:
    """The report on a resource between two moments; None is the beginning of the log, and the present.

    :raises ErasedResource: if it was erased, with the run and the reason.
    :raises UsageError: if it never existed, for a moment that does not exist, and for two in the wrong order.
    """
    last = reading.head() if to is None else position_of(reading, to)
    span = Span(0 if from_ is None else position_of(reading, from_), last)
    stream = reading.stream_of(ref)
    if stream is None:
        raise resource_not_found(reading, ref)
    facts, names = list(reading.facts(ref)), Names(reading)
    horizons = horizons_of(reading, services.configuration, ref.entity_type)
    return ResourceReport(
        ref=ref,
        first=span.first,
        last=span.last,
        horizons=[horizon for horizon in horizons if horizon.position > span.first],
        existence=[
            Existence(since=names.of_fact(interval.since), until=names.of_fact(interval.until))
            for interval in existence_intervals(facts)
            if interval.overlaps(span.first, span.last)
        ],
        values=_values(reading, services, facts, span, names),
        links=_links(reading, stream, span, names),
        keys=reading.keys_of(stream),
        matches=pairs_of(reading, services.configuration, stream),
        classification=best_classification(services.configuration, ref, reading.rules_that_hold(stream)),
    )


def _values(reading: Reading, services: Services, facts: _Facts, span: Span, names: Names) -> Iterator[ReportedValue]:
    for name in _properties(facts):
        for interval in value_intervals(facts, name):
            if interval.overlaps(span.first, span.last):
                held = HeldValue(
                    ref=interval.beginning.ref,
                    property=name,
                    value=interval.value,
                    since=names.of_fact(interval.since),
                    until=names.of_fact(interval.until),
                )
                is_computed = _is_computed(interval, name)
                rule = _rule(reading, services, interval, name) if is_computed else None
                yield ReportedValue(held=held, is_computed=is_computed, rule=rule)


def _properties(facts: Iterable[tuple[Position, ResourceFact]]) -> list[str]:
    """The properties of which the resource ever had a value, by name."""
    found: set[str] = set()
    for _, fact in facts:
        found |= fact.changes.keys() if isinstance(fact, ResourceEvent) else {*fact.values, *fact.computed}
    return sorted(found)


def _is_computed(interval: Interval[ResourceFact], name: str) -> bool:
    fact = interval.beginning
    return isinstance(fact, Computed) or (isinstance(fact, ResourceSnapshot) and name in fact.computed)


def _rule(reading: Reading, services: Services, interval: Interval[ResourceFact], name: str) -> str | None:
    """How the property was computed by the configuration in force when the value was set."""
    then = configuration_in_force(reading, services, interval.begins)
    if then is None:
        return None
    for derivation in derivations(then.configuration):
        key = (derivation.kind, derivation.entity_type, derivation.name)
        if key == (DerivationKind.PROPERTY, interval.beginning.ref.entity_type, name):
            if derivation.maker is not None:
                return f"function {derivation.maker.name}"
            return " ".join(filter(None, (derivation.bound_to, (derivation.expression or "").strip())))
    return None


def _links(reading: Reading, stream: int, span: Span, names: Names) -> Iterator[HeldLink]:
    for association in reading.stored_associations():
        for facts in reading.link_facts(association.identifier, (stream, stream)):
            for interval in link_intervals(facts):
                if interval.overlaps(span.first, span.last):
                    yield HeldLink(
                        ref=facts[0][1].ref, since=names.of_fact(interval.since), until=names.of_fact(interval.until)
                    )
