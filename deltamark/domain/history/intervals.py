"""Who had what, and from which change until which other one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from attrs import field, frozen

from deltamark.domain.history.changes import AnyChange, LoggedChange, Position
from deltamark.domain.history.diff import same
from deltamark.domain.resources.events import Event
from deltamark.domain.resources.link import Link, LinkEvent, LinkFact, LinkRef
from deltamark.domain.resources.resource import Resource, ResourceEvent, ResourceFact, ResourceRef
from deltamark.domain.values import Value


@frozen(kw_only=True)
class HeldValue:
    """A resource had a value of a property, from one change to another.

    :param since: the change that gave it the value; None if that was discarded.
    :param until: the change that took the value away or gave another one; None while it has it.
    """

    ref: ResourceRef
    property: str
    value: Value
    since: LoggedChange | None
    until: LoggedChange | None


@frozen(kw_only=True)
class HeldLink:
    """A link stood, from one change to another.

    :param since: the change that linked the two; None if that was discarded.
    :param until: the change that unlinked them; None while they are linked.
    """

    ref: LinkRef
    since: LoggedChange | None
    until: LoggedChange | None


Logged = tuple[Position, AnyChange]
_Fact = TypeVar("_Fact", bound=Event)


@frozen
class Interval(Generic[_Fact]):
    """The time for which something had one value.

    :param begins: the position of the fact that it began with.
    :param until: the change that ended it; None if none did.
    """

    value: Value
    begins: Position
    beginning: _Fact
    until: Logged | None = field(default=None)

    def overlaps(self, first: Position, last: Position) -> bool:
        """Whether it had the value at `first`, at `last`, or at any moment between them."""
        return self.begins <= last and (self.until is None or self.until[0] > first)

    @property
    def since(self) -> Logged | None:
        """The change that it began with; None where a snapshot took the place of that."""
        began = self.beginning
        return (self.begins, began) if isinstance(began, ResourceEvent | LinkEvent) else None


def values_held(facts: Iterable[tuple[Position, ResourceFact]], name: str) -> Iterator[Interval[ResourceFact]]:
    """The values that one resource had of a property, oldest first; while it had none, there is no interval."""
    resource: Resource | None = None

    def value_after(fact: ResourceFact) -> Value:
        nonlocal resource
        resource = fact.apply(resource)
        return resource.values.get(name) if resource.live else None

    return _intervals(facts, value_after)


def links_held(facts: Iterable[tuple[Position, LinkFact]]) -> Iterator[Interval[LinkFact]]:
    """The times for which one link stood, oldest first."""
    standing: Link | None = None

    def value_after(fact: LinkFact) -> Value:
        nonlocal standing
        standing = fact.apply(standing)
        return True if standing.live else None

    return _intervals(facts, value_after)


def _intervals(
    facts: Iterable[tuple[Position, _Fact]], value_after: Callable[[_Fact], Value]
) -> Iterator[Interval[_Fact]]:
    value: Value = None
    began: tuple[Position, _Fact] | None = None
    for position, fact in facts:
        new = value_after(fact)
        if same(new, value):
            continue
        if began is not None:
            assert isinstance(fact, ResourceEvent | LinkEvent), "a snapshot is the first of the facts"
            yield Interval(value, *began, until=(position, fact))
        value, began = new, None if new is None else (position, fact)
    if began is not None:
        yield Interval(value, *began)
