"""Intervals in which a property had a value or a link existed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar, cast

from attrs import frozen

from deltamark.domain.history.changes import AnyChange, LoggedChange, Position
from deltamark.domain.resources.events import Event
from deltamark.domain.resources.link import Link, LinkFact, LinkRef, LinkSnapshot
from deltamark.domain.resources.resource import (
    Computed,
    Created,
    Resource,
    ResourceFact,
    ResourceRef,
    ResourceSnapshot,
    Updated,
)
from deltamark.domain.values import Value, same_value


@frozen(kw_only=True)
class HeldValue:
    """A value that a resource had for a property, from one change to another.

    :param since: the change that set the value; None if that change was discarded.
    :param until: the change that replaced or removed the value; None if the resource still has it.
    """

    ref: ResourceRef
    property: str
    value: Value
    since: LoggedChange | None
    until: LoggedChange | None


@frozen(kw_only=True)
class HeldLink:
    """A link that existed from one change to another.

    :param since: the change that linked the two resources; None if that change was discarded.
    :param until: the change that unlinked them; None if they are still linked.
    """

    ref: LinkRef
    since: LoggedChange | None
    until: LoggedChange | None


Logged = tuple[Position, AnyChange]
_Fact = TypeVar("_Fact", bound=Event)


class Interval(NamedTuple, Generic[_Fact]):
    """The interval in which something had one value.

    A tuple, because an audit makes one for every value.

    :param begins: the position of the fact that began it.
    :param until: the change that ended it; None if none has.
    """

    value: Value
    begins: Position
    beginning: _Fact
    until: Logged | None = None

    def overlaps(self, first: Position, last: Position) -> bool:
        """Whether it includes `first`, `last` or any position between them."""
        return self.begins <= last and (self.until is None or self.until[0] > first)

    @property
    def since(self) -> Logged | None:
        """The change that began it, or None if a snapshot has replaced that change."""
        fact = self.beginning
        return None if isinstance(fact, _SNAPSHOTS) else (self.begins, cast(AnyChange, fact))


_SNAPSHOTS = (ResourceSnapshot, LinkSnapshot)


def value_intervals(facts: Iterable[tuple[Position, ResourceFact]], name: str) -> Iterator[Interval[ResourceFact]]:
    """Yields the intervals in which a property of one resource had a value, oldest first."""
    synchronized: Value = None
    computed: Value = None

    def value_after(fact: ResourceFact) -> Value:
        # As `apply` of the facts, for one property alone: a resource has many.
        nonlocal synchronized, computed
        if isinstance(fact, Created):
            synchronized, computed = fact.values.get(name), None
        elif isinstance(fact, Updated):
            change = fact.updates.get(name)
            if change is not None and isinstance(fact, Computed):
                computed = change.after
            elif change is not None:
                synchronized = change.after
        elif isinstance(fact, ResourceSnapshot) and fact.live:
            synchronized, computed = fact.values.get(name), fact.computed.get(name)
        else:
            synchronized = computed = None
        return synchronized if computed is None else computed

    return _intervals(facts, value_after)


def existence_intervals(facts: Iterable[tuple[Position, ResourceFact]]) -> Iterator[Interval[ResourceFact]]:
    """Yields the intervals in which a resource existed, oldest first."""
    resource: Resource | None = None

    def value_after(fact: ResourceFact) -> Value:
        nonlocal resource
        resource = fact.apply(resource)
        return True if resource.live else None

    return _intervals(facts, value_after)


def link_intervals(facts: Iterable[tuple[Position, LinkFact]]) -> Iterator[Interval[LinkFact]]:
    """Yields the intervals in which one link existed, oldest first."""
    link: Link | None = None

    def value_after(fact: LinkFact) -> Value:
        nonlocal link
        link = fact.apply(link)
        return True if link.live else None

    return _intervals(facts, value_after)


def _intervals(
    facts: Iterable[tuple[Position, _Fact]], value_after: Callable[[_Fact], Value]
) -> Iterator[Interval[_Fact]]:
    value: Value = None
    began: tuple[Position, _Fact] | None = None
    for position, fact in facts:
        new = value_after(fact)
        if new is value or same_value(new, value):
            continue
        if began is not None:
            assert not isinstance(fact, _SNAPSHOTS), "a snapshot is the first of the facts"
            yield Interval(value, *began, until=(position, cast(AnyChange, fact)))
        value, began = new, None if new is None else (position, fact)
    if began is not None:
        yield Interval(value, *began)
