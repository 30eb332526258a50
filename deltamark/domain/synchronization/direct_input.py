"""Connection tables that a program gives, in the place of the files of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    ConnectionTransformation,
    EntityAssociationMapping,
    EntityTypeMapping,
)
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.errors import UsageError
from deltamark.domain.suggestions import nearest
from deltamark.domain.synchronization.transformed_tables import TransformedTable
from deltamark.domain.values import shown


@frozen
class Delta:
    """Rows of which each says what happened, given to a run in the place of a whole table.

    What they do not name stays as it is. Whole tables are given as they are.

    :param rows: what stands for a connection table, see `Engine.run_job`.
    :param column: the column of the commands: ``insert``, ``update``, ``merge`` or ``delete``.
    """

    rows: Any = field(eq=False, repr=False)
    column: str = field(default="command", kw_only=True)


def name_of(table: str) -> str:
    """The name by which runs and messages call a table that a program gives, in the place of the name of a file."""
    return f"{table} (given by the program)"


Transformed: TypeAlias = Callable[[ConnectionTransformation], TransformedTable]
"""Reads the query of a transformation."""


def tables_of_job(configuration: Configuration, job: Job, transformed: Transformed) -> dict[str, tuple[str, ...]]:
    """Connection table -> the columns that are read, of the tables that the tasks of a job read."""
    tasks = configuration.called_by(job)
    connectors = filter(None, (task.prepares or task.synchronizes for task in tasks))
    return tables_of_connectors(configuration, connectors, transformed)


def all_tables(configuration: Configuration, transformed: Transformed) -> dict[str, tuple[str, ...]]:
    """Connection table -> the columns that are read, of all tables."""
    connectors = (connector.identifier for connector in configuration.connectors)
    return tables_of_connectors(configuration, connectors, transformed)


def tables_of_connectors(
    configuration: Configuration, connectors: Iterable[str], transformed: Transformed
) -> dict[str, tuple[str, ...]]:
    """Connection table -> the columns that are read, of the tables of some connectors.

    Those are what mappings name, and what transformations read to give that.
    """
    columns: dict[str, dict[str, None]] = {}
    for connector in dict.fromkeys(connectors):
        for mapping in configuration.all_mappings_of(connector):
            named = columns_of(mapping)
            transformation = configuration.transformation(connector, mapping.connection_table)
            if transformation is not None:
                named = transformed(transformation).reads(named)
            columns.setdefault(configuration.table_read(mapping), {}).update(dict.fromkeys(named))
    return {table: tuple(named) for table, named in columns.items()}


def columns_of(mapping: EntityTypeMapping | EntityAssociationMapping) -> tuple[str, ...]:
    """The columns that a mapping names."""
    if isinstance(mapping, EntityTypeMapping):
        return tuple(mapped.connection_column for mapped in mapping.properties)
    return (mapping.column1, mapping.column2)


def refuse_unknown_tables(given: Iterable[object], known: Mapping[str, object], of: str) -> None:
    """Refuses names that are not those of connection tables.

    :param of: what the known ones are of, for the message.
    :raises UsageError: naming the first one, and those that are known.
    """
    for name in given:
        if name not in known:
            listed = ", ".join(shown(table, 60) for table in known) or "none"
            guess = nearest(str(name), sorted(known))
            near = "" if guess is None else f" Did you mean {shown(guess)}?"
            raise UsageError(f"{shown(name)} is no connection table of {of}, which has {listed}.{near}")
