"""Faults of connections: packages that are not built, tables that cannot be read as they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connection, ConnectionTable
from deltamark.domain.configuration.packages import LINKS, PACKAGES, SINKS, SQL, Package, is_sink, package_named
from deltamark.domain.errors import Fault
from deltamark.domain.suggestions import hint
from deltamark.domain.validation.databases import database_faults
from deltamark.domain.validation.directories import directory_faults, link_faults
from deltamark.domain.validation.sinks import sink_faults
from deltamark.domain.values import shown

ColumnProblem = Callable[[str], str | None]


def connection_faults(configuration: Configuration) -> Iterator[Fault]:
    """The faults of connections that read tables, and of the tasks that read them."""
    read_by: dict[tuple[str, str], Connection] = {}
    for connection in configuration.connections:
        if connection.tables or is_sink(connection):
            yield from _package_faults(configuration, connection)
        if is_sink(connection):
            yield from sink_faults(configuration, connection)
            continue
        for table in connection.tables:
            yield from _unmapped(configuration, connection, table)
            first = read_by.setdefault((connection.connector, table.identifier), connection)
            if first is not connection or connection.tables.count(table) > 1:
                yield Fault(
                    table.location or connection.location,
                    f"the table {shown(table.identifier)} of connector {shown(connection.connector)} is read twice, by "
                    f"{shown(first.identifier)} and {shown(connection.identifier)}; remove one of the two",
                )
    yield from _task_faults(configuration)


def _package_faults(configuration: Configuration, connection: Connection) -> Iterator[Fault]:
    where = f"connection {shown(connection.identifier)}"
    package = package_named(connection.package)
    if package is None:
        name = connection.package
        what = "names no Package" if name is None else f"the Package {shown(name)} is not built"
        ending = f"; write one of {', '.join(PACKAGES)}" if name is None else hint(name, list(PACKAGES))
        yield Fault(connection.location, f"{where} reads tables, but {what}{ending}")
        return
    for table in connection.tables:
        yield from _option_faults(connection, package, table)
        if package is SQL:
            yield from database_faults(configuration, connection, table)
        if LINKS in table.options and LINKS in package.options:
            yield from link_faults(configuration, connection, table)
        elif package.key_column is not None:
            yield from directory_faults(configuration, connection, package.key_column, table)
        if package.column_problem is not None and LINKS not in table.options:
            yield from _column_faults(configuration, connection, package.column_problem, table)


def _option_faults(connection: Connection, package: Package, table: ConnectionTable) -> Iterator[Fault]:
    where = f"the table {shown(table.identifier)} of connection {shown(connection.identifier)}"
    location = table.location or connection.location
    for name in table.options:
        if name not in package.options:
            ending = hint(name, list(package.options))
            yield Fault(location, f"{where} has {name}, which package {package.name} does not read{ending}")
    for problem in package.problems(table):
        yield Fault(location, f"{where} {problem}")


def _column_faults(
    configuration: Configuration, connection: Connection, problem_of: ColumnProblem, table: ConnectionTable
) -> Iterator[Fault]:
    resources, _ = configuration.mappings_of_connector(connection.connector)
    for mapping in resources:
        for item in mapping.properties if mapping.connection_table == table.identifier else ():
            problem = problem_of(item.connection_column)
            if problem is not None:
                yield Fault(
                    item.location or mapping.location,
                    f"the column {shown(item.connection_column)} of the table {shown(table.identifier)} of connection "
                    f"{shown(connection.identifier)} {problem}",
                )


def _unmapped(configuration: Configuration, connection: Connection, table: ConnectionTable) -> Iterator[Fault]:
    mapped = [configuration.table_read(mapping) for mapping in configuration.all_mappings_of(connection.connector)]
    if table.identifier not in mapped:
        yield Fault(
            table.location or connection.location,
            f"no mapping of connector {shown(connection.connector)} has the ConnectionTable "
            f"{shown(table.identifier)}, which connection {shown(connection.identifier)} reads"
            f"{hint(table.identifier, mapped)}; map it, or remove the table",
        )


def _task_faults(configuration: Configuration) -> Iterator[Fault]:
    connections = {connection.identifier for connection in configuration.connections}
    connectors = {connector.identifier for connector in configuration.connectors}
    for task in configuration.all_tasks():
        connection, connector = task.exports
        if task.delivers in connections - {sink.identifier for sink in configuration.sinks}:
            yield Fault(
                task.location,
                f"`{task.kind}` {shown(task.identifier)} delivers to connection {shown(task.delivers)}, which is no "
                f"sink; write one of the packages {', '.join(package.name for package in SINKS)} in that Connection",
            )
        is_known = connection in connections or (connection is None and connector in connectors)
        if is_known and not configuration.connections_read_by(task):
            what = f"connection {shown(connection)}" if connection is not None else f"connector {shown(connector)}"
            yield Fault(
                task.location,
                f"`{task.kind}` {shown(task.identifier)} reads {what}, which has no tables to read; write a "
                "ConnectionTable inside its Connection",
            )
