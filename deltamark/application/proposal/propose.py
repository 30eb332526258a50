"""Proposes a configuration for files, or for the tables of a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from attrs import evolve

from deltamark.application.ports.proposal import Describer, Profiles, WorkbookSheet
from deltamark.application.ports.sources import Question, WantedTable
from deltamark.application.sources.export import asked
from deltamark.domain.configuration.entity_model import ConnectionTable
from deltamark.domain.configuration.packages import EXCEL, FILE, SHEET
from deltamark.domain.proposal.descriptions import DescribedTable, Description
from deltamark.domain.proposal.keys import KeyChoice, chosen_key, joined_key, possible_parts, with_row_key
from deltamark.domain.proposal.links import LinkChoice, chosen_links, pairs_of, questions
from deltamark.domain.proposal.names import entity_type_name
from deltamark.domain.proposal.profile import TableProfile
from deltamark.domain.proposal.proposal import Proposal, proposal

ReadTables = Callable[[Question], Sequence[Path]]
"""Reads all tables of a question into files, in their order."""


def propose(profiles: Profiles, files: Sequence[Path], *, connector: str) -> Proposal:
    """Looks at files as they are, and proposes a configuration that synchronizes them.

    :param connector: the name of what the files come from.
    :raises UsageError: with what is wrong in each file that cannot be read.
    """
    return _guessed(profiles, profiles.tables(files), connector)


def _guessed(
    profiles: Profiles, tables: Sequence[TableProfile], connector: str, description: Description | None = None
) -> Proposal:
    """What is proposed for tables of which nobody says what their keys and links are."""
    keys = {table.table: chosen_key(table) for table in tables}
    open_questions = questions(tables, {table: key.column for table, key in keys.items()})
    links = chosen_links(profiles.answers(open_questions))
    found, chosen = _with_joined_keys(profiles, tables, keys, links)
    return proposal(found, chosen, links, connector=connector, description=description)


def propose_for_workbook(profiles: Profiles, workbook: Path, sheets: Sequence[str], *, connector: str) -> Proposal:
    """Looks at the sheets of a workbook, and proposes a configuration that reads each of them as a table.

    :raises UsageError: with what is wrong in each sheet that cannot be read.
    """
    names: list[str] = []
    for sheet in sheets:
        names.append(entity_type_name(sheet, names))
    read = profiles.tables(
        [WorkbookSheet(workbook=workbook, sheet=sheet, table=name) for sheet, name in zip(sheets, names, strict=True)]
    )
    tables = [evolve(table, file=sheet, is_of_server=True) for table, sheet in zip(read, sheets, strict=True)]
    description = Description(
        server=workbook.name,
        package=EXCEL.name,
        tables=[
            DescribedTable(
                label=sheet,
                table=ConnectionTable(table.table, options={FILE: workbook.name, SHEET: sheet}),
                columns=[column.name for column in table.columns],
            )
            for table, sheet in zip(tables, sheets, strict=True)
        ],
    )
    return _guessed(profiles, tables, connector, description)


def propose_for_server(
    profiles: Profiles,
    describer: Describer,
    read: ReadTables,
    ask: Question,
    *,
    names: Collection[str],
    connector: str,
) -> Proposal:
    """Asks a server for its tables, reads them, and proposes a configuration that synchronizes them.

    Keys and links are those that the server names; what it does not name is guessed by the values, as for files.

    :param ask: the address and the settings of the connection.
    :param names: of the tables that are wanted; none: all.
    :raises SourceError: if the server cannot be read.
    """
    description = asked(ask, lambda: describer.describe(ask, names))
    wanted = [
        WantedTable(
            name=table.name,
            columns=table.columns,
            options=table.table.options,
            key=table.key[0] if len(table.key) == 1 else None,
        )
        for table in description.tables
    ]
    settings: Mapping[str, str | int | bool] = {**ask.settings, **description.settings}
    files = read(evolve(ask, package=description.package, settings=settings, tables=wanted))
    tables = [table.profile(read) for table, read in zip(description.tables, profiles.tables(files), strict=True)]
    keys = {table.name: table.key_of(profile) for table, profile in zip(description.tables, tables, strict=True)}
    links: list[LinkChoice] = [*description.links()]
    linked = {link.source for link in links}
    open_questions = questions(tables, {table: key.column for table, key in keys.items()})
    guessed = chosen_links(profiles.answers(item for item in open_questions if item.source not in linked))
    links = [*links, *guessed]
    guessable = {table.name for table in description.tables if not table.key and table.link_name is None}
    tables, keys = _with_joined_keys(profiles, tables, keys, links, guessable)
    return proposal(tables, keys, links, connector=connector, description=description)


def _with_joined_keys(
    profiles: Profiles,
    tables: Sequence[TableProfile],
    keys: Mapping[str, KeyChoice],
    links: Sequence[LinkChoice],
    guessable: Collection[str] | None = None,
) -> tuple[list[TableProfile], dict[str, KeyChoice]]:
    """Finds keys of several columns for the tables that have none of one, and hold more than links.

    :param guessable: the tables whose keys are not known by what a server says of them; None: all.
    """
    found, chosen = list[TableProfile](), dict(keys)
    for table in tables:
        name = table.table
        if (
            keys[name].column is None
            and pairs_of(table, None, links) is None
            and (guessable is None or name in guessable)
        ):
            unique = profiles.unique_together(name, possible_parts(table))
            if unique:
                chosen[name] = joined_key(table, unique)
        found.append(with_row_key(table, chosen[name]))
    return found, chosen
