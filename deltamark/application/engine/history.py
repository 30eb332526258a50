"""The part of the engine that compares moments and answers audits."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application import arguments
from deltamark.application.engine.base import Deriving
from deltamark.application.history import history
from deltamark.application.history.audit import Span, links_between, values_between
from deltamark.application.history.diff import deltas
from deltamark.application.lookup import association_named, entity_type_named, property_named
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.store import Store
from deltamark.domain.configuration.entity_model import EntityAssociation
from deltamark.domain.history.changes import Horizon, When
from deltamark.domain.history.diff import LinkDelta, ResourceDelta
from deltamark.domain.history.intervals import HeldLink, HeldValue


class LookingBack(Deriving):
    """An open store with a configuration, and what was in it at other times."""

    def epoch(self) -> str:
        """Which store this is: a text that no other store has (but its copies), the same for ever."""
        with self._store.reading() as reading:
            return reading.epoch()

    def erased_changes(self, after: When = 0, until: When | None = None, *, run: int | None = None) -> dict[int, int]:
        """How many changes between two moments are shown no more because they were erased: run of the erasure -> count.

        Of which resources they were is nowhere any more.

        :param after: exclusive; 0 is before the first change.
        :param until: inclusive; None for the present.
        :param run: only those that this run had made.
        :raises UsageError: for a moment that does not exist.
        """
        arguments.some_moment("after", after)
        arguments.moment("until", until)
        if run is not None:
            arguments.whole_number("the number of a run", run)
        with self._store.reading() as reading:
            first = history.position_of(reading, after)
            last = reading.head() if until is None else history.position_of(reading, until)
            return reading.erased_between(first, last, run)

    def diff(self, entity_type: str, from_: When, to: When) -> Iterator[ResourceDelta | LinkDelta]:
        """What differs between two moments: resources of an entity type by key, then links that start or end at one.

        Applied to what was at `from_` it gives what was at `to`, which may be the earlier moment. Costs time in
        proportion to the changes between the two, and to the own history of the resources that they changed. What only
        the store can tell is refused when the iteration begins.

        :raises HistoryDiscarded: if one of the moments lies below the horizon of the entity type.
        :raises UsageError: for an entity type or moment that does not exist.
        """
        entity_type_named(entity_type, self.configuration)
        arguments.some_moment("from_", from_)
        arguments.some_moment("to", to)
        return self._deltas(self._store, entity_type, from_, to)

    def _deltas(self, store: Store, entity_type: str, from_: When, to: When) -> Iterator[ResourceDelta | LinkDelta]:
        with store.reading() as reading:
            start, end = history.position_of(reading, from_), history.position_of(reading, to)
            history.refuse_below(history.horizon_of(reading, self.configuration, entity_type), min(start, end))
            yield from deltas(reading, entity_type, start, end)

    def audit(
        self, entity_type: str, property_name: str, from_: When, to: When, *, key: str | None = None
    ) -> Iterator[HeldValue]:
        """Who had what between two moments, and since which change: every value of a property, also a computed one,
        that a resource had at either of them or in between, by key and time.

        While a resource had no value, there is none. An interval that began before the first moment has the change that
        it began with, one that goes on the change that ended it later, if any did. With a key it costs time in
        proportion to the changes of that resource, otherwise to those of the entity type. What only the store can tell
        is refused when the iteration begins.

        :raises HistoryDiscarded: if the first moment lies below the horizon of the entity type.
        :raises UsageError: for an entity type, property or moment that does not exist, a key that never did, or if the
            second moment lies before the first.
        """
        found = entity_type_named(entity_type, self.configuration)
        property_named(property_name, found, self.configuration)
        arguments.some_moment("from_", from_)
        arguments.some_moment("to", to)
        return self._values(self._store, entity_type, property_name, (from_, to), arguments.optional_text("a key", key))

    def _values(
        self, store: Store, entity_type: str, property_name: str, between: tuple[When, When], key: str | None
    ) -> Iterator[HeldValue]:
        with store.reading() as reading:
            span = _span(reading, entity_type, between)
            yield from values_between(reading, entity_type, property_name, span, key)

    def audit_association(
        self, association: str, from_: When, to: When, *, key: str | None = None
    ) -> Iterator[HeldLink]:
        """Who was linked to whom between two moments, and since which change: every link of an association that stood
        at either of them or in between, by source, target and time.

        :param key: only links of the resource with that key, at either end.
        :raises HistoryDiscarded: if the first moment lies below the horizon of the association.
        :raises UsageError: as `audit`.
        """
        found = association_named(association, self.configuration)
        arguments.some_moment("from_", from_)
        arguments.some_moment("to", to)
        return self._links_held(self._store, found, (from_, to), arguments.optional_text("a key", key))

    def _links_held(
        self, store: Store, association: EntityAssociation, between: tuple[When, When], key: str | None
    ) -> Iterator[HeldLink]:
        with store.reading() as reading:
            span = _span(reading, association.identifier, between)
            yield from links_between(reading, association, span, key)


def _span(reading: Reading, subject: str, between: tuple[When, When]) -> Span:
    span = Span(*(history.position_of(reading, when) for when in between))
    history.refuse_below(_horizon(reading, subject), span.first)
    return span


def _horizon(reading: Reading, subject: str) -> Horizon | None:
    """How far the changes of an entity type, without its links, or of an association were discarded."""
    return next((horizon for horizon in reading.horizons() if horizon.subject == subject), None)
