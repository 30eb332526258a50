"""Rules over resources: computed properties, correlation and classification."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import ClassVar, TypeVar

from attrs import frozen

from deltamark.domain.configuration.keywords import checked_keywords
from deltamark.domain.fields import DisplayNames, location_field, names_field
from deltamark.domain.location import Location


class DerivationKind(Enum):
    """What a derived value is: a computed property, a correlation key, or a classification."""

    PROPERTY = "property"
    SOURCE_KEY = "source"
    TARGET_KEY = "target"
    CLASSIFICATION = "classification"


@checked_keywords
@frozen
class ResourceType:
    """Target resources (accounts) that belong to source resources (people)."""

    identifier: str
    source_entity_type: str
    target_entity_type: str
    policy: str | None = None
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()


@checked_keywords
@frozen
class ResourceCorrelationRule:
    """A key for each side of a resource type: a source and a target with equal keys match.

    A side has a binding (the property that it reads), a binding and an expression over it, or an `SQL:x:`
    expression alone. With a `source_matched_confidence_level` below 100, a person confirms the match.
    """

    kind: ClassVar[str] = "correlation"

    resource_type: str
    source_binding: str | None = None
    source_expression: str | None = None
    target_binding: str | None = None
    target_expression: str | None = None
    source_matched_confidence_level: int = 0
    policy: str | None = None
    identifier: str | None = None
    location: Location | None = location_field()


@checked_keywords
@frozen
class ResourceClassificationRule:
    """A Boolean expression that decides whether a target resource is of a resource type.

    Of the rules that are true for a resource, the one with the highest
    `resource_type_identification_confidence_level` wins; of equals, the first.
    """

    kind: ClassVar[str] = "classification"

    resource_type: str
    target_expression: str | None = None
    resource_type_identification_confidence_level: int = 0
    policy: str | None = None
    identifier: str | None = None
    location: Location | None = location_field()


@checked_keywords
@frozen
class EntityPropertyExpression:
    """How a property is computed: from a binding, from an expression, or from both.

    A binding is a dependency path. `priority`: among expressions that do not read each other's results, the one with
    the lowest runs first.
    """

    identifier: str
    entity_type: str
    property: str
    binding: str | None = None
    expression: str | None = None
    priority: int = 0
    location: Location | None = location_field()


_Rule = TypeVar("_Rule", ResourceCorrelationRule, ResourceClassificationRule)


def rule_names(rules: Iterable[_Rule]) -> tuple[tuple[str, _Rule], ...]:
    """Returns each rule with the name that users see.

    The name is its identifier, or `ResourceType_n` for the n-th rule of its resource type in configuration order.
    """
    counts: dict[str, int] = {}
    named: list[tuple[str, _Rule]] = []
    for rule in rules:
        counts[rule.resource_type] = counts.get(rule.resource_type, 0) + 1
        named.append((rule.identifier or f"{rule.resource_type}_{counts[rule.resource_type]}", rule))
    return tuple(named)
