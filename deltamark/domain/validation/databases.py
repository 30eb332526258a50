"""Faults and warnings of tables of databases: what their deltas would not tell."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connection, ConnectionTable
from deltamark.domain.configuration.packages import CHANGE_TABLE, DELETED, KEYS, SQL, WATERMARK
from deltamark.domain.errors import Fault
from deltamark.domain.values import shown


def database_faults(configuration: Configuration, connection: Connection, table: ConnectionTable) -> Iterator[Fault]:
    """The faults of one table: its deletions are told by a key that its mappings do not have."""
    how = next((name for name in (KEYS, CHANGE_TABLE) if name in table.options), None)
    if how is None:
        return
    where = _where(connection, table)
    resources, links = configuration.mappings_of_connector(connection.connector)
    keys: dict[str, None] = {}
    for mapping in resources:
        if mapping.connection_table != table.identifier:
            continue
        for item in mapping.properties:
            if item.is_primary_key:
                keys[item.connection_column] = None
    if not keys:
        yield Fault(
            table.location or connection.location,
            f"{where} has {how}, but no EntityTypeMapping reads it, so that its rows have no key; remove {how} and "
            f"{WATERMARK if how == KEYS else 'what belongs to it'}, and it is read as a whole each time",
        )
        return
    if len(keys) > 1:
        yield Fault(
            table.location or connection.location,
            f"{where} has {how}, and mappings read the keys of their resources from several columns of it, "
            f"{', '.join(map(shown, keys))}; write a table for each of them",
        )
        return
    (key,) = keys
    for link in links:
        if link.connection_table == table.identifier and key not in (link.column1, link.column2):
            yield Fault(
                link.location or table.location,
                f"links are read from {where} by {shown(link.column1)} and {shown(link.column2)}, and its {how} tells "
                f"deletions by {shown(key)} alone, so that they would stay; read the links from a table of their own",
            )


def database_warnings(configuration: Configuration) -> Iterator[Fault]:
    """The warnings about tables whose deletions no job ever sees."""
    for connection in configuration.connections:
        if connection.package != SQL.name or _is_read_whole(configuration, connection):
            continue
        for table in connection.tables:
            if WATERMARK in table.options and not {DELETED, KEYS} & set(table.options):
                yield Fault(
                    table.location or connection.location,
                    f"rows that are deleted in {_where(connection, table)} are never noticed: it has a {WATERMARK}, "
                    f"neither {DELETED} nor {KEYS}, and no job reads everything; add one of the two, or a job whose "
                    'ExportTask has IgnoreCookieFile="true"',
                )


def _is_read_whole(configuration: Configuration, connection: Connection) -> bool:
    return any(
        task.exports_everything and connection in configuration.connections_read_by(task)
        for job in configuration.jobs
        for task in configuration.called_by(job)
    )


def _where(connection: Connection, table: ConnectionTable) -> str:
    return f"the table {shown(table.identifier)} of connection {shown(connection.identifier)}"
