"""The package `Sql`: reads queries of a database, as a whole or what changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any

from attrs import evolve, frozen

from deltamark.application.ports.sources import (
    PlaceLost,
    Probe,
    Question,
    Reached,
    SourcePlace,
    SourceUnreachable,
    Tables,
)
from deltamark.domain.configuration.packages import SQL
from deltamark.domain.proposal.descriptions import Description
from deltamark.domain.secrets import masked
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.description import description
from deltamark.infrastructure.sql.reader import Mark, SQLReader
from deltamark.infrastructure.sql.table_changes import TablePlace, checked_key, read_changes, read_everything, told_by

_COOKIE_FORMAT = 2

OpenReader = Callable[[Question], AbstractContextManager[SQLReader]]


@frozen
class SQLSource:
    """Reads databases by the scheme of their address.

    :param readers: the beginning of the address, such as `sqlite:` -> opens such a database.
    """

    readers: Mapping[str, OpenReader]

    def probe(self, ask: Question) -> Probe:
        """Reads the columns of each query, and no row."""
        problems, findings = [], []
        with self._open(ask) as reader:
            for table in ask.tables:
                try:
                    checked_key(reader, table)
                except SourceUnreachable as e:
                    problems.append(e.problem)
                    continue
                findings.append(f"{table.name}: {told_by(table)}")
            return Probe(server=reader.server, findings=[*findings, *_warnings(ask)], problems=problems)

    def describe(self, ask: Question, names: Collection[str] = ()) -> Description:
        """The tables of a database, with their keys."""
        with self._open(ask) as reader:
            found = description(reader.server, reader.tables(), names, reader)
            return evolve(found, notes=[*_warnings(ask), *found.notes])

    def snapshot(self, ask: Question, into: Tables) -> Reached:
        """Reads all rows of all queries in one transaction."""
        with self._open(ask) as reader:
            places = {}
            for table in ask.tables:
                place = read_everything(reader, table, into)
                if place is not None:
                    places[table.name] = place
            return Reached(place=_place(ask, reader, places) if places else None)

    def changes(self, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        """Reads the rows that changed since a place, whole; and everything of tables that do not tell changes.

        :raises PlaceLost: if the database was made anew, or if what tells the changes is not where it was: it was
            restored from a backup, or rows were deleted that it needs.
        """
        before = _places(since)
        with self._open(ask) as reader:
            if dict(since.guard) != dict(reader.guard):
                raise PlaceLost("the database is another one than that of the last delivery")
            places = {}
            for table in ask.tables:
                place = read_changes(reader, table, before.get(table.name), into)
                if place is not None:
                    places[table.name] = place
            return Reached(place=_place(ask, reader, places))

    def _open(self, ask: Question) -> AbstractContextManager[SQLReader]:
        address = ask.text("server")
        if address is None:
            raise SourceUnreachable(
                "no server is given",
                'Write server = "sqlite:///hr.db", "postgresql://host/database", "mysql://host/database", '
                '"oracle://host/service" or "sqlserver://host/database" below '
                f"[deltamark.connections.{ask.connection}] in deltamark.toml.",
            )
        library = SQL.library_for(address)
        if library is not None and find_spec(library.module) is None:
            raise SourceUnreachable("the server needs a library that is not installed", library.installation)
        for beginning, open_reader in self.readers.items():
            if address.startswith(beginning):
                return open_reader(ask)
        known = ", ".join(self.readers)
        raise SourceUnreachable(
            f"the server {shown(masked(address))} is of no known kind", f"Begin it with one of {known}."
        )


def _warnings(ask: Question) -> list[str]:
    library = SQL.library_for(ask.text("server"))
    return [] if library is None or not library.untried else [library.warning]


def _place(ask: Question, reader: SQLReader, places: Mapping[str, TablePlace]) -> SourcePlace:
    kept = {
        name: {
            "mark": None if place.mark is None else [place.mark.text, place.mark.type],
            "key": place.key,
            "keys": place.keys,
        }
        for name, place in places.items()
    }
    cookie = json.dumps({"format": _COOKIE_FORMAT, "tables": kept}, sort_keys=True).encode()
    return SourcePlace(cookie=cookie, guard=reader.guard, scope=ask.scope)


def _places(place: SourcePlace) -> dict[str, TablePlace]:
    """How far each table was delivered.

    :raises PlaceLost: if that cannot be read.
    """
    try:
        members: Any = json.loads(place.cookie)
        if members["format"] != _COOKIE_FORMAT:
            raise ValueError("format")
        return {
            name: TablePlace(
                mark=None if kept["mark"] is None else Mark(text=str(kept["mark"][0]), type=str(kept["mark"][1])),
                key=kept["key"],
                keys=kept["keys"],
            )
            for name, kept in members["tables"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise PlaceLost("the place was written by another version") from None
