"""The part of a faulty configuration in which expressions can be read and jobs resolved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol, TypeVar

from attrs import evolve, fields

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import cron_problem
from deltamark.domain.configuration.entity_model import EntityType, PropertyRef
from deltamark.domain.configuration.jobs import Call, Job, Step, Task, TaskOverride
from deltamark.domain.suggestions import likely
from deltamark.domain.validation.references import Index
from deltamark.domain.values import PropertyType


class _Identified(Protocol):
    @property
    def identifier(self) -> str: ...


_Item = TypeVar("_Item", bound=_Identified)


def judgeable(configuration: Configuration) -> Configuration:
    """The configuration without what is configured twice or refers to nothing.

    A reference in which hardly a letter is wrong counts as what it almost certainly means. Without faults it is the
    configuration itself.
    """
    original, index = configuration, Index.of(configuration)
    configuration = _with_likely_references(configuration, index)
    entity_types = tuple(_merged(configuration.entity_types))
    ends = {end for item in configuration.associations for end in (item.property1, item.property2)}
    types = {
        PropertyRef(entity_type.identifier, item.identifier): item.type
        for entity_type in entity_types
        for item in entity_type.properties
    }
    part = evolve(
        configuration,
        entity_types=entity_types,
        associations=[
            item
            for item in _first(configuration.associations)
            if item.property1.entity_type in index.properties and item.property2.entity_type in index.properties
        ],
        property_expressions=[
            rule
            for rule in configuration.property_expressions
            if (computed := PropertyRef(rule.entity_type, rule.property)) in types
            and types[computed] is not PropertyType.FOREIGN_KEY
            and computed not in ends
        ],
        resource_types=_first(configuration.resource_types),
        jobs=[_resolvable(job, index) for job in configuration.jobs],
    )
    return original if part == original else part


def _with_likely_references(configuration: Configuration, index: Index) -> Configuration:
    def entity_type(name: str) -> str:
        return _likely(name, index.properties)

    def end(reference: PropertyRef) -> PropertyRef:
        return evolve(reference, entity_type=entity_type(reference.entity_type))

    return evolve(
        configuration,
        associations=[
            evolve(item, property1=end(item.property1), property2=end(item.property2))
            for item in configuration.associations
        ],
        property_expressions=[
            evolve(rule, entity_type=name, property=_likely(rule.property, index.properties.get(name, frozenset())))
            for rule in configuration.property_expressions
            for name in (entity_type(rule.entity_type),)
        ],
        resource_types=[
            evolve(
                item,
                source_entity_type=entity_type(item.source_entity_type),
                target_entity_type=entity_type(item.target_entity_type),
            )
            for item in configuration.resource_types
        ],
        correlation_rules=[
            evolve(rule, resource_type=_likely(rule.resource_type, index.resource_types))
            for rule in configuration.correlation_rules
        ],
        classification_rules=[
            evolve(rule, resource_type=_likely(rule.resource_type, index.resource_types))
            for rule in configuration.classification_rules
        ],
    )


def _likely(name: str, known: Collection[str]) -> str:
    return name if name in known else likely(name, known) or name


def lost_navigations(configuration: Configuration, part: Configuration) -> frozenset[str]:
    """The navigation properties of associations that are not in the judgeable part of a configuration."""
    return _navigations(configuration) - _navigations(part)


def _navigations(configuration: Configuration) -> frozenset[str]:
    return frozenset(end.property for item in configuration.associations for end in (item.property1, item.property2))


def _first(items: Iterable[_Item]) -> Iterator[_Item]:
    """The first of those that have the same identifier."""
    seen: set[str] = set()
    for item in items:
        if item.identifier not in seen:
            seen.add(item.identifier)
            yield item


def _merged(entity_types: Iterable[EntityType]) -> Iterator[EntityType]:
    """One entity type of each name, with the properties of all of that name."""
    by_name: dict[str, EntityType] = {}
    for entity_type in entity_types:
        first = by_name.get(entity_type.identifier)
        properties = (*(first.properties if first else ()), *entity_type.properties)
        by_name[entity_type.identifier] = evolve(first or entity_type, properties=tuple(_first(properties)))
    yield from by_name.values()


def _resolvable(job: Job, index: Index) -> Job:
    cron = job.cron_tab_expression
    return evolve(
        job,
        tasks=[call for call in job.tasks if _can_be_resolved(call, index)],
        cron_tab_expression=None if cron is None or cron_problem(cron) else cron,
    )


def _can_be_resolved(call: Call, index: Index) -> bool:
    if isinstance(call, Task):
        return True
    task = index.tasks.get(call.task if isinstance(call, Step) else call.identifier)
    if task is None or not isinstance(call, TaskOverride):
        return task is not None
    return call.kind == task.kind and set(call.changes) <= {item.name for item in fields(type(task))}
