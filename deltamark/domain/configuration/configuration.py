"""A whole configuration: the entity model, the sources, the rules and the jobs.

The XML loader and Python code build it from the same classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from attrs import evolve, field, fields, frozen

from deltamark.domain.configuration.entity_model import (
    Agent,
    Connection,
    ConnectionTransformation,
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
from deltamark.domain.configuration.keywords import checked_keywords
from deltamark.domain.configuration.packages import is_sink
from deltamark.domain.configuration.rules import (
    EntityPropertyExpression,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
)
from deltamark.domain.fields import as_tuple
from deltamark.domain.representation import html_table, names_in_brief

SomeTask = TypeVar("SomeTask", bound=Task)


# Type checkers read from these what the fields of a configuration take.


def _agents(items: Iterable[Agent]) -> tuple[Agent, ...]:
    return as_tuple(items)


def _policies(items: Iterable[Policy]) -> tuple[Policy, ...]:
    return as_tuple(items)


def _connectors(items: Iterable[Connector]) -> tuple[Connector, ...]:
    return as_tuple(items)


def _connections(items: Iterable[Connection]) -> tuple[Connection, ...]:
    return as_tuple(items)


def _transformations(items: Iterable[ConnectionTransformation]) -> tuple[ConnectionTransformation, ...]:
    return as_tuple(items)


def _entity_types(items: Iterable[EntityType]) -> tuple[EntityType, ...]:
    return as_tuple(items)


def _associations(items: Iterable[EntityAssociation]) -> tuple[EntityAssociation, ...]:
    return as_tuple(items)


def _entity_type_mappings(items: Iterable[EntityTypeMapping]) -> tuple[EntityTypeMapping, ...]:
    return as_tuple(items)


def _association_mappings(items: Iterable[EntityAssociationMapping]) -> tuple[EntityAssociationMapping, ...]:
    return as_tuple(items)


def _resource_types(items: Iterable[ResourceType]) -> tuple[ResourceType, ...]:
    return as_tuple(items)


def _property_expressions(items: Iterable[EntityPropertyExpression]) -> tuple[EntityPropertyExpression, ...]:
    return as_tuple(items)


def _correlation_rules(items: Iterable[ResourceCorrelationRule]) -> tuple[ResourceCorrelationRule, ...]:
    return as_tuple(items)


def _classification_rules(items: Iterable[ResourceClassificationRule]) -> tuple[ResourceClassificationRule, ...]:
    return as_tuple(items)


def _tasks(items: Iterable[Task]) -> tuple[Task, ...]:
    return as_tuple(items)


def _jobs(items: Iterable[Job]) -> tuple[Job, ...]:
    return as_tuple(items)


@checked_keywords
@frozen(kw_only=True)
class Configuration:
    """Everything that a configuration defines, in document order.

    It can be run if `deltamark.domain.validation.validate.faults` finds no fault in it.
    """

    agents: tuple[Agent, ...] = field(converter=_agents, default=())
    policies: tuple[Policy, ...] = field(converter=_policies, default=())
    connectors: tuple[Connector, ...] = field(converter=_connectors, default=())
    connections: tuple[Connection, ...] = field(converter=_connections, default=())
    transformations: tuple[ConnectionTransformation, ...] = field(converter=_transformations, default=())
    entity_types: tuple[EntityType, ...] = field(converter=_entity_types, default=())
    associations: tuple[EntityAssociation, ...] = field(converter=_associations, default=())
    entity_type_mappings: tuple[EntityTypeMapping, ...] = field(converter=_entity_type_mappings, default=())
    association_mappings: tuple[EntityAssociationMapping, ...] = field(converter=_association_mappings, default=())
    resource_types: tuple[ResourceType, ...] = field(converter=_resource_types, default=())
    property_expressions: tuple[EntityPropertyExpression, ...] = field(converter=_property_expressions, default=())
    correlation_rules: tuple[ResourceCorrelationRule, ...] = field(converter=_correlation_rules, default=())
    classification_rules: tuple[ResourceClassificationRule, ...] = field(converter=_classification_rules, default=())
    tasks: tuple[Task, ...] = field(converter=_tasks, default=())
    """Tasks outside any job, for a `Step` to call."""
    jobs: tuple[Job, ...] = field(converter=_jobs, default=())

    def __repr__(self) -> str:
        counts = ((a.name.replace("_", " "), len(getattr(self, a.name))) for a in fields(Configuration))
        return f"<Configuration: {', '.join(f'{name} {count:,}' for name, count in counts if count) or 'empty'}>"

    def _repr_html_(self) -> str:
        rows = [(a.name, names_in_brief(self._names(a.name))) for a in fields(Configuration) if getattr(self, a.name)]
        return html_table(repr(self), ("part", "identifiers"), rows, len(rows))

    def _names(self, part: str) -> list[str]:
        return [str(item.identifier or item.resource_type) for item in getattr(self, part)]

    def merged_with(self, other: Configuration) -> Configuration:
        """Returns a configuration with everything that both define, this one first.

        What both define is a fault, which is found when it is used.
        """
        return merged((self, other))

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
        return self._tasks_by_name.get(identifier)

    @cached_property
    def _tasks_by_name(self) -> Mapping[str, Task]:
        return {task.identifier: task for task in reversed(tuple(self.all_tasks()))}

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

    @property
    def mappings(self) -> tuple[EntityTypeMapping | EntityAssociationMapping, ...]:
        """All mappings: of entity types, then of associations."""
        return (*self.entity_type_mappings, *self.association_mappings)

    def transformation(self, connector: str, table: str) -> ConnectionTransformation | None:
        """The transformation that makes a connection table of a connector, or None where it is read as it is."""
        return next((t for t in self.transformations if (t.connector, t.identifier) == (connector, table)), None)

    def table_read(self, mapping: EntityTypeMapping | EntityAssociationMapping) -> str:
        """The connection table that is read for a mapping, which a transformation may change."""
        transformation = self.transformation(mapping.connector, mapping.connection_table)
        return mapping.connection_table if transformation is None else transformation.table

    def connections_of(self, connector: str) -> tuple[Connection, ...]:
        """The connections that read tables of a connector, in document order."""
        return tuple(c for c in self.sources if c.connector == connector)

    @property
    def sources(self) -> tuple[Connection, ...]:
        """The connections that read tables, in document order."""
        return tuple(c for c in self.connections if c.tables and not is_sink(c))

    @property
    def sinks(self) -> tuple[Connection, ...]:
        """The connections that changes are delivered to, in document order."""
        return tuple(c for c in self.connections if is_sink(c))

    def connections_read_by(self, task: Task) -> tuple[Connection, ...]:
        """The connections that a task reads, in document order."""
        connection, connector = task.exports
        return tuple(c for c in self.sources if c.identifier == connection or c.connector == connector)

    def mappings_of_connector(
        self, connector: str
    ) -> tuple[tuple[EntityTypeMapping, ...], tuple[EntityAssociationMapping, ...]]:
        """The mappings of a connector: of entity types and of associations, in document order."""
        return (
            tuple(m for m in self.entity_type_mappings if m.connector == connector),
            tuple(m for m in self.association_mappings if m.connector == connector),
        )

    def all_mappings_of(self, connector: str) -> tuple[EntityTypeMapping | EntityAssociationMapping, ...]:
        """The mappings of a connector of both kinds."""
        resources, links = self.mappings_of_connector(connector)
        return (*resources, *links)

    @cached_property
    def synchronized_connectors(self) -> Collection[str]:
        """The connectors that a job synchronizes; all of them where there are no jobs, which may come later."""
        if not self.jobs:
            return frozenset(connector.identifier for connector in self.connectors)
        called = (task.synchronizes for job in self.jobs for task in self.called_by(job))
        return frozenset(name for name in called if name is not None)

    @cached_property
    def fed_entity_types(self) -> Mapping[str, str]:
        """Entity type -> the connector that feeds it: it has a mapping, and a job synchronizes the connector."""
        return {m.entity_type: m.connector for m in self.entity_type_mappings if self._synchronizes(m.connector)}

    @cached_property
    def fed_associations(self) -> Mapping[str, str]:
        """Association -> the connector that feeds it, as `fed_entity_types` has them."""
        return {m.association: m.connector for m in self.association_mappings if self._synchronizes(m.connector)}

    def _synchronizes(self, connector: str) -> bool:
        return connector in self.synchronized_connectors

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

    def prepares_delta(self, job: Job, connector: str) -> bool:
        """Whether a job reads extracts of a connector as deltas, all or some of them."""
        if self.job(job.identifier) is job:
            return connector in self._deltas[job.identifier]
        return connector in self._deltas_of(job)  # of a job that was given to a run

    @cached_property
    def _deltas(self) -> Mapping[str, Collection[str]]:
        """Job -> the connectors of which it prepares deltas."""
        return {
            job.identifier: self._deltas_of(job)
            for job in reversed(self.jobs)  # of equal names the first counts, as in `job`
        }

    def _deltas_of(self, job: Job) -> Collection[str]:
        return frozenset(
            task.prepares
            for task in self.called_by(job)
            if task.prepares is not None and task.is_incremental and self._may_send_deltas(task.prepares)
        )

    def _may_send_deltas(self, connector: str) -> bool:
        return any(not mapping.always_complete for mapping in self.mappings if mapping.connector == connector)

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
