"""Faults of associations, mappings and correlation rules."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import fields

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    EntityAssociation,
    EntityAssociationMapping,
    EntityTypeMapping,
    PropertyRef,
    Thresholds,
)
from deltamark.domain.configuration.rules import ResourceCorrelationRule, rule_names
from deltamark.domain.configuration.text_files import text_file_problems
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.validation.references import Index
from deltamark.domain.validation.value_formats import format_faults, value_format_faults
from deltamark.domain.values import PropertyType, shown

MOST_UNIQUE_KEYS = 3
NAVIGATION_TYPES = (PropertyType.FOREIGN_KEY, PropertyType.INT64)


def mapping_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    """The faults of associations, mappings and correlation rules that could not be executed."""
    yield from _association_faults(configuration)
    for connector in configuration.connectors:
        where = f"connector {shown(connector.identifier)}"
        yield from _threshold_faults(connector.thresholds, where, connector.location)
    for mapping in configuration.entity_type_mappings:
        yield from _threshold_faults(mapping.thresholds, f"mapping {shown(mapping.identifier)}", mapping.location)
        yield from _key_faults(mapping)
        entity_type = configuration.entity_type(mapping.identifier)
        yield from value_format_faults(mapping, entity_type)
        yield from format_faults(mapping, entity_type)
        yield from _text_file_faults(mapping)
    associations = {item.identifier: item for item in configuration.associations}
    keys = _keys(configuration, index)
    for links in configuration.association_mappings:
        yield from _threshold_faults(links.thresholds, f"mapping {shown(links.identifier)}", links.location)
        yield from _end_faults(links, associations.get(links.identifier), index, keys)
        yield from _text_file_faults(links)
    yield from _tables_of_two_kinds(configuration)
    for name, rule in rule_names(configuration.correlation_rules):
        yield from _side_faults(name, rule)


def _threshold_faults(thresholds: Thresholds, where: str, location: Location | None) -> Iterator[Fault]:
    for item in fields(Thresholds):
        limit = getattr(thresholds, item.name)
        if limit < 0:
            yield Fault(location, f"{item.name} of {where} is {limit}; it must not be negative, and 0 switches it off")
        elif limit > 100 and "percentage" in item.name:
            yield Fault(location, f"{item.name} of {where} is {limit}; a percentage must not exceed 100")


def _text_file_faults(mapping: EntityTypeMapping | EntityAssociationMapping) -> Iterator[Fault]:
    for problem in text_file_problems(mapping):
        yield Fault(mapping.location, f"mapping {shown(mapping.identifier)}: {problem}")


def _tables_of_two_kinds(configuration: Configuration) -> Iterator[Fault]:
    """The faults of tables that one mapping reads as always complete and another does not."""
    first: dict[tuple[str, str], EntityTypeMapping | EntityAssociationMapping] = {}
    for mapping in configuration.mappings:
        other = first.setdefault((mapping.connector, mapping.connection_table), mapping)
        if mapping.always_complete is not other.always_complete:
            said, unsaid = (mapping, other) if mapping.always_complete else (other, mapping)
            yield Fault(
                mapping.location,
                f"mapping {shown(said.identifier)} says that the extract {shown(mapping.connection_table)} is always "
                f"complete (AlwaysComplete), and mapping {shown(unsaid.identifier)}, which reads it too, does not; say "
                "it in both or in none",
            )


def _association_faults(configuration: Configuration) -> Iterator[Fault]:
    declared = {
        (entity_type.identifier, item.identifier): item
        for entity_type in configuration.entity_types
        for item in entity_type.properties
    }
    navigations: dict[PropertyRef, EntityAssociation] = {}
    for association in configuration.associations:
        where = f"association {shown(association.identifier)}"
        for end in (association.property1, association.property2):
            item = declared.get((end.entity_type, end.property))
            if item is not None and item.type not in NAVIGATION_TYPES:
                yield Fault(
                    association.location,
                    f"{where} names {shown(end)}, which is declared as {item.type.label}; declare it as ForeignKey",
                )
            other = navigations.setdefault(end, association)
            if other is not association:
                yield Fault(
                    association.location,
                    f"{where} names {shown(end)}, which association {shown(other.identifier)} already uses; use "
                    "another property",
                )
        if association.property1 == association.property2:
            yield Fault(association.location, f"{where} names {shown(end)} for both directions; name two")


def _key_faults(mapping: EntityTypeMapping) -> Iterator[Fault]:
    where = f"mapping {shown(mapping.identifier)}"
    primary = [item for item in mapping.properties if item.is_primary_key]
    if not primary:
        yield Fault(mapping.location, f'{where} has no primary key; mark one property with IsPrimaryKey="true"')
    for item in primary[1:]:
        yield Fault(
            item.location or mapping.location,
            f"{where} has the primary keys {shown(primary[0].identifier)} and {shown(item.identifier)}; keep one",
        )
    unique = [item for item in mapping.properties if item.is_unique_key and not item.is_primary_key]
    for item in unique[MOST_UNIQUE_KEYS:]:
        yield Fault(
            item.location or mapping.location,
            f"{where} has more than three unique keys; remove IsUniqueKey from {shown(item.identifier)}",
        )
    mapped: set[str] = set()
    for item in mapping.properties:
        if item.identifier in mapped:
            yield Fault(
                item.location or mapping.location,
                f"{where} maps property {shown(item.identifier)} twice; keep one column for it",
            )
        mapped.add(item.identifier)


def _keys(configuration: Configuration, index: Index) -> set[PropertyRef]:
    """The properties that identify resources: mapped keys, or declared keys of unmapped types."""
    keys = {
        PropertyRef(mapping.identifier, item.identifier)
        for mapping in configuration.entity_type_mappings
        for item in mapping.properties
        if item.is_primary_key or item.is_unique_key
    }
    return keys | {
        PropertyRef(entity_type.identifier, item.identifier)
        for entity_type in configuration.entity_types
        if entity_type.identifier not in index.mappings
        for item in entity_type.properties
        if item.is_key
    }


def _end_faults(
    links: EntityAssociationMapping,
    association: EntityAssociation | None,
    index: Index,
    keys: set[PropertyRef],
) -> Iterator[Fault]:
    where = f"mapping {shown(links.identifier)}"
    ends = (
        ("EntityPropertyMapping1", links.entity_property_mapping1, association and association.property1),
        ("EntityPropertyMapping2", links.entity_property_mapping2, association and association.property2),
    )
    for attribute, end, navigation in ends:
        if end.property not in index.properties.get(end.entity_type, ()):
            continue
        if end not in keys:
            yield Fault(
                links.location,
                f"{where} finds resources by {shown(end)}, which is not a key: mark it with IsPrimaryKey or "
                f"IsUniqueKey in the mapping of {shown(end.entity_type)}",
            )
        if navigation and navigation.entity_type in index.properties and navigation.entity_type != end.entity_type:
            yield Fault(
                links.location,
                f"{where} names {shown(end)} in {attribute}, but that end of the association belongs to "
                f"{shown(navigation.entity_type)}; name a key of that type",
            )


def _side_faults(name: str, rule: ResourceCorrelationRule) -> Iterator[Fault]:
    sides = (
        ("source", "Source", rule.source_binding, rule.source_expression),
        ("target", "Target", rule.target_binding, rule.target_expression),
    )
    for side, prefix, binding, expression in sides:
        if not binding and not expression:
            yield Fault(
                rule.location,
                f"correlation rule {shown(name)} has no {side}; give {prefix}Binding or {prefix}Expression",
            )
