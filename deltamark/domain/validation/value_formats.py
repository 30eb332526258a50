"""Faults of what mappings say about how values are written."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.domain.configuration.entity_model import EntityType, EntityTypeMapping, PropertyMapping
from deltamark.domain.configuration.value_formats import format_problem, option_problems
from deltamark.domain.errors import Fault
from deltamark.domain.values import DATES, PropertyType, shown


def value_format_faults(mapping: EntityTypeMapping, entity_type: EntityType | None) -> Iterator[Fault]:
    """The options of columns that contradict each other, or have no effect on the type of their property."""
    for item in mapping.properties:
        declared = entity_type.property(item.identifier) if entity_type else None
        if declared is not None:
            for problem in option_problems(declared.type, item.value_format, item.comparison):
                where = f"mapping {shown(mapping.identifier)}, property {shown(item.identifier)}"
                yield Fault(item.location or mapping.location, f"{where}: {problem}")


def format_faults(mapping: EntityTypeMapping, entity_type: EntityType | None) -> Iterator[Fault]:
    """The `Format`s of dates with which no date can be read."""
    for item, kind in _formatted(mapping, entity_type):
        problem = format_problem(kind, item.format or "") if kind in DATES else None
        if problem is not None:
            advice = "" if "did you mean" in problem else "; write something like dd/MM/yyyy HH:mm:ss"
            yield _fault(mapping, item, problem + advice)


def format_warnings(mapping: EntityTypeMapping, entity_type: EntityType | None) -> Iterator[Fault]:
    """The `Format`s of properties whose type has none."""
    for item, kind in _formatted(mapping, entity_type):
        problem = format_problem(kind, item.format or "") if kind not in DATES else None
        if problem is not None:
            yield _fault(mapping, item, problem)


def _formatted(
    mapping: EntityTypeMapping, entity_type: EntityType | None
) -> Iterator[tuple[PropertyMapping, PropertyType]]:
    for item in mapping.properties:
        declared = entity_type.property(item.identifier) if entity_type else None
        if declared is not None and item.format is not None:
            yield item, declared.type


def _fault(mapping: EntityTypeMapping, item: PropertyMapping, problem: str) -> Fault:
    return Fault(
        item.location or mapping.location,
        f"Format {shown(item.format)} of property {shown(item.identifier)} in mapping {shown(mapping.identifier)} "
        f"{problem}",
    )
