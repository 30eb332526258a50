"""An organization for tests of flags: people, their managers and departments, and the sites of departments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import LinkEnds
from deltamark.domain.derivation.dependency_paths import Dependency, Hop

PERSON, DEPARTMENT, SITE = "Person", "Department", "Site"
TYPES = (PERSON, DEPARTMENT, SITE)

MANAGES = LinkEnds(association="Manages", source=PERSON, target=PERSON)
STAFF = LinkEnds(association="Staff", source=DEPARTMENT, target=PERSON)
SEAT = LinkEnds(association="Seat", source=DEPARTMENT, target=SITE)
ASSOCIATIONS = (MANAGES, STAFF, SEAT)


@frozen
class Navigation:
    """The target of a step of a path."""

    hop: Hop
    leads_to: str


NAVIGATIONS: Mapping[tuple[str, str], Navigation] = {
    (PERSON, "Reports"): Navigation(Hop("Manages", True), PERSON),
    (PERSON, "Manager"): Navigation(Hop("Manages", False), PERSON),
    (PERSON, "Department"): Navigation(Hop("Staff", False), DEPARTMENT),
    (DEPARTMENT, "Members"): Navigation(Hop("Staff", True), PERSON),
    (DEPARTMENT, "Site"): Navigation(Hop("Seat", True), SITE),
    (SITE, "Departments"): Navigation(Hop("Seat", False), DEPARTMENT),
}


def _way(entity_type: str, path: Iterable[str]) -> tuple[tuple[Hop, ...], str]:
    hops, at = [], entity_type
    for name in path:
        step = NAVIGATIONS[at, name]
        hops.append(step.hop)
        at = step.leads_to
    return tuple(hops), at


def existence(entity_type: str) -> Dependency:
    """A dependency on the existence of a resource."""
    return Dependency(entity_type, (), (), None, entity_type)


def value(entity_type: str, read: str) -> Dependency:
    """A dependency on a property, such as `Department.Name`."""
    *path, name = read.split(".")
    hops, leads_to = _way(entity_type, path)
    return Dependency(entity_type, hops, tuple(path), name, leads_to)


def links(entity_type: str, path: str) -> Dependency:
    """A dependency on the links at the end of a path, such as `Department.Site`."""
    hops, leads_to = _way(entity_type, path.split("."))
    return Dependency(entity_type, hops, tuple(path.split(".")), None, leads_to)


def needs(entity_type: str, read: str) -> tuple[Dependency, ...]:
    """All dependencies of a value that reads a property."""
    path = read.split(".")[:-1]
    steps = (".".join(path[:length]) for length in range(1, len(path) + 1))
    return existence(entity_type), *(links(entity_type, step) for step in steps), value(entity_type, read)


def flags(
    reading: Reading, *dependencies: Dependency, after: int = 0, beyond: int = 0
) -> dict[Dependency, dict[str, int]]:
    """The flags of some dependencies: for each, key -> first position."""
    table = reading.flagged(dependencies, after, beyond)
    names = {row["stream"]: row["key"] for row in reading.names(table.column("stream").combine_chunks()).to_pylist()}
    found: dict[Dependency, dict[str, int]] = {dependency: {} for dependency in dependencies}
    for row in table.to_pylist():
        assert names[row["stream"]] not in found[dependencies[row["dependency"]]]
        found[dependencies[row["dependency"]]][names[row["stream"]]] = row["since"]
    return found


def flagged(reading: Reading, *dependencies: Dependency, after: int = 0, beyond: int = 0) -> set[str]:
    """The keys of the resources with a flag for any of some dependencies."""
    found = flags(reading, *dependencies, after=after, beyond=beyond)
    return {key for keys in found.values() for key in keys}
