"""Connection tables that a program gives, in the place of the files of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.errors import UsageError
from deltamark.domain.suggestions import nearest
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


def tables_of_job(configuration: Configuration, job: Job) -> dict[str, tuple[str, ...]]:
    """Connection table -> the columns that mappings name, of the tables that the tasks of a job read."""
    tasks = configuration.called_by(job)
    return tables_of_connectors(configuration, filter(None, (task.prepares or task.synchronizes for task in tasks)))


def all_tables(configuration: Configuration) -> dict[str, tuple[str, ...]]:
    """Connection table -> the columns that mappings name, of all tables."""
    return tables_of_connectors(configuration, (connector.identifier for connector in configuration.connectors))


def tables_of_connectors(configuration: Configuration, connectors: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Connection table -> the columns that mappings name, of the tables of some connectors."""
    columns: dict[str, dict[str, None]] = {}
    for connector in dict.fromkeys(connectors):
        resources, links = configuration.mappings_of_connector(connector)
        for mapping in resources:
            named = columns.setdefault(mapping.connection_table, {})
            named.update(dict.fromkeys(mapped.connection_column for mapped in mapping.properties))
        for pairs in links:
            columns.setdefault(pairs.connection_table, {}).update(dict.fromkeys((pairs.column1, pairs.column2)))
    return {table: tuple(named) for table, named in columns.items()}


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
