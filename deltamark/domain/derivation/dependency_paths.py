"""Dependency paths: what a derived value reads, and over which links it gets there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

LONGEST_PATH = 8
"""Links that one path may go over."""


class ExpressionRefused(ValueError):
    """An expression that does not parse, holds what is not allowed, or names what does not exist; the message is a
    clause that follows its subject.
    """


class NoSuchPath(ExpressionRefused):
    """A path that leads nowhere; the message is a clause that says why."""


@frozen(order=True)
class Read:
    """A property that an expression reads: of the resource itself, or of those that a path leads to."""

    path: tuple[str, ...]
    property: str

    def __str__(self) -> str:
        return ".".join((*self.path, self.property))


@frozen(order=True)
class Hop:
    """One step of a path: over the links of an association, from source to target (`forward`) or back."""

    association: str
    forward: bool


@frozen
class Route:
    """A path of navigation properties, resolved: the links it goes over and where it leads.

    `is_collection`: whether it may lead to more than one resource.
    """

    entity_type: str
    path: tuple[str, ...] = ()
    hops: tuple[Hop, ...] = ()
    leads_to: str = ""
    is_collection: bool = False


@frozen(order=True)
class Dependency:
    """Something that derived values of an entity type depend on.

    With a `property`: that property of the resources which the hops lead to (of the resource itself, without hops).
    Without one: which resources the last hop leads to; without hops, that the resource itself exists.

    :param path: the hops as users write them; for messages alone.
    """

    entity_type: str
    hops: tuple[Hop, ...]
    path: tuple[str, ...]
    property: str | None
    leads_to: str

    def __str__(self) -> str:
        return ".".join((*self.path, *([self.property] if self.property else [])))


def route(configuration: Configuration, entity_type: str, path: Iterable[str]) -> Route:
    """Resolves a path of navigation properties that starts at an entity type.

    :raises NoSuchPath: if one of them is no navigation property of the type that it stands at.
    """
    hops: list[Hop] = []
    names = tuple(path)
    if len(names) > LONGEST_PATH:
        raise NoSuchPath(f"goes over {len(names)} links; a path goes over {LONGEST_PATH} at most")
    at, is_collection = entity_type, False
    for name in names:
        navigations = dict(_navigations(configuration, at))
        if name not in navigations:
            raise NoSuchPath(
                f"leads over {shown(name)}, which is no navigation property of {at}{hint(name, list(navigations))}"
            )
        hop, at, many = navigations[name]
        hops.append(hop)
        is_collection = is_collection or many
    return Route(entity_type, names, tuple(hops), at, is_collection)


def _navigations(configuration: Configuration, entity_type: str) -> Iterator[tuple[str, tuple[Hop, str, bool]]]:
    """The navigation properties of an entity type: the step, where it leads, whether to more than one."""
    for association in configuration.associations_at(entity_type):
        one, other = association.property1, association.property2
        if one.entity_type == entity_type:
            hop = Hop(association.identifier, forward=True)
            yield one.property, (hop, other.entity_type, association.is_property1_collection)
        if other.entity_type == entity_type:
            hop = Hop(association.identifier, forward=False)
            yield other.property, (hop, one.entity_type, association.is_property2_collection)


def dependencies(configuration: Configuration, entity_type: str, reads: Iterable[Read]) -> tuple[Dependency, ...]:
    """What values depend on that read this of an entity type: that the resource exists, each property read, and
    the links of every step on the way to it.

    :raises NoSuchPath: if a path leads nowhere.
    """
    found = {Dependency(entity_type, (), (), None, entity_type): None}
    for read in reads:
        whole = route(configuration, entity_type, read.path)
        for length in range(1, len(read.path) + 1):
            part = route(configuration, entity_type, read.path[:length])
            found[Dependency(entity_type, part.hops, part.path, None, part.leads_to)] = None
        found[Dependency(entity_type, whole.hops, whole.path, read.property, whole.leads_to)] = None
    return tuple(found)
