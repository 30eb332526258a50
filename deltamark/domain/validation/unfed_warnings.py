"""Warnings about what nothing feeds, and about expressions and rules that read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
)
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.derivation.unfed_inputs import UnfedInput, computed_properties, unfed_inputs
from deltamark.domain.errors import Fault
from deltamark.domain.values import shown

Frozen: TypeAlias = Mapping[UnfedInput, str]
"""What nothing feeds and stays as it is on purpose, with since when and why."""

NOTHING_FROZEN: Frozen = MappingProxyType({})


def unfed_warnings(configuration: Configuration, plan: Plan, frozen: Frozen = NOTHING_FROZEN) -> Iterator[Fault]:
    """The entity types and associations that nothing feeds, and the derivations that read them.

    None where nothing is mapped: a configuration may only be about a part.

    :param frozen: what stays as it is on purpose: nothing warns of it.
    """
    if not configuration.entity_type_mappings:
        return
    model = configuration
    types = [item for item in model.entity_types if UnfedInput(entity_type=item.identifier) not in frozen]
    associations = [item for item in model.associations if UnfedInput(association=item.identifier) not in frozen]
    yield from _unfilled("entity type", "EntityTypeMapping", types, model.entity_type_mappings)
    yield from _unfilled("association", "EntityAssociationMapping", associations, model.association_mappings)
    yield from _never_synchronized(configuration, frozen)
    yield from _unfed_inputs(configuration, plan, frozen)


def frozen_notices(configuration: Configuration, frozen: Frozen) -> Iterator[Fault]:
    """What nothing feeds and is frozen, with since when and why."""
    for item in configuration.entity_types:
        words = frozen.get(UnfedInput(entity_type=item.identifier))
        if words is not None and item.identifier not in configuration.fed_entity_types:
            yield Fault(item.location, f"entity type {shown(item.identifier)} is {words}")
    for association in configuration.associations:
        words = frozen.get(UnfedInput(association=association.identifier))
        if words is not None and association.identifier not in configuration.fed_associations:
            yield Fault(association.location, f"association {shown(association.identifier)} is {words}")


def _unfilled(
    what: str,
    element: str,
    declared: Iterable[EntityType | EntityAssociation],
    mappings: Iterable[EntityTypeMapping | EntityAssociationMapping],
) -> Iterator[Fault]:
    filled = {mapping.identifier for mapping in mappings}
    for item in declared:
        if item.identifier not in filled:
            yield Fault(
                item.location,
                f"no {element} fills the {what} {shown(item.identifier)}: it stays empty, or what a store holds of it "
                f"stays as it is; add a mapping, or drop the {what}",
            )


def _never_synchronized(configuration: Configuration, frozen: Frozen) -> Iterator[Fault]:
    for connector in configuration.connectors:
        types, associations = configuration.mappings_of_connector(connector.identifier)
        mapped = {
            *(UnfedInput(entity_type=mapping.entity_type) for mapping in types),
            *(UnfedInput(association=mapping.association) for mapping in associations),
        }
        if mapped - frozen.keys() and connector.identifier not in configuration.synchronized_connectors:
            yield Fault(
                connector.location,
                f"no job synchronizes connector {shown(connector.identifier)}: what its mappings fill stays empty, or "
                "what a store holds of it stays as it is; let a job call a SynchronizeTask of it, or drop its mappings",
            )


def _unfed_inputs(configuration: Configuration, plan: Plan, frozen: Frozen) -> Iterator[Fault]:
    computed = computed_properties(configuration)
    for planned in plan.derived:
        unfed = [item for item in unfed_inputs(configuration, planned, computed) if item not in frozen]
        if unfed:
            derivation = planned.derivation
            yield Fault(
                derivation.location,
                f"{derivation.described.removesuffix(',')} reads {_listed(unfed)}, which nothing feeds: its value "
                "changes no more, or is never there; feed it, or read something else",
            )


def _listed(unfed: list[UnfedInput]) -> str:
    return " and ".join(item.subject for item in unfed)
