"""Proposes a configuration for files, or for the tables of a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from attrs import evolve

from deltamark.application.ports.proposal import Describer, Profiles
from deltamark.application.ports.sources import Question, WantedTable
from deltamark.application.sources.export import asked
from deltamark.domain.proposal.keys import chosen_key
from deltamark.domain.proposal.links import chosen_links, questions
from deltamark.domain.proposal.proposal import Proposal, proposal

ReadTables = Callable[[Question], Sequence[Path]]
"""Reads all tables of a question into files, in their order."""


def propose(profiles: Profiles, files: Sequence[Path], *, connector: str) -> Proposal:
    """Looks at files as they are, and proposes a configuration that synchronizes them.

    :param connector: the name of what the files come from.
    :raises UsageError: with what is wrong in each file that cannot be read.
    """
    tables = profiles.tables(files)
    keys = {table.table: chosen_key(table) for table in tables}
    open_questions = questions(tables, {table: key.column for table, key in keys.items()})
    return proposal(tables, keys, chosen_links(profiles.answers(open_questions)), connector=connector)


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
    links = description.links()
    linked = {link.source for link in links}
    open_questions = questions(tables, {table: key.column for table, key in keys.items()})
    guessed = chosen_links(profiles.answers(item for item in open_questions if item.source not in linked))
    return proposal(tables, keys, [*links, *guessed], connector=connector, description=description)
