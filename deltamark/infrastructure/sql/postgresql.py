"""Reads a PostgreSQL database: the server's own text of each value, in one repeatable read-only transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.configuration.packages import overlap_of
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.reader import Mark, Row, quoted

if TYPE_CHECKING:
    import psycopg

BEGINNINGS = ("postgresql://", "postgres://")
_TIMEOUT_S = 60
_SETTINGS = (
    "SET TIME ZONE 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    "SET client_encoding = 'UTF8'",
)
"""On which the text of values depends."""

_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "xid8"})
_BOOLEAN, _BYTES = 16, 17
"""The types `boolean` and `bytea`."""


@contextmanager
def postgresql_reader(ask: Question) -> Iterator[PostgreSQLReader]:
    """One read-only transaction of the database at the address of a question: all of it sees the same moment.

    :raises SourceUnreachable: if it cannot be read.
    """
    import psycopg

    secret = ask.secret("password")
    named = {"user": ask.text("user"), "password": None if secret is None else secret.value}
    timeout = int(ask.settings.get("timeout", _TIMEOUT_S))
    try:
        with psycopg.connect(
            ask.text("server") or "",
            autocommit=False,
            connect_timeout=timeout,
            application_name="deltamark",
            options="-c default_transaction_read_only=on",
            **{name: value for name, value in named.items() if value is not None},  # type: ignore[arg-type]
        ) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            for setting in _SETTINGS:
                connection.execute(setting)
            yield PostgreSQLReader(connection)
    except psycopg.Error as e:
        problem = " ".join(str(e).split()) or type(e).__name__
        failed = SourceUnreachable(problem)
    else:
        return
    raise failed  # without its cause, which may show the password


class PostgreSQLReader:
    """One read-only transaction (see `SQLReader`)."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @property
    def server(self) -> str:
        """The product and its version."""
        version = self._one("SELECT current_setting('server_version')")
        return f"PostgreSQL {version}"

    @property
    def guard(self) -> Mapping[str, str]:
        """The number of the database, which one that is created anew does not have."""
        oid = self._one("SELECT oid::text FROM pg_database WHERE datname = current_database()")
        return {"database": str(oid)}

    def columns(self, query: str) -> Sequence[str]:
        """The columns of a query."""
        return [name for name, _ in self._described(query)]

    def newest(self, query: str, watermark: str) -> Mark | None:
        """The largest value of a column, with its type."""
        mark = quoted(watermark)
        row = self._row(f"SELECT max(q.{mark})::text, pg_typeof(max(q.{mark}))::text FROM ({query}\n) q")
        return None if row[0] is None else Mark(text=row[0], type=row[1])

    def is_before(self, one: Mark, other: Mark) -> bool:
        """Whether the server sorts a value before another one."""
        return bool(self._one(f"SELECT {self._literal(one)} < {self._literal(other)}"))

    def rows(
        self, query: str, columns: Sequence[str], watermark: str | None = None, since: Mark | None = None
    ) -> Iterator[Row]:
        """The rows of a query as texts of the server, by COPY."""
        types = dict(self._described(query))
        cells = ", ".join(_as_text(name, types[name]) for name in columns)
        sql = f"SELECT {cells} FROM ({query}\n) q"
        if watermark is not None and since is not None:
            mark = f"q.{quoted(watermark)}"
            sql += f" WHERE {mark} >= {self._literal(since)} OR {mark} IS NULL"
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY ({sql}) TO STDOUT") as copy,
        ):
            yield from copy.rows()

    def earlier(self, mark: Mark, overlap: str) -> Mark:
        """A value that lies before another one."""
        step = overlap_of(overlap)
        is_number = mark.type in _NUMBERS
        if isinstance(step, int) is not is_number:
            raise SourceUnreachable(
                f"the watermark is of the type {mark.type}, of which no Overlap {shown(overlap)} can be taken",
                "Write a time, such as 00:10:00, where it is a time, and a number where it is a number.",
            )
        if isinstance(step, int):
            return Mark(text=str(int(mark.text) - step), type=mark.type)
        seconds = step / timedelta(seconds=1)
        text = self._one(f"SELECT ({self._literal(mark)} - interval '{seconds} seconds')::{mark.type}::text")
        return Mark(text=str(text), type=mark.type)

    def _literal(self, mark: Mark) -> str:
        from psycopg import sql

        return f"{sql.Literal(mark.text).as_string(self._connection)}::{mark.type}"

    def _described(self, query: str) -> list[tuple[str, int]]:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) q LIMIT 0")
            return [(column.name, column.type_code) for column in cursor.description or ()]

    def _row(self, statement: str) -> Any:
        row = self._connection.execute(statement).fetchone()
        assert row is not None, "an aggregate has one row"
        return row

    def _one(self, statement: str) -> Any:
        return self._row(statement)[0]


def _as_text(name: str, kind: int) -> str:
    """A column whose text the server writes: COPY does so for all types, two of them not as extracts have them."""
    column = f"q.{quoted(name)}"
    if kind == _BYTES:
        return f"replace(encode({column}, 'base64'), E'\\n', '')"
    return f"{column}::text" if kind == _BOOLEAN else column
