"""Checks the file of an SQLite store: pages, indexes, types of values, definitions of tables.

SQLite's own check reads every page, and compares every index with its table. It does not know which types the columns
of this store have, nor how its tables were defined.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping

from deltamark.domain.values import shown
from deltamark.infrastructure.store.database import KEYS, LINKS, SOURCES, TARGETS, DatabaseFault

FILE = "the file of the store"

_MOST = 100
"""The most faults that are listed."""

_OF_INDEX = re.compile(r"(?:row \d+ missing from|wrong # of entries in|non-unique entry in) index (\S+)$")
_COMPARED = ("resources", "links", "runs", "horizons", "awaited")
"""Tables that are compared with the log column by column, and that a replay corrects."""

_DECLARED = {"INTEGER": "integer", "TEXT": "text", "BLOB": "blob"}


def _misleading(table: str, columns: str, values: str, each: str) -> str:
    """The query for a value for which an index misleads.

    The entry at the place of the value, and those before and after it, must have rows in the table that are at that
    place, too. An entry that was altered still stands where the value belongs, and one that leads to another row shows
    it.
    """
    i, t = (", ".join(f"{name}.{column}" for column in columns.split(", ")) for name in "it")
    descending = ", ".join(f"i.{column} DESC" for column in columns.split(", "))
    entry = f"FROM {table} i LEFT JOIN {table} t NOT INDEXED ON t.stream = i.stream WHERE"
    return f"""SELECT 1 FROM {each} w WHERE
        coalesce((SELECT NOT coalesce(({t}) > ({values}), FALSE) {entry} ({i}) > ({values}) ORDER BY {i} LIMIT 1), 0)
        OR coalesce((SELECT NOT coalesce(({t}) < ({values}), FALSE) {entry} ({i}) < ({values})
            ORDER BY {descending} LIMIT 1), 0)
        OR EXISTS (SELECT 1 {entry} ({i}) = ({values}) AND NOT coalesce(({t}) = ({values}), FALSE))
        LIMIT 1"""


_PAIRS = "(SELECT json_extract(value, '$[0]') AS first, json_extract(value, '$[1]') AS second FROM json_each(?1))"

MISLEADING: Mapping[str, str] = {
    KEYS: _misleading("resources", "entity_type, key", "?2, +w.value", "json_each(?1)"),
    LINKS: _misleading("links", "association, source, target", "?2, w.first, w.second", _PAIRS),
    SOURCES: _misleading("links", "source", "w.value", "json_each(?1)"),
    TARGETS: _misleading("links", "target", "w.value", "json_each(?1)"),
}
"""Index -> the query for a value, of those in its first parameter, for which it misleads."""


def faults(connection: sqlite3.Connection, definitions: Callable[[], Mapping[str, str]]) -> Iterator[DatabaseFault]:
    """Yields the faults of a file.

    :param definitions: gives the statements that created tables and indexes: name -> SQL.
    """
    for part in (_page_faults, _type_faults, lambda c: _definition_faults(c, definitions())):
        try:
            yield from part(connection)
        except sqlite3.DatabaseError as e:
            if not is_damage(e):
                raise
            yield DatabaseFault(subject=FILE, problem=f"it cannot be read ({e})")


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is damaged, and not, for example, that it is locked."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_MISMATCH", "SQLITE_ERROR", "SQLITE_RANGE")):
        return True
    return not name  # such as a text that is not UTF-8


def _page_faults(connection: sqlite3.Connection) -> Iterator[DatabaseFault]:
    for (problem,) in connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall():
        if problem != "ok":
            index = _OF_INDEX.match(str(problem))
            subject = f"the index {index[1]}" if index else FILE
            yield DatabaseFault(subject=subject, problem=" ".join(str(problem).split()), in_index=index is not None)


def _type_faults(connection: sqlite3.Connection) -> Iterator[DatabaseFault]:
    """Values whose type is not that of their column, which SQLite stores and reads without a word."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    for (table,) in tables.fetchall():
        if table in _COMPARED:
            continue
        columns = [
            (name, _DECLARED[declared.upper()])
            for _, name, declared, *_ in connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
            if declared.upper() in _DECLARED
        ]
        counts = ", ".join(f"sum(typeof({_quoted(name)}) NOT IN ('{kind}', 'null'))" for name, kind in columns)
        if not columns:
            continue
        row = connection.execute(f"SELECT {counts} FROM {_quoted(table)} NOT INDEXED").fetchone()
        for (name, kind), count in zip(columns, row, strict=True):
            if kind == "text" and not count:
                problem = _text_problem(connection, table, name)
                if problem:
                    yield DatabaseFault(subject=f"the table {table}", problem=problem)
            if count:
                yield DatabaseFault(
                    subject=f"the table {table}",
                    problem=f"its column {name} has {count:,} values that are no {kind}",
                )


def _text_problem(connection: sqlite3.Connection, table: str, column: str) -> str:
    """What is wrong with the first text of a column that is not UTF-8, or nothing."""
    try:
        for _ in connection.execute(f"SELECT {_quoted(column)} FROM {_quoted(table)} NOT INDEXED"):
            pass
    except sqlite3.OperationalError as e:
        return f"its column {column} has a text that is not UTF-8 ({e})"
    return ""


def _definition_faults(connection: sqlite3.Connection, definitions: Mapping[str, str]) -> Iterator[DatabaseFault]:
    stored = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
    for name, sql in definitions.items():
        if name not in stored:
            yield DatabaseFault(subject=FILE, problem=f"it has no {name}")
        elif stored[name] != sql:
            problem = f"it was created as {shown(sql)}, and is stored as {shown(stored[name])}"
            yield DatabaseFault(subject=f"the definition of {name}", problem=problem)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
