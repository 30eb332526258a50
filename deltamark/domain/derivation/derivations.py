"""Derivations: how each derived value of a resource is made, by whatever kind of rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import (
    DerivationKind,
    EntityPropertyExpression,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
    rule_names,
)
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.function_columns import written_by
from deltamark.domain.fields import location_field
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType


@frozen(kw_only=True)
class Derivation:
    """How one derived value of the resources of an entity type is made.

    :param name: the computed property, or the rule.
    :param result: the type of the value: that of the property; a text for a key; a Boolean for a classification.
    :param maker: the user's function that gives the value; None where an expression does.
    """

    kind: DerivationKind
    name: str
    entity_type: str
    binding: str | None = None
    expression: str | None = None
    result: PropertyType = PropertyType.STRING
    priority: int = 0
    maker: UserTask | None = None
    location: Location | None = location_field()

    @property
    def bound_to(self) -> str:
        """The binding as a path of names, without a leading entity type.

        Empty without a binding.
        """
        return (self.binding or "").strip().removeprefix(f"{self.entity_type}:").strip()

    @property
    def says_something(self) -> bool:
        """Whether it says how the value is made."""
        return bool(self.maker or self.bound_to or (self.expression or "").strip())

    @property
    def definition(self) -> tuple[str, ...]:
        """The parts of the derivation's digest: what the value depends on besides what it reads."""
        return (
            self.kind.value,
            self.name,
            self.entity_type,
            self.bound_to,
            self.expression or "",
            self.result.label,
            *(self.maker.definition if self.maker else ()),
        )

    @property
    def described(self) -> str:
        """The derivation as the subject of a sentence."""
        if self.maker is not None:
            return f"function {self.maker.name}, which computes {self.entity_type}:{self.name},"
        match self.kind:
            case DerivationKind.PROPERTY:
                return f"the expression of {self.entity_type}:{self.name}"
            case DerivationKind.CLASSIFICATION:
                return f"the expression of classification rule {self.name}"
        return f"the {self.kind.value} expression of rule {self.name}"


def derivations(configuration: Configuration) -> tuple[Derivation, ...]:
    """Every derivation of a configuration, in its order.

    There are none of rules that name what does not exist.
    """
    types = {resource_type.identifier: resource_type for resource_type in configuration.resource_types}
    return (
        *_computed(configuration),
        *_written(configuration),
        *_keys(configuration.correlation_rules, types),
        *_classifications(configuration.classification_rules, types),
    )


def _computed(configuration: Configuration) -> Iterator[Derivation]:
    for rule in configuration.property_expressions:
        entity_type = configuration.entity_type(rule.entity_type)
        declared = entity_type.property(rule.property) if entity_type else None
        if declared is not None:
            yield _of_property(rule, declared.type)


def _of_property(rule: EntityPropertyExpression, result: PropertyType) -> Derivation:
    return Derivation(
        kind=DerivationKind.PROPERTY,
        name=rule.property,
        entity_type=rule.entity_type,
        binding=rule.binding,
        expression=rule.expression,
        result=result,
        priority=rule.priority,
        location=rule.location,
    )


def _written(configuration: Configuration) -> Iterator[Derivation]:
    """The derivations of users' functions, each once, however many tasks call the function."""
    called: dict[UserTask, Location | None] = {}
    for task in configuration.all_calls_of(ComputingTask):
        if isinstance(task.maker, UserTask):
            called.setdefault(task.maker, task.location)
    for function, location in called.items():
        for name in function.entity_types:
            for written in written_by(configuration, function, name):
                yield Derivation(
                    kind=DerivationKind.PROPERTY,
                    name=written.identifier,
                    entity_type=name,
                    result=written.type,
                    maker=function,
                    location=location,
                )


def _keys(rules: Iterable[ResourceCorrelationRule], types: dict[str, ResourceType]) -> Iterator[Derivation]:
    for name, rule in rule_names(rules):
        owner = types.get(rule.resource_type)
        if owner is not None:
            yield Derivation(
                kind=DerivationKind.SOURCE_KEY,
                name=name,
                entity_type=owner.source_entity_type,
                binding=rule.source_binding,
                expression=rule.source_expression,
                location=rule.location,
            )
            yield Derivation(
                kind=DerivationKind.TARGET_KEY,
                name=name,
                entity_type=owner.target_entity_type,
                binding=rule.target_binding,
                expression=rule.target_expression,
                location=rule.location,
            )


def _classifications(
    rules: Iterable[ResourceClassificationRule], types: dict[str, ResourceType]
) -> Iterator[Derivation]:
    for name, rule in rule_names(rules):
        classified = types.get(rule.resource_type)
        if classified is not None:
            yield Derivation(
                kind=DerivationKind.CLASSIFICATION,
                name=name,
                entity_type=classified.target_entity_type,
                expression=rule.target_expression,
                result=PropertyType.BOOL,
                location=rule.location,
            )
