"""Rules over resources: which source and target resources belong together."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from deltamark.domain.location import Location
from deltamark.domain.model import DisplayNames, location_field, names_field


@frozen
class ResourceType:
    """Target resources (accounts) that belong to source resources (people)."""

    identifier: str
    source_entity_type: str
    target_entity_type: str
    policy: str | None = None
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()


@frozen
class ResourceCorrelationRule:
    """A key for each side of a resource type: a source and a target with equal keys match.

    A side is a binding (the property it reads), optionally with an expression over it, or an `SQL:x:`
    expression alone. `source_matched_confidence_level` below 100 means that a person confirms the match.
    """

    resource_type: str
    source_binding: str | None = None
    source_expression: str | None = None
    target_binding: str | None = None
    target_expression: str | None = None
    source_matched_confidence_level: int = 0
    policy: str | None = None
    identifier: str | None = None
    location: Location | None = location_field()


def rule_names(rules: Iterable[ResourceCorrelationRule]) -> tuple[tuple[str, ResourceCorrelationRule], ...]:
    """Each rule with the name that users see.

    Its identifier, or `ResourceType_n`, the n-th rule of its resource type in configuration order.
    """
    seen: dict[str, int] = {}
    named = []
    for rule in rules:
        seen[rule.resource_type] = seen.get(rule.resource_type, 0) + 1
        named.append((rule.identifier or f"{rule.resource_type}_{seen[rule.resource_type]}", rule))
    return tuple(named)


@frozen
class KeySide:
    """One side of a correlation rule: what is read of which entity type, and how the key is made of it."""

    rule: str
    side: str
    entity_type: str
    binding: str | None
    expression: str | None
    location: Location | None = location_field()

    @property
    def definition(self) -> tuple[str, ...]:
        """What the value depends on besides the resource; part of the digest of a consumer's rules."""
        return (self.rule, self.side, self.entity_type, self.binding or "", self.expression or "")


def key_sides(rules: Iterable[ResourceCorrelationRule], resource_types: Iterable[ResourceType]) -> tuple[KeySide, ...]:
    """Both sides of every rule, in configuration order."""
    types = {resource_type.identifier: resource_type for resource_type in resource_types}
    sides = []
    for name, rule in rule_names(rules):
        owner = types[rule.resource_type]
        sides += [
            KeySide(
                name,
                "source",
                owner.source_entity_type,
                rule.source_binding,
                rule.source_expression,
                location=rule.location,
            ),
            KeySide(
                name,
                "target",
                owner.target_entity_type,
                rule.target_binding,
                rule.target_expression,
                location=rule.location,
            ),
        ]
    return tuple(sides)
