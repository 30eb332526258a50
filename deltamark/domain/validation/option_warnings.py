"""Warnings about options that have no effect, or another one than meant, and about what is said twice."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import fields

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import fires_each_minute_of_some_hours, firings_a_minute
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping, Thresholds
from deltamark.domain.configuration.jobs import ComputingTask, Job, Task
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.messages import how_many
from deltamark.domain.validation.value_formats import format_warnings
from deltamark.domain.values import shown

SERVER_TIME = 1


def option_warnings(configuration: Configuration, *, is_whole: bool) -> Iterator[Fault]:
    """The warnings about options of mappings, tasks and jobs.

    :param is_whole: whether the configuration has everything that its files define.
    """
    for mapping in configuration.entity_type_mappings:
        yield from format_warnings(mapping, configuration.entity_type(mapping.identifier))
        yield from _unique_primary_key(mapping)
        yield from _later_threshold(configuration, mapping, mapping.location)
        yield from _text_beside_links(configuration, mapping)
    for links in configuration.association_mappings:
        yield from _later_threshold(configuration, links, links.location)
    for task in configuration.all_tasks():
        yield from _said_twice(task)
        if is_whole:
            yield from _orphans_of_nothing(configuration, task)
    for job in configuration.jobs:
        yield from _start_times(job)
    if is_whole and configuration.jobs:
        yield from _complete_anyway(configuration)


def _unique_primary_key(mapping: EntityTypeMapping) -> Iterator[Fault]:
    for item in mapping.properties:
        if item.is_primary_key and item.is_unique_key:
            yield Fault(
                item.location or mapping.location,
                f"IsUniqueKey of property {shown(item.identifier)} in mapping {shown(mapping.identifier)} has no "
                "effect: the primary key is unique anyway; remove it",
            )


def _complete_anyway(configuration: Configuration) -> Iterator[Fault]:
    """The warnings about mappings that are always complete, and whose connectors no job reads otherwise."""
    calls = (task for job in configuration.jobs for task in configuration.called_by(job))
    incremental = {task.prepares for task in calls if task.is_incremental}
    for mapping in configuration.mappings:
        if mapping.always_complete and mapping.connector not in incremental:
            yield Fault(
                mapping.location,
                f"AlwaysComplete of mapping {shown(mapping.identifier)} has no effect: no job prepares the connector "
                f"{shown(mapping.connector)} with the SynchronizationMode Incremental, so that all of its extracts are "
                "complete; remove it",
            )


def _text_beside_links(configuration: Configuration, mapping: EntityTypeMapping) -> Iterator[Fault]:
    """The warnings about columns of properties that are ends of associations whose links other columns make."""
    made_by = {links.association: links for links in configuration.association_mappings}
    navigations = {
        end.property: (association.identifier, made_by[association.identifier])
        for association in configuration.associations
        if association.identifier in made_by
        for end in (association.property1, association.property2)
        if end.entity_type == mapping.entity_type
    }
    for item in mapping.properties:
        if item.identifier in navigations:
            association, links = navigations[item.identifier]
            yield Fault(
                item.location or mapping.location,
                f"column {shown(item.connection_column)} gives property {shown(item.identifier)} in mapping "
                f"{shown(mapping.identifier)} a text, although it is an end of association {shown(association)}: its "
                f"links are made from {shown(links.column1)} and {shown(links.column2)}, and the text stays where no "
                "link is made; remove the property from the mapping, or map another one",
            )


def _later_threshold(
    configuration: Configuration,
    mapping: EntityTypeMapping | EntityAssociationMapping,
    location: Location | None,
) -> Iterator[Fault]:
    """The warnings about limits of a mapping that its connector exceeds before."""
    connector = configuration.connector(mapping.connector)
    if connector is None:
        return
    for item in fields(Thresholds):
        if "percentage" in item.name:  # of the connector's resources, and of the mapping's: neither is the smaller one
            continue
        limit, of_connector = getattr(mapping.thresholds, item.name), getattr(connector.thresholds, item.name)
        if 0 < of_connector < limit:
            name = "".join(word.capitalize() for word in item.name.split("_"))
            yield Fault(
                location,
                f"{name} {limit} of mapping {shown(mapping.identifier)} has no effect: connector "
                f"{shown(connector.identifier)} has {of_connector}, which is exceeded first; raise it there",
            )


def _said_twice(task: Task) -> Iterator[Fault]:
    where = f"{task.kind} {shown(task.identifier)}"
    for parent in _repeated(task.parents):
        yield Fault(task.location, f"{where} depends on {shown(parent)} twice; remove one TaskDependsOnTask")
    if isinstance(task, ComputingTask):
        for name in _repeated(task.entity_types):
            yield Fault(task.location, f"{where} names the entity type {shown(name)} twice; remove one TaskEntityType")
        if task.all_entity_type and task.entity_types:
            yield Fault(
                task.location,
                f"{where} names entity types, which has no effect: it covers all of them (AllEntityType); remove one",
            )


def _repeated(names: tuple[str, ...]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def _orphans_of_nothing(configuration: Configuration, task: Task) -> Iterator[Fault]:
    if task.reports_orphans and not configuration.mappings_of_connector(task.synchronizes or "")[1]:
        yield Fault(
            task.location,
            f"Orphans of {task.kind} {shown(task.identifier)} has no effect: connector {shown(task.synchronizes)} has "
            "no mapping of an association; remove it",
        )


def _start_times(job: Job) -> Iterator[Fault]:
    where = f"job {shown(job.identifier)}"
    cron = job.cron_tab_expression
    if cron is None:
        if job.user_start_denied:
            yield Fault(
                job.location,
                f"nothing can start {where}: UserStartDenied allows only its schedule, and it has no "
                "CronTabExpression; give one, or remove UserStartDenied",
            )
        if job.cron_time_zone == SERVER_TIME:
            yield Fault(
                job.location, f"CronTimeZone of {where} has no effect without CronTabExpression; remove it or give one"
            )
        return
    often = firings_a_minute(cron)
    if often > 1:
        yield Fault(
            job.location,
            f"CronTabExpression {shown(cron)} of {where} fires {how_many(often, 'time')} in a minute: the first of its "
            "six fields is the second; write 0 there to fire once in a minute",
        )
    elif fires_each_minute_of_some_hours(cron):
        yield Fault(
            job.location,
            f"CronTabExpression {shown(cron)} of {where} fires in each minute of the hours that it names; write 0 for "
            "the minute to fire once in an hour",
        )
