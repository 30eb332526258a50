"""What derived values read although nothing feeds it: such values never change again, or are never there."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import PropertyRef
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import derivations
from deltamark.domain.derivation.plan import Plan, Planned


@frozen(kw_only=True)
class UnfedInput:
    """Something that a derivation reads and that nothing feeds.

    :param entity_type: the entity type without a source, or that of the property; None for an association.
    :param property_name: a property that no mapping and no rule fills, of an entity type that is fed; None where
        nothing feeds the whole entity type or association.
    """

    entity_type: str | None = None
    association: str | None = None
    property_name: str | None = None

    @property
    def subject(self) -> str:
        """What nothing feeds, such as `entity type Badge` or `Person:Phone`."""
        if self.property_name is not None:
            return f"{self.entity_type}:{self.property_name}"
        return f"entity type {self.entity_type}" if self.entity_type is not None else f"association {self.association}"


def unfed_inputs(configuration: Configuration, planned: Planned, computed: Collection[PropertyRef]) -> list[UnfedInput]:
    """Returns what a derivation reads and nothing feeds, each once.

    :param computed: the computed properties of the configuration; see `computed_properties`.
    """
    return list(dict.fromkeys(_unfed_inputs(configuration, planned, computed)))


def computed_properties(configuration: Configuration) -> frozenset[PropertyRef]:
    """Returns the properties that are computed, by expressions or functions."""
    return frozenset(
        PropertyRef(item.entity_type, item.name)
        for item in derivations(configuration)
        if item.kind is DerivationKind.PROPERTY
    )


def readers(configuration: Configuration, plan: Plan, subject: UnfedInput) -> tuple[str, ...]:
    """Returns the derivations that read an entity type or association as a whole, as subjects of a sentence."""
    return tuple(
        dict.fromkeys(
            planned.derivation.described
            for planned in plan.derived
            if subject in _unfed_inputs(configuration, planned, frozenset())
        )
    )


def _unfed_inputs(
    configuration: Configuration, planned: Planned, computed: Collection[PropertyRef]
) -> Iterator[UnfedInput]:
    for dependency in planned.dependencies:
        for hop in dependency.hops:
            if hop.association not in configuration.fed_associations:
                yield UnfedInput(association=hop.association)
        name, entity_type = dependency.property, dependency.leads_to
        if name is None or PropertyRef(entity_type, name) in computed:
            continue
        if entity_type not in configuration.fed_entity_types:
            yield UnfedInput(entity_type=entity_type)
        elif not _is_mapped(configuration, entity_type, name):
            yield UnfedInput(entity_type=entity_type, property_name=name)


def _is_mapped(configuration: Configuration, entity_type: str, name: str) -> bool:
    mapping = configuration.mapping_of(entity_type)
    return mapping is not None and any(item.identifier == name for item in mapping.properties)
