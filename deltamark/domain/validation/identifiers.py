"""Faults of identifiers: malformed, or used twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityType, EntityTypeMapping
from deltamark.domain.configuration.names import (
    entity_type_problem,
    identifier_problem,
    normalized,
    property_problem,
    table_problem,
)
from deltamark.domain.configuration.rules import rule_names
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.values import shown

_Problem: TypeAlias = Callable[[str], str | None]


class _Identified(Protocol):
    @property
    def identifier(self) -> str: ...
    @property
    def location(self) -> Location | None: ...


def identifier_faults(configuration: Configuration, *, names_are_checked: bool = False) -> Iterator[Fault]:
    """The faults of names that cannot be used, or are used twice for things of the same kind.

    :param names_are_checked: whether it is known already which names cannot be used.
    """
    for kind, items, problem_of in _kinds(configuration):
        items = list(items)
        if not names_are_checked:
            yield from _malformed(kind, items, problem_of)
        yield from _repeated(kind, ((item.identifier, item.location) for item in items))
    for entity_type in configuration.entity_types:
        yield from _property_faults(entity_type, names_are_checked=names_are_checked)
    yield from _repeated(
        "correlation rule",
        ((name, rule.location) for name, rule in rule_names(configuration.correlation_rules)),
    )
    yield from _repeated(
        "classification rule",
        ((name, rule.location) for name, rule in rule_names(configuration.classification_rules)),
    )
    if not names_are_checked:
        for mapping in configuration.entity_type_mappings:
            yield from _table_faults(mapping)
        for links in configuration.association_mappings:
            yield from _table_faults(links)


def _table_faults(mapping: EntityTypeMapping | EntityAssociationMapping) -> Iterator[Fault]:
    problem = table_problem(mapping.connection_table)
    if problem is not None:
        yield Fault(mapping.location, f"connection table {shown(mapping.connection_table)} {problem}")


def _kinds(configuration: Configuration) -> Iterator[tuple[str, Iterable[_Identified], _Problem]]:
    yield "agent", configuration.agents, identifier_problem
    yield "policy", configuration.policies, identifier_problem
    yield "connector", configuration.connectors, identifier_problem
    yield "connection", configuration.connections, identifier_problem
    yield "entity type", configuration.entity_types, entity_type_problem
    yield "association", configuration.associations, identifier_problem
    yield "mapping of entity type", configuration.entity_type_mappings, _no_problem
    yield "mapping of association", configuration.association_mappings, _no_problem
    yield "property expression", configuration.property_expressions, identifier_problem
    yield "resource type", configuration.resource_types, identifier_problem
    yield "task", configuration.all_tasks(), identifier_problem
    yield "job", configuration.jobs, identifier_problem


def _no_problem(name: str) -> None:
    """Accepts any name: a mapping has the name of what it maps, which is checked itself."""


def _malformed(kind: str, items: Iterable[_Identified], problem_of: _Problem) -> Iterator[Fault]:
    for item in items:
        problem = problem_of(item.identifier)
        if problem is not None:
            yield Fault(item.location, f"{kind} {shown(item.identifier)} {problem}")


def _property_faults(entity_type: EntityType, *, names_are_checked: bool) -> Iterator[Fault]:
    of_type = f"of entity type {shown(entity_type.identifier)}"
    first: dict[str, str] = {}
    for item in entity_type.properties:
        problem = None if names_are_checked else property_problem(item.identifier)
        if problem is not None:
            yield Fault(item.location, f"property {shown(item.identifier)} {of_type} {problem}")
        other = first.setdefault(item.identifier.casefold(), item.identifier)
        if other != item.identifier:
            yield Fault(
                item.location,
                f"property {shown(item.identifier)} {of_type} differs from {shown(other)} in letter case only, "
                "which expressions do not distinguish; rename one",
            )
    yield from _repeated("property", ((item.identifier, item.location) for item in entity_type.properties), of_type)


def _repeated(kind: str, names: Iterable[tuple[str, Location | None]], where: str | None = None) -> Iterator[Fault]:
    first: dict[str, Location | None] = {}
    for name, location in names:
        key = normalized(name)
        if key not in first:
            first[key] = location
            continue
        first_at = f"; the first is at {first[key]}" if first[key] else ""
        of_type = f" {where}" if where else ""
        yield Fault(location, f"{kind} {shown(name)}{of_type} is configured twice{first_at}; rename or remove one")
