"""The package `Sql`: reads queries of a database, as a whole or what changed by a watermark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import pyarrow as pa
from attrs import frozen

from deltamark.application.ports.sources import (
    COMMAND,
    PlaceLost,
    Probe,
    Question,
    Reached,
    SourcePlace,
    SourceUnreachable,
    Tables,
    WantedTable,
)
from deltamark.domain.configuration.packages import DELETED, OVERLAP, QUERY, WATERMARK
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.reader import Mark, Row, SQLReader

_COOKIE_FORMAT = 1
_PORTION = 10_000
"""Rows that are written at a time: memory does not grow with a table."""

_NOT_DELETED = frozenset({None, "", "0", "false", "f", "no", "n"})

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
                    _check_columns(reader, table)
                except SourceUnreachable as e:
                    problems.append(e.problem)
                    continue
                how = f"changes by {table.options[WATERMARK]}" if WATERMARK in table.options else "read as a whole"
                findings.append(f"{table.name}: {how}")
            return Probe(server=reader.server, findings=findings, problems=problems)

    def snapshot(self, ask: Question, into: Tables) -> Reached:
        """Reads all rows of all queries in one transaction."""
        with self._open(ask) as reader:
            marks: dict[str, Mark | None] = {}
            for table in ask.tables:
                _check_columns(reader, table)
                if WATERMARK in table.options:
                    marks[table.name] = reader.newest(table.options[QUERY], table.options[WATERMARK])
                _write(table, _live(table, _all_rows(reader, table, None)), into, commands=False)
            return Reached(place=_place(ask, reader, marks) if marks else None)

    def changes(self, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        """Reads the rows whose watermark is not before that of the place, less the overlap.

        :raises PlaceLost: if the database was made anew, or if its newest value is before that of the place: it was
            restored from a backup, or rows were deleted.
        """
        before = _marks(since)
        with self._open(ask) as reader:
            if dict(since.guard) != dict(reader.guard):
                raise PlaceLost("the database is another one than that of the last delivery")
            marks: dict[str, Mark | None] = {}
            for table in ask.tables:
                _check_columns(reader, table)
                watermark = table.options.get(WATERMARK)
                if watermark is None:
                    _write(table, _live(table, _all_rows(reader, table, None)), into, commands=False)
                    continue
                newest, mark = reader.newest(table.options[QUERY], watermark), before.get(table.name)
                if mark is not None and (newest is None or reader.is_before(newest, mark)):
                    found = "nothing" if newest is None else shown(newest.text)
                    raise PlaceLost(
                        f"the newest {watermark} of {table.name} is {found}, before {shown(mark.text)} of the last "
                        "delivery: rows were deleted, or the database was restored from a backup"
                    )
                marks[table.name] = newest
                overlap = table.options.get(OVERLAP)
                start = mark if mark is None or overlap is None else reader.earlier(mark, overlap)
                _write(table, _commanded(table, _all_rows(reader, table, start)), into, commands=True)
            return Reached(place=_place(ask, reader, marks))

    def _open(self, ask: Question) -> AbstractContextManager[SQLReader]:
        address = ask.text("server")
        if address is None:
            raise SourceUnreachable(
                "no server is given",
                f'Write server = "sqlite:///hr.db" or "postgresql://host/database" below '
                f"[deltamark.connections.{ask.connection}] in deltamark.toml.",
            )
        for beginning, open_reader in self.readers.items():
            if address.startswith(beginning):
                return open_reader(ask)
        known = ", ".join(self.readers)
        raise SourceUnreachable(f"the server {shown(address)} is of no known kind", f"Begin it with one of {known}.")


def _read_columns(table: WantedTable) -> list[str]:
    """The columns to be read: those that are delivered, and the one that says whether a row is deleted."""
    deleted = table.options.get(DELETED)
    return [*table.columns, *([deleted] if deleted is not None else [])]


def _check_columns(reader: SQLReader, table: WantedTable) -> None:
    """Refuses a query that lacks a column, or has one twice."""
    present = list(reader.columns(table.options[QUERY]))
    watermark = table.options.get(WATERMARK)
    for name in dict.fromkeys([*_read_columns(table), *([watermark] if watermark else [])]):
        if present.count(name) != 1:
            how = "has no column" if name not in present else "has several columns"
            raise SourceUnreachable(
                f"the Query of {table.name} {how} {shown(name)}; it has {', '.join(map(shown, present))}",
                "Correct the Query or the mapping.",
            )


def _all_rows(reader: SQLReader, table: WantedTable, since: Mark | None) -> Iterator[Row]:
    return reader.rows(table.options[QUERY], _read_columns(table), table.options.get(WATERMARK), since)


def _live(table: WantedTable, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows that are not deleted, without the column that says so."""
    if DELETED not in table.options:
        return rows
    return (row[:-1] for row in rows if not _is_deleted(row))


def _commanded(table: WantedTable, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, each with its command first."""
    if DELETED not in table.options:
        return (("insert", *row) for row in rows)
    return (("delete" if _is_deleted(row) else "insert", *row[:-1]) for row in rows)


def _is_deleted(row: Row) -> bool:
    value = row[-1]
    return (None if value is None else value.strip().lower()) not in _NOT_DELETED


def _write(table: WantedTable, rows: Iterator[Row], into: Tables, *, commands: bool) -> None:
    names = [COMMAND, *table.columns] if commands else list(table.columns)
    schema = pa.schema([(name, pa.string()) for name in names])
    is_first = True
    while portion := list(islice(rows, _PORTION)):
        columns = [pa.array(values, pa.string()) for values in zip(*portion, strict=True)]
        into.write(table.name, pa.record_batch(columns, schema=schema))
        is_first = False
    if is_first:
        into.write(table.name, pa.record_batch([pa.array([], pa.string()) for _ in names], schema=schema))


def _place(ask: Question, reader: SQLReader, marks: Mapping[str, Mark | None]) -> SourcePlace:
    kept = {name: None if mark is None else [mark.text, mark.type] for name, mark in marks.items()}
    cookie = json.dumps({"format": _COOKIE_FORMAT, "marks": kept}, sort_keys=True).encode()
    return SourcePlace(cookie=cookie, guard=reader.guard, scope=ask.scope)


def _marks(place: SourcePlace) -> dict[str, Mark | None]:
    """The newest values that were delivered, by table.

    :raises PlaceLost: if they cannot be read.
    """
    try:
        members: Any = json.loads(place.cookie)
        if members["format"] != _COOKIE_FORMAT:
            raise ValueError("format")
        return {
            name: None if mark is None else Mark(text=str(mark[0]), type=str(mark[1]))
            for name, mark in members["marks"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise PlaceLost("the place was written by another version") from None
