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
    """How many resources and links a synchronization changes, and how many were held before."""

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
    """A count that has limits.

    :param count: its field in `Extent`; `held` is the field with the number held before.
    :param change: the word for it in the names of limits.
    :param is_addition: whether it counts what was not held before: such limits do not apply where nothing was held.
    """

    count: str
    held: str
    change: str
    noun: str
    done: str
    is_addition: bool = False

    @property
    def absolute(self) -> str:
        """The name of the limit for the count, in `Thresholds`."""
        return f"maximum_{self._link}{self.change.lower()}_lines"

    @property
    def percentage(self) -> str:
        """The name of the limit for the percentage, in `Thresholds`."""
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
"""In the order in which they are checked; for each, the limit of the count before the percentage."""


@frozen(kw_only=True)
class Breach:
    """A limit that is exceeded, and by how much.

    :param owner: what the limit belongs to, for messages.
    :param of: the entity type or association that is counted; empty for a connector, which may have many.
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
        """Whether the limit is a percentage of what was held before."""
        return "percentage" in self.limit

    def __str__(self) -> str:
        """Returns a clause without a full stop."""
        unit = " %" if self.is_percentage else ""
        where = f" ({evolve(self.location, column=None)})" if self.location else ""
        limit = f"{self._name} of {self.owner}{where} allows {self.allowed}{unit}"
        return f"{self._what} would be {self.counter.done}; {limit}"

    @property
    def _what(self) -> str:
        of = f" of {self.of}" if self.of else ""
        if self.is_percentage and not self.counter.is_addition:
            return f"{self.count:,} of the {self.held:,} {self.counter.noun}{of}"
        before = f" ({self.held:,} held before)" if self.is_percentage else ""
        return f"{how_many(self.count, self.counter.noun.removesuffix('s'))}{of}{before}"

    @property
    def _name(self) -> str:
        """The name of the limit in a configuration."""
        return "".join(word.capitalize() for word in self.limit.split("_"))


@frozen(kw_only=True)
class _Subject:
    """What has limits, and the changes that they apply to."""

    owner: str
    of: str
    limits: Thresholds
    extent: Extent
    location: Location | None

    def breaches(self) -> Iterator[Breach]:
        for counter in COUNTERS:
            count, before = getattr(self.extent, counter.count), getattr(self.extent, counter.held)
            for limit in (counter.absolute, counter.percentage):
                if _is_exceeded(getattr(self.limits, limit), count, before, counter, limit):
                    yield Breach(
                        owner=self.owner,
                        of=self.of,
                        limit=limit,
                        allowed=getattr(self.limits, limit),
                        count=count,
                        held=before,
                        counter=counter,
                        location=self.location,
                    )


def _is_exceeded(allowed: int, count: int, before: int, counter: _Counter, limit: str) -> bool:
    if not allowed or (not before and counter.is_addition):
        return False
    if limit == counter.absolute:
        return count > allowed
    return before > 0 and count * 100 > allowed * before


def limits_met_by_one_change(limits: Thresholds, held: int) -> list[str]:
    """The percentages, by their names in a configuration, that one change among so many resources exceeds."""
    names = [counter.percentage for counter in COUNTERS if counter.noun == "resources"]
    met = [name for name in names if 0 < getattr(limits, name) * held < 100]
    return ["".join(word.capitalize() for word in name.split("_")) for name in met]


Changed = Sequence[tuple[EntityTypeMapping, Extent]]
ChangedLinks = Sequence[tuple[EntityAssociationMapping, Extent]]


def exceeded(
    connector: Connector, resources: Changed, links: ChangedLinks, other_links: Extent | None = None
) -> Breach | None:
    """Returns the first limit that a synchronization exceeds, or None.

    A limit is exceeded if the count is greater; 0 switches a limit off. The entity type mappings are checked in the
    order of the configuration, then the association mappings, then the connector with the sums of both. Limits of
    created resources do not apply where no resource was held before, nor limits of added links where no link was.

    :param other_links: links of other connectors' associations that are removed with deleted resources or added with
        created ones; they count for the connector.
    """
    return next(
        (breach for subject in _subjects(connector, resources, links, other_links) for breach in subject.breaches()),
        None,
    )


def counts_needed(
    connector: Connector, resources: Changed, links: ChangedLinks, other_links: Extent | None = None
) -> tuple[int, int]:
    """Returns how far resources and links held before must be counted to check the limits.

    Whether there are more makes no difference; 0 if none must be counted.
    """
    needed = {"held": 0, "links_held": 0}
    for subject in _subjects(connector, resources, links, other_links):
        for counter in COUNTERS:
            needed[counter.held] = max(needed[counter.held], _needed(subject, counter))
    return needed["held"], needed["links_held"]


def _needed(subject: _Subject, counter: _Counter) -> int:
    count = getattr(subject.extent, counter.count)
    absolute, percentage = getattr(subject.limits, counter.absolute), getattr(subject.limits, counter.percentage)
    if percentage and count:
        return int(count * 100 // percentage + 1)
    return int(counter.is_addition and bool(absolute) and count > absolute)


def _subjects(
    connector: Connector, resources: Changed, links: ChangedLinks, other_links: Extent | None
) -> Iterator[_Subject]:
    for kind, mappings in (("entity type", resources), ("association", links)):
        yield from _mapping_subjects(kind, mappings)
    extents = [extent for _, extent in (*resources, *links)]
    yield _Subject(
        owner=f"the connector {connector.identifier}",
        of="",
        limits=connector.thresholds,
        extent=sum(extents, other_links or Extent()),
        location=connector.location,
    )


def _mapping_subjects(
    kind: str, mappings: Iterable[tuple[EntityTypeMapping | EntityAssociationMapping, Extent]]
) -> Iterator[_Subject]:
    for mapping, extent in mappings:
        yield _Subject(
            owner=f"the {kind} mapping {mapping.identifier}",
            of=mapping.identifier,
            limits=mapping.thresholds,
            extent=extent,
            location=mapping.location,
        )
