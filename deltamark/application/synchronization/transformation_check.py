"""Judges the queries of transformations, and whether what they give fits the mappings."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application.ports.evaluator import Evaluator
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    ConnectionTransformation,
    EntityAssociationMapping,
    EntityTypeMapping,
)
from deltamark.domain.configuration.jobs import PrepareSynchronizationTask
from deltamark.domain.configuration.packages import package_named
from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.errors import Fault
from deltamark.domain.suggestions import hint
from deltamark.domain.synchronization.direct_input import columns_of
from deltamark.domain.synchronization.transformed_tables import (
    TransformedTable,
    links_each,
    problems_of_link_deltas,
    problems_of_resource_deltas,
)
from deltamark.domain.values import shown


def query_faults(configuration: Configuration, evaluator: Evaluator) -> Iterator[Fault]:
    """The faults of the queries of transformations."""
    for declared in configuration.transformations:
        where = f"transformation {shown(declared.identifier)}"
        try:
            table = evaluator.transformed(declared)
        except ExpressionRefused as refused:
            yield from (Fault(declared.location, f"{where} {problem}") for problem in refused.problems)
            continue
        for mapping in configuration.all_mappings_of(declared.connector):
            if mapping.connection_table == declared.identifier:
                yield from _faults_of_columns(where, table, mapping)
                for problem in _problems(configuration, declared, table, mapping):
                    yield Fault(declared.location, f"{where} {problem}")


def _faults_of_columns(
    where: str, table: TransformedTable, mapping: EntityTypeMapping | EntityAssociationMapping
) -> Iterator[Fault]:
    names = [column.name for column in table.columns]
    for name in dict.fromkeys(columns_of(mapping)):
        if table.column(name) is None:
            yield Fault(
                mapping.location,
                f"mapping {shown(mapping.identifier)} reads the column {shown(name)}, which {where} does not "
                f"give{hint(name, names)}",
            )


def _problems(
    configuration: Configuration,
    declared: ConnectionTransformation,
    table: TransformedTable,
    mapping: EntityTypeMapping | EntityAssociationMapping,
) -> Iterator[str]:
    """Why a table that may be read as a delta cannot be transformed in this way."""
    if mapping.always_complete or not _may_be_delta(configuration, declared):
        return
    if isinstance(mapping, EntityTypeMapping):
        yield from problems_of_resource_deltas(table, mapping)
        yield from _problems_of_key(configuration, declared, table, mapping)
        return
    one_first_each, one_second_each = links_each(configuration, mapping)
    yield from problems_of_link_deltas(table, mapping, one_first_each=one_first_each, one_second_each=one_second_each)


def _may_be_delta(configuration: Configuration, declared: ConnectionTransformation) -> bool:
    """Whether a connection delivers changes of the table that is read, or a job reads them from a file."""
    for connection in configuration.connections_of(declared.connector):
        package = package_named(connection.package)
        for table in connection.tables:
            if table.identifier == declared.table and package is not None:
                return package.key_column is not None or package.gives_changes(table)
    return any(
        task.connector == declared.connector and task.is_incremental
        for task in configuration.all_calls_of(PrepareSynchronizationTask)
    )


def _problems_of_key(
    configuration: Configuration,
    declared: ConnectionTransformation,
    table: TransformedTable,
    mapping: EntityTypeMapping,
) -> Iterator[str]:
    """A directory names what was deleted by one column only."""
    key = table.column(mapping.primary_key.connection_column)
    for connection in configuration.connections_of(declared.connector):
        package = package_named(connection.package)
        reads = any(item.identifier == declared.table for item in connection.tables)
        name = None if package is None or not reads else package.key_column
        if name is not None and key is not None and key.source not in (None, name):
            yield (
                f"takes the key of {mapping.entity_type} from {shown(key.source)}; take it from {name}, by which the "
                "directory names what was deleted"
            )
