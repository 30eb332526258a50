"""Faults of tables of directories: what mappings read from them cannot be kept up to date, or is never read."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connection, ConnectionTable
from deltamark.domain.configuration.packages import ATTRIBUTE, LINKS, OWNER, VALUE
from deltamark.domain.configuration.secret_attributes import holds_secrets
from deltamark.domain.errors import Fault
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

PAIR = (OWNER, VALUE)


def directory_faults(
    configuration: Configuration, connection: Connection, key: str, table: ConnectionTable
) -> Iterator[Fault]:
    """The faults of a table of entries.

    :param key: the attribute that stays whatever is renamed, and by which deletions are told.
    """
    where = f"the table {shown(table.identifier)} of connection {shown(connection.identifier)}"
    location = table.location or connection.location
    resources, links = configuration.mappings_of_connector(connection.connector)
    for mapping in resources:
        if mapping.connection_table != table.identifier:
            continue
        for item in mapping.properties:
            if holds_secrets(item.connection_column):
                yield Fault(
                    item.location or location,
                    f"the column {shown(item.connection_column)} of {where} holds secrets, which are never read; "
                    "remove it from the mapping",
                )
            if item.is_primary_key and item.connection_column.lower() != key.lower():
                yield Fault(
                    item.location or location,
                    f"the key of {where} is read from {shown(item.connection_column)}, which may change; deletions are "
                    f"told by {key} alone. Read the key from {key}, and {shown(item.connection_column)} into another "
                    "property",
                )
    for link in links:
        if link.connection_table == table.identifier:
            yield Fault(
                link.location or location,
                f"links are read from {where}, which has entries; write a table with {LINKS}="
                f"{shown(table.identifier)} and {ATTRIBUTE} for them",
            )


def link_faults(configuration: Configuration, connection: Connection, table: ConnectionTable) -> Iterator[Fault]:
    """The faults of a table of links."""
    where = f"the table {shown(table.identifier)} of connection {shown(connection.identifier)}"
    location = table.location or connection.location
    owner = table.options[LINKS]
    owners = [other.identifier for other in connection.tables if LINKS not in other.options]
    if owner not in owners:
        yield Fault(
            location,
            f"{where} has the links of {shown(owner)}, which is no table of entries of this connection"
            f"{hint(owner, owners)}",
        )
    attribute = table.options.get(ATTRIBUTE, "")
    if holds_secrets(attribute):
        yield Fault(location, f"{where} has the {ATTRIBUTE} {shown(attribute)}, which holds secrets and is never read")
    resources, links = configuration.mappings_of_connector(connection.connector)
    for mapping in resources:
        if mapping.connection_table == table.identifier:
            yield Fault(
                mapping.location or location,
                f"resources are read from {where}, which has links; map {shown(owner)} instead",
            )
    for link in links:
        if link.connection_table == table.identifier and {link.column1, link.column2} != set(PAIR):
            yield Fault(
                link.location or location,
                f"{where} has the columns owner and value, and the mapping reads {shown(link.column1)} and "
                f"{shown(link.column2)}",
            )
