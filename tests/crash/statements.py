"""Every statement that reaches a database, in order, whatever part of the program sends it: to die at one, or fail.

The connections of the drivers themselves are replaced, so that nothing goes by unseen: what begins and ends
transactions, what reads and what writes, and what the event-sourcing library sends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

Met = Callable[[Any, str], None]
"""Is told of every statement before it is sent: the connection, and the statement's text."""

_FAILING = b"DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '53100'; END $$"


@contextmanager
def every_statement(met: Met) -> Iterator[None]:
    """A block in which new connections to either database tell of every statement."""
    with pytest.MonkeyPatch.context() as patch:
        _watch_sqlite(patch, met)
        _watch_postgresql(patch, met)
        yield


def _watch_sqlite(patch: pytest.MonkeyPatch, met: Met) -> None:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *arguments: Any) -> Any:
            met(self.connection, sql)
            return super().execute(sql, *arguments)

        def executemany(self, sql: str, *arguments: Any) -> Any:
            met(self.connection, sql)
            return super().executemany(sql, *arguments)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            met(self, "COMMIT")
            super().commit()

    connect = sqlite3.connect
    patch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=Connection, **kwargs))


def _watch_postgresql(patch: pytest.MonkeyPatch, met: Met) -> None:
    for kind, name in (
        (psycopg.Cursor, "execute"),
        (psycopg.Cursor, "copy"),
        (psycopg.ServerCursor, "execute"),
    ):
        patch.setattr(kind, name, _telling(getattr(kind, name), met))


def _telling(method: Callable[..., Any], met: Met) -> Callable[..., Any]:
    def told(cursor: Any, *arguments: Any, **options: Any) -> Any:
        statement = arguments[0] if arguments else options["query"]
        if statement != _FAILING:
            met(cursor.connection, statement.decode() if isinstance(statement, bytes) else str(statement))
        return method(cursor, *arguments, **options)

    return told


class Count:
    """Counts statements, and does something at the one of that number: 0 only counts."""

    def __init__(self, last: int = 0, what: Met | None = None) -> None:
        self.begin(last, what)

    def begin(self, last: int = 0, what: Met | None = None) -> None:
        """Begins again with the next statement."""
        self._last = last
        self._what = what
        self.statements: list[str] = []

    def __call__(self, connection: Any, statement: str) -> None:
        self.statements.append(statement)
        if len(self.statements) == self._last and self._what is not None:
            self._what(connection, statement)

    @property
    def happened(self) -> bool:
        """Whether there was such a statement."""
        return len(self.statements) >= self._last


def fail(connection: Any, statement: str) -> None:
    """The statement fails for lack of space; a commit that fails undoes the transaction, as SQLite does then."""
    if isinstance(connection, psycopg.Connection):
        connection.execute(_FAILING)  # the server itself fails, and its transaction with it
        raise AssertionError("the statement did not fail")
    if statement == "COMMIT":
        connection.rollback()
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_WRITE"
    raise error
