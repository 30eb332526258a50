"""Thresholds: how much a synchronization may change before a person must look at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve, fields, frozen

from deltamark.domain.configuration.entity_model import (
    Connector,
    EntityAssociationMapping,
    EntityTypeMapping,
    Thresholds,
)
from deltamark.domain.location import Location
from deltamark.domain.messages import how_many


@frozen(kw_only=True)
class Extent:
    """How many resources and links are changed, and how many of either were held before."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    held: int = 0
    linked: int = 0
    unlinked: int = 0
    links_held: int = 0

    def __add__(self, other: Extent) -> Extent:
        return Extent(**{a.name: getattr(self, a.name) + getattr(other, a.name) for a in fields(Extent)})


@frozen
class _Counter:
    """One of the counts that limits are about.

    :param change: as the names of limits have it.
    :param is_addition: of what was not held before: it stops nobody who held nothing yet.
    """

    count: str
    held: str
    change: str
    noun: str
    done: str
    is_addition: bool = False

    @property
    def absolute(self) -> str:
        """The limit of the count, in `Thresholds`."""
        return f"maximum_{self._link}{self.change.lower()}_lines"

    @property
    def percentage(self) -> str:
        """The limit of the share of what was held, in `Thresholds`."""
        return f"max_{self._link}percentage_{self.change.lower()}_lines"

    @property
    def _link(self) -> str:
        return "link_" if self.noun == "links" else ""


COUNTERS = (
    _Counter("inserted", "held", "Inserted", "resources", "created", is_addition=True),
    _Counter("updated", "held", "Updated", "resources", "updated"),
    _Counter("deleted", "held", "Deleted", "resources", "deleted"),
    _Counter("linked", "links_held", "Inserted", "links", "added", is_addition=True),
    _Counter("unlinked", "links_held", "Deleted", "links", "removed"),
)
"""In the order in which they are judged, the limit of the count before that of the share."""


@frozen(kw_only=True)
class Breach:
    """A limit that is exceeded: whose it is, and by how much.

    :param owner: of the limit, as a message calls it.
    :param of: what the resources or links are of; empty for a connector, which may have many.
    :param limit: the name of the limit in `Thresholds`.
    """

    owner: str
    of: str
    limit: str
    allowed: int
    count: int
    held: int
    counter: _Counter
    location: Location | None

    @property
    def is_percentage(self) -> bool:
        """Whether the limit is one of the share of what was held before."""
        return "percentage" in self.limit

    def __str__(self) -> str:
        """A clause without a full stop."""
        unit = " %" if self.is_percentage else ""
        where = f" ({evolve(self.location, column=None)})" if self.location else ""
        limit = f"{self._name} of {self.owner}{where} allows {self.allowed}{unit}"
        return f"{self._what} would be {self.counter.done}; {limit}"

    @property
    def _what(self) -> str:
        of = f" of {self.of}" if self.of else ""
        if self.is_percentage and not self.counter.is_addition:
            return f"{self.count:,} of the {self.held:,} {self.counter.noun}{of}"
        beside = f" beside the {self.held:,} held before" if self.is_percentage else ""
        return f"{how_many(self.count, self.counter.noun.removesuffix('s'))}{of}{beside}"

    @property
    def _name(self) -> str:
        """As the configuration writes it."""
        return "".join(word.capitalize() for word in self.limit.split("_"))


@frozen(kw_only=True)
class _Subject:
    """Whose limits are judged."""

    owner: str
    of: str
    limits: Thresholds
    extent: Extent
    location: Location | None

    def breaches(self) -> Iterator[Breach]:
        for counter in COUNTERS:
            count, held = getattr(self.extent, counter.count), getattr(self.extent, counter.held)
            for limit in (counter.absolute, counter.percentage):
                if _is_exceeded(getattr(self.limits, limit), count, held, counter, limit):
                    yield Breach(
                        owner=self.owner,
                        of=self.of,
                        limit=limit,
                        allowed=getattr(self.limits, limit),
                        count=count,
                        held=held,
                        counter=counter,
                        location=self.location,
                    )


def _is_exceeded(allowed: int, count: int, held: int, counter: _Counter, limit: str) -> bool:
    if not allowed or (not held and counter.is_addition):
        return False
    if limit == counter.absolute:
        return count > allowed
    return held > 0 and count * 100 > allowed * held


Changed = Sequence[tuple[EntityTypeMapping, Extent]]
ChangedLinks = Sequence[tuple[EntityAssociationMapping, Extent]]


def exceeded(
    connector: Connector, resources: Changed, links: ChangedLinks, beside: Extent | None = None
) -> Breach | None:
    """The first limit that a synchronization passes, or None.

    A count is too much where it is greater than its limit; 0 switches a limit off. Looked at are the entity type
    mappings in the order of the configuration, then the association mappings, then the connector with the sums over
    both. Who held no resource yet is not stopped by created ones, nor by added links who held no link.

    :param beside: links of other connectors' associations that go with deleted resources or come with created ones;
        they count for the connector.
    """
    return next(
        (breach for subject in _subjects(connector, resources, links, beside) for breach in subject.breaches()), None
    )


def enough(
    connector: Connector, resources: Changed, links: ChangedLinks, beside: Extent | None = None
) -> tuple[int, int]:
    """How many resources and how many links held before tell whether any limit is passed: whether there are more
    makes no difference. 0 where nothing needs to be known.
    """
    needed = {"held": 0, "links_held": 0}
    for subject in _subjects(connector, resources, links, beside):
        for counter in COUNTERS:
            needed[counter.held] = max(needed[counter.held], _needed(subject, counter))
    return needed["held"], needed["links_held"]


def _needed(subject: _Subject, counter: _Counter) -> int:
    count = getattr(subject.extent, counter.count)
    absolute, share = getattr(subject.limits, counter.absolute), getattr(subject.limits, counter.percentage)
    if share and count:
        return int(count * 100 // share + 1)
    return int(counter.is_addition and bool(absolute) and count > absolute)


def _subjects(
    connector: Connector, resources: Changed, links: ChangedLinks, beside: Extent | None
) -> Iterator[_Subject]:
    for kind, found in (("entity type", resources), ("association", links)):
        yield from _of_mappings(kind, found)
    extents = [extent for _, extent in (*resources, *links)]
    yield _Subject(
        owner=f"the connector {connector.identifier}",
        of="",
        limits=connector.thresholds,
        extent=sum(extents, beside or Extent()),
        location=connector.location,
    )


def _of_mappings(
    kind: str, found: Iterable[tuple[EntityTypeMapping | EntityAssociationMapping, Extent]]
) -> Iterator[_Subject]:
    for mapping, extent in found:
        yield _Subject(
            owner=f"the {kind} mapping {mapping.identifier}",
            of=mapping.identifier,
            limits=mapping.thresholds,
            extent=extent,
            location=mapping.location,
        )
