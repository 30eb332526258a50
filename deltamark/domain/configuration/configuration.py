"""A whole configuration: the entity model, the sources, the rules and the jobs.

The XML loader and Python code build it from the same classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, TypeVar

from attrs import evolve, field, fields, frozen

from deltamark.domain.configuration.entity_model import (
    Agent,
    Connection,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Policy,
    Property,
    PropertyRef,
)
from deltamark.domain.configuration.jobs import Call, Job, Step, Task, TaskOverride
from deltamark.domain.configuration.rules import (
    EntityPropertyExpression,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
)
from deltamark.domain.fields import as_tuple

SomeTask = TypeVar("SomeTask", bound=Task)


@frozen(kw_only=True)
class Configuration:
    """Everything that a configuration defines, in document order.

    It can be run if `deltamark.domain.validation.validate.faults` finds no fault in it.
    """

    agents: tuple[Agent, ...] = field(converter=as_tuple, default=())
    policies: tuple[Policy, ...] = field(converter=as_tuple, default=())
    connectors: tuple[Connector, ...] = field(converter=as_tuple, default=())
    connections: tuple[Connection, ...] = field(converter=as_tuple, default=())
    entity_types: tuple[EntityType, ...] = field(converter=as_tuple, default=())
    associations: tuple[EntityAssociation, ...] = field(converter=as_tuple, default=())
    entity_type_mappings: tuple[EntityTypeMapping, ...] = field(converter=as_tuple, default=())
    association_mappings: tuple[EntityAssociationMapping, ...] = field(converter=as_tuple, default=())
    resource_types: tuple[ResourceType, ...] = field(converter=as_tuple, default=())
    property_expressions: tuple[EntityPropertyExpression, ...] = field(converter=as_tuple, default=())
    correlation_rules: tuple[ResourceCorrelationRule, ...] = field(converter=as_tuple, default=())
    classification_rules: tuple[ResourceClassificationRule, ...] = field(converter=as_tuple, default=())
    tasks: tuple[Task, ...] = field(converter=as_tuple, default=())
    """Tasks outside any job, for a `Step` to call."""
    jobs: tuple[Job, ...] = field(converter=as_tuple, default=())

    def all_tasks(self) -> Iterator[Task]:
        """Every task that is defined, inside and outside jobs, in document order."""
        yield from self.tasks
        for job in self.jobs:
            yield from (call for call in job.tasks if isinstance(call, Task))

    def all_calls(self) -> Iterator[Task]:
        """Every task as it is defined, then as each job calls it, with steps and overrides resolved."""
        yield from self.all_tasks()
        for job in self.jobs:
            yield from self.called_by(job)

    def all_calls_of(self, kind: type[SomeTask]) -> Iterator[SomeTask]:
        """Every task of a kind as it is defined and as it is called."""
        return (task for task in self.all_calls() if isinstance(task, kind))

    def job(self, identifier: str) -> Job | None:
        """The job with that identifier, or None."""
        return next((job for job in self.jobs if job.identifier == identifier), None)

    def task(self, identifier: str) -> Task | None:
        """The task with that identifier, or None."""
        return next((task for task in self.all_tasks() if task.identifier == identifier), None)

    def entity_type(self, identifier: str) -> EntityType | None:
        """The entity type with that identifier, or None."""
        return next((e for e in self.entity_types if e.identifier == identifier), None)

    def association(self, identifier: str) -> EntityAssociation | None:
        """The association with that identifier, or None."""
        return next((a for a in self.associations if a.identifier == identifier), None)

    def mapping_of(self, entity_type: str) -> EntityTypeMapping | None:
        """The mapping that feeds an entity type, or None."""
        return next((m for m in self.entity_type_mappings if m.identifier == entity_type), None)

    def connector(self, identifier: str) -> Connector | None:
        """The connector with that identifier, or None."""
        return next((c for c in self.connectors if c.identifier == identifier), None)

    def mappings_of_connector(
        self, connector: str
    ) -> tuple[tuple[EntityTypeMapping, ...], tuple[EntityAssociationMapping, ...]]:
        """The mappings of a connector: of entity types and of associations, in document order."""
        return (
            tuple(m for m in self.entity_type_mappings if m.connector == connector),
            tuple(m for m in self.association_mappings if m.connector == connector),
        )

    def associations_from(self, entity_type: str) -> tuple[EntityAssociation, ...]:
        """The associations whose links start at an entity type."""
        return tuple(a for a in self.associations if a.property1.entity_type == entity_type)

    def associations_at(self, entity_type: str) -> tuple[EntityAssociation, ...]:
        """The associations whose links start or end at an entity type."""
        return self._associations_at.get(entity_type, ())

    @cached_property
    def _associations_at(self) -> dict[str, tuple[EntityAssociation, ...]]:
        by_entity_type: dict[str, tuple[EntityAssociation, ...]] = {}
        for association in self.associations:
            for name in {association.property1.entity_type, association.property2.entity_type}:
                by_entity_type[name] = (*by_entity_type.get(name, ()), association)
        return by_entity_type

    def valued_properties(self, entity_type: EntityType) -> tuple[Property, ...]:
        """The properties that hold values: mapped ones, and those that are no end of an association."""
        mapping = self.mapping_of(entity_type.identifier)
        mapped = {p.identifier for p in mapping.properties} if mapping else set()
        ends = {end for a in self.associations for end in (a.property1, a.property2)}
        return tuple(
            p
            for p in entity_type.properties
            if p.identifier in mapped or PropertyRef(entity_type.identifier, p.identifier) not in ends
        )

    def called_by(self, job: Job) -> tuple[Task, ...]:
        """The tasks of a job, in document order, with steps and overrides resolved."""
        return tuple(self._resolved(call) for call in job.tasks)

    def _resolved(self, call: Call) -> Task:
        if isinstance(call, Task):
            return call
        name = call.task if isinstance(call, Step) else call.identifier
        task = self.task(name)
        assert task is not None, f"{name}: a validated configuration names existing tasks"
        if isinstance(call, TaskOverride):
            changes: dict[str, Any] = dict(call.changes)
            return evolve(task, **changes)
        return task if call.level is None else evolve(task, level=call.level)


def merged(parts: Iterable[Configuration]) -> Configuration:
    """Returns one configuration with everything that `parts` define, in their order."""
    configurations = list(parts)
    names = [attribute.name for attribute in fields(Configuration)]
    return Configuration(**{name: [item for part in configurations for item in getattr(part, name)] for name in names})
