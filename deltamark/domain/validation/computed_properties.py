"""Faults of computed properties and classification rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, PropertyRef
from deltamark.domain.configuration.rules import EntityPropertyExpression, ResourceClassificationRule, rule_names
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.validation.references import Index, unknown_property
from deltamark.domain.values import PropertyType, shown

_COMPUTED_LINKS = "computed links are not built yet in this version; name a property that holds a value"


@frozen
class PropertyIndex:
    """The properties of the model, indexed, so that a look-up takes constant time."""

    types: Mapping[PropertyRef, PropertyType]
    keys: frozenset[PropertyRef]
    mapped: Mapping[PropertyRef, Location | None]
    navigations: Mapping[PropertyRef, EntityAssociation]

    @classmethod
    def of(cls, configuration: Configuration) -> PropertyIndex:
        """Indexes the properties of a configuration."""
        declared = {
            PropertyRef(entity_type.identifier, item.identifier): item
            for entity_type in configuration.entity_types
            for item in entity_type.properties
        }
        return cls(
            types={reference: item.type for reference, item in declared.items()},
            keys=frozenset(reference for reference, item in declared.items() if item.is_key),
            mapped={
                PropertyRef(mapping.identifier, item.identifier): item.location or mapping.location
                for mapping in configuration.entity_type_mappings
                for item in mapping.properties
            },
            navigations={end: item for item in configuration.associations for end in (item.property1, item.property2)},
        )


def computed_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    """The faults of property expressions and classification rules outside their expressions."""
    model = PropertyIndex.of(configuration)
    first: dict[PropertyRef, EntityPropertyExpression] = {}
    for rule in configuration.property_expressions:
        computed = PropertyRef(rule.entity_type, rule.property)
        where = f"property expression {shown(rule.identifier)}"
        yield from target_faults(computed, model, index, where, rule.location)
        other = first.setdefault(computed, rule)
        if other is not rule:
            yield Fault(
                rule.location,
                f"{_subject(rule, computed)}, which property expression {shown(other.identifier)} "
                f"already computes{at(other.location)}; keep one of them",
            )
        if not (_has_text(rule.binding) or _has_text(rule.expression)):
            yield Fault(
                rule.location,
                f"property expression {shown(rule.identifier)} does not say how {shown(computed)} is computed; give "
                "Binding, Expression or both",
            )
    for name, classification in rule_names(configuration.classification_rules):
        yield from _classification_faults(name, classification)


def target_faults(
    computed: PropertyRef, model: PropertyIndex, index: Index, where: str, location: Location | None
) -> Iterator[Fault]:
    """The reason why a property cannot be computed, if there is one.

    :param where: what computes it, for messages.
    """
    statement = f"{where} computes {shown(computed)}"
    association = model.navigations.get(computed)
    if computed in model.mapped:
        yield Fault(
            location,
            f"{statement}, which its mapping fills from an extract{at(model.mapped[computed])}; compute another "
            "property, or remove it from the mapping",
        )
    elif association is not None:
        yield Fault(
            location,
            f"{statement}, a navigation property of association {shown(association.identifier)}"
            f"{at(association.location)}; {_COMPUTED_LINKS}",
        )
    elif computed not in model.types:
        yield from unknown_property(computed, index, where, location)
    elif computed in model.keys:
        yield Fault(
            location,
            f"{statement}, which is the key of its entity type; it comes from an extract, compute another property",
        )
    elif model.types[computed] is PropertyType.FOREIGN_KEY:
        yield Fault(location, f"{statement}, which is declared as ForeignKey; {_COMPUTED_LINKS}")


def _classification_faults(name: str, rule: ResourceClassificationRule) -> Iterator[Fault]:
    if not _has_text(rule.target_expression):
        yield Fault(
            rule.location,
            f"classification rule {shown(name)} does not say which resources are of resource type "
            f"{shown(rule.resource_type)}; give TargetExpression, such as SQL:user: user.Kind = 'admin'",
        )


def _subject(rule: EntityPropertyExpression, computed: PropertyRef) -> str:
    return f"property expression {shown(rule.identifier)} computes {shown(computed)}"


def _has_text(text: str | None) -> bool:
    return bool(text and text.strip())


def at(location: Location | None) -> str:
    """Returns a location in parentheses, or nothing."""
    return f" (at {location})" if location else ""
