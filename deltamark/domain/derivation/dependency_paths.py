"""Dependency paths: what a derived value reads, and the links that lead to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

LONGEST_PATH = 8
"""The most links in one path."""


class ExpressionRefused(ValueError):
    """An expression that does not parse, is not allowed, or names what does not exist.

    The message is a clause that follows its subject.

    :param unknown: the name that does not exist, if that is the reason.
    """

    def __init__(self, reason: str, *, unknown: str | None = None) -> None:
        self.unknown = unknown
        super().__init__(reason)

    @property
    def problems(self) -> tuple[ExpressionRefused, ...]:
        """Every reason, each by itself."""
        return (self,)


def refusal(problems: Iterable[ExpressionRefused]) -> ExpressionRefused | None:
    """One refusal for all of these problems, each once, or None if there are none."""
    distinct = tuple({str(part): part for problem in problems for part in problem.problems}.values())
    if not distinct:
        return None
    return distinct[0] if len(distinct) == 1 else SeveralProblems(distinct)


class SeveralProblems(ExpressionRefused):
    """An expression with more than one fault.

    :param problems: two or more.
    """

    def __init__(self, problems: Iterable[ExpressionRefused]) -> None:
        self._problems = tuple(problems)
        super().__init__("; it also ".join(str(problem) for problem in self._problems))

    @property
    def problems(self) -> tuple[ExpressionRefused, ...]:
        return self._problems


class WrongPart(ExpressionRefused):
    """A part that is wrong whatever the parts beside it are.

    An example is an argument of a type that the function does not take.
    """


class WrongCall(WrongPart):
    """A call that is wrong whatever its arguments are.

    The function does not exist, or takes another number of them.
    """


class NoSuchPath(ExpressionRefused):
    """A path that leads nowhere.

    The message is a clause that says why.
    """


@frozen(order=True)
class Read:
    """A property that an expression reads, of the resource itself or of those on a path."""

    path: tuple[str, ...]
    property: str

    def __str__(self) -> str:
        return ".".join((*self.path, self.property))


@frozen(order=True)
class Hop:
    """One step of a path over the links of an association, forward or back.

    `forward` is from source to target.
    """

    association: str
    forward: bool


@frozen
class Route:
    """A path of navigation properties with its links and the entity type to which it leads.

    :param is_collection: whether it may lead to more than one resource.
    """

    entity_type: str
    path: tuple[str, ...] = ()
    hops: tuple[Hop, ...] = ()
    leads_to: str = ""
    is_collection: bool = False


@frozen(order=True)
class Dependency:
    """What derived values of an entity type depend on.

    With a `property`, on that property of the resources to which the hops lead; without hops, of the resource itself.
    Without a `property`, on which resources the last hop leads to; without hops, on the existence of the resource.

    :param path: the hops as users write them; only for messages.
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

    :raises NoSuchPath: if one of its names is no navigation property where it stands.
    """
    hops: list[Hop] = []
    names = tuple(path)
    if len(names) > LONGEST_PATH:
        raise NoSuchPath(f"goes over {len(names)} links; a path goes over {LONGEST_PATH} at most")
    leads_to, is_collection = entity_type, False
    for name in names:
        navigations = dict(_navigations(configuration, leads_to))
        if name not in navigations:
            raise NoSuchPath(
                f"leads over {shown(name)}, which is no navigation property of "
                f"{leads_to}{hint(name, list(navigations))}",
                unknown=name,
            )
        hop, leads_to, many = navigations[name]
        hops.append(hop)
        is_collection = is_collection or many
    return Route(entity_type, names, tuple(hops), leads_to, is_collection)


def _navigations(configuration: Configuration, entity_type: str) -> Iterator[tuple[str, tuple[Hop, str, bool]]]:
    """The navigation properties of an entity type.

    Each has its hop, where it leads, and whether to more than one resource.
    """
    for association in configuration.associations_at(entity_type):
        source, target = association.property1, association.property2
        if source.entity_type == entity_type:
            hop = Hop(association.identifier, forward=True)
            yield source.property, (hop, target.entity_type, association.is_property1_collection)
        if target.entity_type == entity_type:
            hop = Hop(association.identifier, forward=False)
            yield target.property, (hop, source.entity_type, association.is_property2_collection)


def dependencies(configuration: Configuration, entity_type: str, reads: Iterable[Read]) -> tuple[Dependency, ...]:
    """The dependencies of values of an entity type that read this, each once.

    The existence of the resource, each property read, and the links of every hop on the way to it.

    :raises NoSuchPath: if a path leads nowhere.
    """
    distinct = {Dependency(entity_type, (), (), None, entity_type): None}
    for read in reads:
        whole = route(configuration, entity_type, read.path)
        for length in range(1, len(read.path) + 1):
            part = route(configuration, entity_type, read.path[:length])
            distinct[Dependency(entity_type, part.hops, part.path, None, part.leads_to)] = None
        distinct[Dependency(entity_type, whole.hops, whole.path, read.property, whole.leads_to)] = None
    return tuple(distinct)
