"""The part of a faulty configuration in which expressions can be read and jobs resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from attrs import evolve, fields

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import cron_problem
from deltamark.domain.configuration.entity_model import EntityType, PropertyRef
from deltamark.domain.configuration.jobs import Call, Job, Step, Task, TaskOverride
from deltamark.domain.validation.references import Index
from deltamark.domain.values import PropertyType


class _Identified(Protocol):
    @property
    def identifier(self) -> str: ...


_Item = TypeVar("_Item", bound=_Identified)


def judgeable(configuration: Configuration) -> Configuration:
    """The configuration without what is configured twice or refers to nothing.

    Without faults it is the configuration itself.
    """
    index = Index.of(configuration)
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
    return configuration if part == configuration else part


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
