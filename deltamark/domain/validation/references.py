"""Faults of names that refer to nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from attrs import field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityTypeMapping, PropertyRef
from deltamark.domain.configuration.jobs import Named, Step, Task, TaskOverride
from deltamark.domain.configuration.rules import ResourceClassificationRule, ResourceCorrelationRule
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.suggestions import hint, nearest
from deltamark.domain.values import shown


@frozen(kw_only=True)
class Missing:
    """Names that something in the files of a configuration has, but that could not be read.

    What refers to them is no fault of its own.

    :param names: of what could not be read.
    :param causes: of what was left out, each with a clause that says why; referring to it is a fault with that cause.
    :param may_be_anything: whether a whole file could not be read, so that it may define any name.
    """

    names: frozenset[str] = frozenset()
    causes: Mapping[str, str] = field(factory=dict)
    may_be_anything: bool = False

    def explains(self, name: str) -> bool:
        """Whether a name that nothing has may be one of those that could not be read."""
        return self.may_be_anything or name in self.names


NOTHING_MISSING = Missing()


@frozen
class Index:
    """The names that a configuration defines, indexed, so that a look-up takes constant time."""

    agents: frozenset[str]
    policies: frozenset[str]
    connectors: frozenset[str]
    connections: frozenset[str]
    delivered: frozenset[str]
    """The connectors of which a connection reads tables."""
    associations: frozenset[str]
    resource_types: frozenset[str]
    tasks: dict[str, Task]
    properties: dict[str, frozenset[str]]
    """Entity type -> the properties that it declares."""
    mappings: dict[str, EntityTypeMapping]
    missing: Missing = NOTHING_MISSING

    def named(self, what: Named) -> Collection[str]:
        """The names of all things of a kind."""
        names: dict[Named, Collection[str]] = {
            "connector": self.connectors,
            "connection": self.connections,
            "entity type": self.properties,
            "association": self.associations,
            "resource type": self.resource_types,
            "policy": self.policies,
        }
        return names[what]

    @classmethod
    def of(cls, configuration: Configuration, missing: Missing = NOTHING_MISSING) -> Index:
        """Indexes the names of a configuration.

        Of two things with the same name, the first; of two entity types, the properties of both.
        """
        return cls(
            agents=frozenset(item.identifier for item in configuration.agents),
            policies=frozenset(item.identifier for item in configuration.policies),
            connectors=frozenset(item.identifier for item in configuration.connectors),
            connections=frozenset(item.identifier for item in configuration.connections),
            delivered=frozenset(item.connector for item in configuration.sources),
            associations=frozenset(item.identifier for item in configuration.associations),
            resource_types=frozenset(item.identifier for item in configuration.resource_types),
            tasks={task.identifier: task for task in reversed(tuple(configuration.all_tasks()))},
            properties=_properties(configuration),
            mappings={mapping.identifier: mapping for mapping in reversed(configuration.entity_type_mappings)},
            missing=missing,
        )

    def unknown(
        self, what: str, name: str | None, known: Collection[str], where: str, location: Location | None
    ) -> Iterator[Fault]:
        """The fault of a name that nothing of its kind has."""
        if name is None or name in known:
            return
        cause = self.missing.causes.get(name)
        if cause is not None:
            yield Fault(location, f"{what} {shown(name)} in {where} is left out: {cause}; remove the reference to it")
        elif not self.missing.explains(name):
            known = [other for other in known if other not in self.missing.names]
            lost = None if nearest(name, known) else nearest(name, self.missing.names)
            ending = f"; did you mean {shown(lost)}?" if lost else hint(name, known)
            yield Fault(location, f"unknown {what} {shown(name)} in {where}{ending}")


def _properties(configuration: Configuration) -> dict[str, frozenset[str]]:
    properties: dict[str, frozenset[str]] = {}
    for entity_type in configuration.entity_types:
        names = (item.identifier for item in entity_type.properties)
        properties[entity_type.identifier] = properties.get(entity_type.identifier, frozenset()).union(names)
    return properties


def reference_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    """The names that refer to nothing, each with the nearest known name."""
    yield from _model_faults(configuration, index)
    yield from _mapping_faults(configuration, index)
    yield from _rule_faults(configuration, index)
    for task in configuration.all_tasks():
        yield from task_reference_faults(task, index)
    for job in configuration.jobs:
        yield from index.unknown("agent", job.agent, index.agents, f"job {shown(job.identifier)}", job.location)
        for call in job.tasks:
            name = _called_task(call)
            where = f"job {shown(job.identifier)}"
            yield from index.unknown("task", name, index.tasks, where, call.location)


def task_reference_faults(task: Task, index: Index) -> Iterator[Fault]:
    """The names in one task that refer to nothing."""
    where = f"{task.kind} {shown(task.identifier)}"
    yield from index.unknown("agent", task.agent, index.agents, where, task.location)
    for what, name in task.references():
        yield from index.unknown(what, name, index.named(what), where, task.location_of(name))
    for parent in task.parents:
        yield from index.unknown("parent task", parent, index.tasks, where, task.location_of(parent))


def unknown_property(reference: PropertyRef, index: Index, where: str, location: Location | None) -> Iterator[Fault]:
    """The fault of an `EntityType:Property` whose entity type or property is not declared."""
    if reference.entity_type not in index.properties:
        yield from index.unknown("entity type", reference.entity_type, index.properties, where, location)
        return
    known = index.properties[reference.entity_type]
    what = f"property of {shown(reference.entity_type)}"
    yield from index.unknown(what, reference.property, known, where, location)


def _called_task(call: Task | Step | TaskOverride) -> str | None:
    if isinstance(call, Step):
        return call.task
    return call.identifier if isinstance(call, TaskOverride) else None


def _model_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    for connector in configuration.connectors:
        where = f"connector {shown(connector.identifier)}"
        yield from index.unknown("agent", connector.agent, index.agents, where, connector.location)
    for connection in configuration.connections:
        where = f"connection {shown(connection.identifier)}"
        yield from index.unknown("connector", connection.connector, index.connectors, where, connection.location)
    for transformation in configuration.transformations:
        where = f"transformation {shown(transformation.identifier)}"
        location = transformation.location
        yield from index.unknown("connector", transformation.connector, index.connectors, where, location)
    for association in configuration.associations:
        where = f"association {shown(association.identifier)}"
        for end in (association.property1, association.property2):
            yield from index.unknown("entity type", end.entity_type, index.properties, where, association.location)


def _mapping_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    for mapping in configuration.entity_type_mappings:
        where = f"mapping {shown(mapping.identifier)}"
        yield from index.unknown("connector", mapping.connector, index.connectors, where, mapping.location)
        yield from index.unknown("entity type", mapping.identifier, index.properties, where, mapping.location)
        if mapping.identifier in index.properties:
            for item in mapping.properties:
                reference = PropertyRef(mapping.identifier, item.identifier)
                yield from unknown_property(reference, index, where, item.location or mapping.location)
    for links in configuration.association_mappings:
        where = f"mapping {shown(links.identifier)}"
        yield from index.unknown("connector", links.connector, index.connectors, where, links.location)
        yield from index.unknown("association", links.identifier, index.associations, where, links.location)
        yield from unknown_property(links.entity_property_mapping1, index, where, links.location)
        yield from unknown_property(links.entity_property_mapping2, index, where, links.location)


def _rule_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    for resource_type in configuration.resource_types:
        where = f"resource type {shown(resource_type.identifier)}"
        location = resource_type.location
        yield from index.unknown("policy", resource_type.policy, index.policies, where, location)
        for name in (resource_type.source_entity_type, resource_type.target_entity_type):
            yield from index.unknown("entity type", name, index.properties, where, location)
    rules: tuple[ResourceCorrelationRule | ResourceClassificationRule, ...] = (
        *configuration.correlation_rules,
        *configuration.classification_rules,
    )
    for rule in rules:
        where = f"a {rule.kind} rule"
        yield from index.unknown("resource type", rule.resource_type, index.resource_types, where, rule.location)
        yield from index.unknown("policy", rule.policy, index.policies, where, rule.location)
