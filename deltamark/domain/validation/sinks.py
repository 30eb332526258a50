"""Faults of connections that changes are delivered to."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connection, ConnectionTable, EntityType
from deltamark.domain.configuration.packages import (
    ASSOCIATIONS,
    CSV_SINK,
    DISTINGUISHED_NAME,
    LDIF_SINK,
    SCIM_SINK,
    SUBJECT,
    associations_at_sink,
    names_at_sink,
)
from deltamark.domain.errors import Fault
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

_NAMES_BOTH_ENDS = frozenset({LDIF_SINK.name, SCIM_SINK.name})
"""The packages that must know both ends of a link by a name of their own."""


def sink_faults(configuration: Configuration, connection: Connection) -> Iterator[Fault]:
    """The faults of a sink: of its tables, and of what they name."""
    where = f"connection {shown(connection.identifier)}"
    if not connection.tables:
        yield Fault(
            connection.location,
            f"{where} has no ConnectionTable; write one for each entity type whose changes are delivered",
        )
    if connection.package == CSV_SINK.name and len(connection.tables) > 1:
        yield Fault(
            connection.location,
            f"{where} has more than one ConnectionTable, but a CSV file has one kind of rows; write a Connection for "
            "each",
        )
    subjects: set[str] = set()
    for table in connection.tables:
        what = f"the table {shown(table.identifier)} of {where}"
        location = table.location or connection.location
        for problem in _problems(configuration, table, connection):
            yield Fault(location, f"{what} {problem}")
        subject = table.options.get(SUBJECT, "").strip()
        if subject in subjects:
            yield Fault(location, f"{what} delivers {shown(subject)} again; remove one of the two")
        subjects.add(subject)


def sink_warnings(configuration: Configuration) -> Iterator[Fault]:
    """The warnings about sinks that never get what changes, because it is discarded at once."""
    fed: dict[str, list[str]] = {}
    for mapping in configuration.entity_type_mappings:
        fed.setdefault(mapping.connector, []).append(mapping.entity_type)
    discarding = {task.synchronizes: task for task in configuration.all_tasks() if task.discards_changes}
    for sink in configuration.sinks:
        for table in sink.tables:
            subject = table.options.get(SUBJECT, "").strip()
            for connector, task in discarding.items():
                if connector is not None and subject in fed.get(connector, ()):
                    yield Fault(
                        table.location or sink.location,
                        f"the sink {shown(sink.identifier)} gets no changes of {shown(subject)}: "
                        f"{shown(task.identifier)} discards them when it ends, before they are delivered; write "
                        f'DoNotDeleteChanges="true" in that task',
                    )


def _problems(configuration: Configuration, table: ConnectionTable, connection: Connection) -> Iterator[str]:
    name = table.options.get(SUBJECT, "").strip()
    if not name:
        return  # a fault of the package
    subject = configuration.entity_type(name)
    if subject is None:
        known = [item.identifier for item in configuration.entity_types]
        yield f"has the {SUBJECT} {shown(name)}, which is no entity type{hint(name, known)}"
        return
    yield from _property_problems(configuration, table, subject)
    associations = {item.identifier: item for item in configuration.associations_from(name)}
    try:
        chosen = associations_at_sink(table).values()
    except ValueError:
        return  # a fault of the package
    subjects = {item.options.get(SUBJECT, "").strip() for item in connection.tables}
    for association in chosen:
        if association not in associations:
            ending = hint(association, associations)
            yield f"has {ASSOCIATIONS} with {shown(association)}, which is no association from {shown(name)}{ending}"
            continue
        other = associations[association].property2.entity_type
        if connection.package in _NAMES_BOTH_ENDS and other not in subjects:
            yield (
                f"has {ASSOCIATIONS} with {shown(association)}, whose other end {shown(other)} no ConnectionTable of "
                f"this sink delivers; write one with {SUBJECT}={shown(other)}"
            )


def _property_problems(configuration: Configuration, table: ConnectionTable, subject: EntityType) -> Iterator[str]:
    valued = [declared.identifier for declared in configuration.valued_properties(subject)]
    try:
        names = names_at_sink(table)
    except ValueError:
        return  # a fault of the package
    named = table.options.get(DISTINGUISHED_NAME, "").strip()
    for item in dict.fromkeys((*(names or {}).values(), *([named] if named else []))):
        if item not in valued:
            yield f"names the property {shown(item)}, which {shown(subject.identifier)} has not{hint(item, valued)}"
