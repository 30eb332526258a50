"""Faults of what mappings say about how values are written."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.domain.configuration.entity_model import EntityType, EntityTypeMapping
from deltamark.domain.configuration.value_formats import option_problems
from deltamark.domain.errors import Fault
from deltamark.domain.values import shown


def value_format_faults(mapping: EntityTypeMapping, entity_type: EntityType | None) -> Iterator[Fault]:
    """The options of columns that contradict each other, or have no effect on the type of their property."""
    for item in mapping.properties:
        declared = entity_type.property(item.identifier) if entity_type else None
        if declared is not None:
            for problem in option_problems(declared.type, item.value_format, item.comparison):
                where = f"mapping {shown(mapping.identifier)}, property {shown(item.identifier)}"
                yield Fault(item.location or mapping.location, f"{where}: {problem}")
