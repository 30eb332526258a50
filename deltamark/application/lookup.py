"""Looks up what callers name.

A wrong name is refused with the nearest one that exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from deltamark.application import arguments
from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connector, EntityType, Property, PropertyRef
from deltamark.domain.configuration.jobs import ComputingTask, Job, Task
from deltamark.domain.configuration.rules import rule_names
from deltamark.domain.errors import ErasedResource, RunNotFound, UsageError
from deltamark.domain.message_parts import NOWHERE, Place
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.retention.erasure import key_digest
from deltamark.domain.runs.run import JobRun
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown


class _Identified(Protocol):
    @property
    def identifier(self) -> str: ...


_Item = TypeVar("_Item", bound=_Identified)


def job_named(identifier: str, configuration: Configuration) -> Job:
    """The job of that identifier.

    :raises UsageError: if there is none.
    """
    return _named("a job", identifier, configuration.jobs)


def task_named(identifier: str, configuration: Configuration) -> Task:
    """The task of that identifier, inside or outside a job.

    :raises UsageError: if there is none.
    """
    return _named("a task", identifier, tuple(configuration.all_tasks()))


def entity_type_named(identifier: str, configuration: Configuration) -> EntityType:
    """The entity type of that identifier.

    :raises UsageError: if there is none.
    """
    return _named("an entity type", identifier, configuration.entity_types, Place(entity_type=identifier))


def connector_named(identifier: str, configuration: Configuration) -> Connector:
    """The connector of that identifier.

    :raises UsageError: if there is none.
    """
    return _named("a connector", identifier, configuration.connectors, Place(connector=identifier))


def property_named(identifier: str, entity_type: EntityType, configuration: Configuration) -> Property:
    """The property of that identifier, synchronized or computed.

    :raises UsageError: if there is none; the message of a navigation property names its association.
    """
    valued = configuration.valued_properties(entity_type)
    prop = next((p for p in valued if p.identifier == arguments.text("a property", identifier)), None)
    if prop is not None:
        return prop
    end = PropertyRef(entity_type.identifier, identifier)
    for association in configuration.associations:
        if end in (association.property1, association.property2):
            raise UsageError(
                f"{identifier} of {entity_type.identifier} holds no values: it leads to others by the association "
                f"{association.identifier}. Ask for that association."
            )
    unknown = _unknown(f"property of {entity_type.identifier}", identifier, (p.identifier for p in valued))
    raise unknown.about(Place(entity_type=entity_type.identifier, property=identifier))


def resource_not_found(reading: Reading, ref: ResourceRef) -> UsageError:
    """The error for a resource that never existed, or that was erased."""
    for erased in reading.erasures():
        if erased.key_digest == key_digest(erased.salt, ref):
            return ErasedResource(f"{ref.entity_type} {ref.key}", run=erased.run, at=erased.at, reason=erased.reason)
    error = UsageError(f"there never was a {ref.entity_type} with the key {shown(ref.key)}.")
    return error.about(Place(entity_type=ref.entity_type, key=ref.key))


def run_numbered(reading: Reading, number: int) -> JobRun:
    """The run of that number, without the rows it set aside.

    :raises UsageError: if there is none.
    """
    summary = reading.run(arguments.whole_number("the number of a run", number), with_rows=False)
    if summary is None:
        raise RunNotFound(number)
    return summary.run


def dirty_tasks(task: str | None, configuration: Configuration) -> list[ComputingTask]:
    """The tasks that compute only what is dirty: all, or the one of that identifier.

    :raises UsageError: if there is none of that identifier.
    """
    consumers = [task for task in configuration.all_tasks() if isinstance(task, ComputingTask) and task.dirty]
    if task is None:
        return consumers
    arguments.text("a task", task)
    chosen = [consumer for consumer in consumers if consumer.identifier == task]
    if not chosen:
        known = [consumer.identifier for consumer in consumers]
        raise UsageError(f'there is no task {shown(task)} with Dirty="true"{hint(task, known)}')
    return chosen


def check_rule(rule: str | None, configuration: Configuration) -> None:
    """Checks that a correlation rule of that name exists.

    None means all.

    :raises UsageError: if there is none.
    """
    names = [name for name, _ in rule_names(configuration.correlation_rules)]
    if rule is not None and arguments.text("a rule", rule) not in names:
        raise _unknown("correlation rule", rule, names)


def _named(article_and_noun: str, identifier: str, items: Sequence[_Item], place: Place = NOWHERE) -> _Item:
    name = arguments.text(article_and_noun, identifier)
    match = next((item for item in items if item.identifier == name), None)
    if match is None:
        raise _unknown(article_and_noun.partition(" ")[2], name, (item.identifier for item in items)).about(place)
    return match


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"there is no {what} {shown(name)}{hint(name, known)}")
