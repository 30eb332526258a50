"""Reads a PostgreSQL database: the server's own text of each value, in one repeatable read-only transaction."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.configuration.packages import overlap_of
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.copied import copied_batches
from deltamark.infrastructure.sql.description import ForeignKey, SQLTable
from deltamark.infrastructure.sql.loopback import is_loopback
from deltamark.infrastructure.sql.reader import NAME_A_COLUMN, Among, Condition, Mark, SQLReader, quoted, with_bars

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

BEGINNINGS = ("postgresql://", "postgres://")
_TIMEOUT_S = 60
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Of Debian, Fedora, openSUSE, Alpine and macOS."""
_SETTINGS = (
    "SET TIME ZONE 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    "SET client_encoding = 'UTF8'",
)
"""On which the text of values depends."""

_TABLES = """
SELECT c.oid::bigint,
       CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END,
       CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE quote_ident(n.nspname) || '.' END || quote_ident(c.relname),
       has_schema_privilege(n.oid, 'usage') AND has_table_privilege(c.oid, 'select')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 2"""
_COLUMNS = """
SELECT attrelid::bigint, attname, atttypid::bigint, attnotnull,
       EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND indkey[0] = attnum AND indisvalid AND indpred IS NULL)
FROM pg_attribute
WHERE attrelid = ANY(%s::bigint[]::oid[]) AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum"""
_KEYS = """
SELECT c.conrelid::bigint, c.contype::text, c.confrelid::bigint,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, place)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place),
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k (number, place)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_constraint c WHERE c.contype IN ('p', 'f') AND c.conrelid = ANY(%s::bigint[]::oid[]) ORDER BY c.conname"""

_CONNECTION_FAILED = "08"
_PASSING = frozenset({"53300", "57P01", "57P02", "57P03"})
_REFUSED = ("password", "authentication", "pg_hba", "certificate")
_NOT_REACHED = (
    "connection refused",
    "connection reset",
    "closed the connection",
    "connection is lost",
    "connection timeout expired",
    "no route to host",
    "is unreachable",
    "starting up",
    "shutting down",
    "too many clients",
)

_NOT_PROVEN = ("SSL error", "does not match host name")
_SIGN_IN = "Correct user, or what password refers to."
_CERTIFICATE = (
    "See that the address names the server as its certificate does, and that authority names the file of the authority "
    "that issued it. Certificates are always verified."
)
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "xid8"})
_BOOLEAN, _BYTES, _XID8 = 16, 17, 5069
"""The types `boolean`, `bytea` and `xid8`."""
_CLOCKS = frozenset({1114, 1184})
"""The types `timestamp` and `timestamptz`."""


@contextmanager
def postgresql_reader(ask: Question) -> Iterator[PostgreSQLReader]:
    """One read-only transaction of the database at the address of a question: all of it sees the same moment.

    :raises SourceUnreachable: if it cannot be read.
    """
    import psycopg

    secret = ask.secret("password")
    named = {
        "user": ask.text("user"),
        "password": None if secret is None else secret.value,
        **postgresql_security(ask.text("server") or "", ask.text("authority")),
    }
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
        advice = _CERTIFICATE if e.sqlstate is None and any(word in problem for word in _NOT_PROVEN) else ""
        if "authentication failed" in problem:
            advice = _SIGN_IN
        failed = SourceUnreachable(problem, advice, is_temporary=may_pass(e.sqlstate, problem))
    else:
        return
    raise failed  # without its cause, which may show the password


def may_pass(state: str | None, problem: str) -> bool:
    """Whether an error may be gone in a moment: the server starts, stops, is full, or is not reached.

    :param state: its code; None where there was no connection, of which libpq says the reason in words alone.
    """
    if state is not None:
        return state.startswith(_CONNECTION_FAILED) or state in _PASSING
    words = problem.lower()
    return not any(word in words for word in _REFUSED) and any(word in words for word in _NOT_REACHED)


class PostgreSQLReader(SQLReader):
    """One read-only transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @property
    def server(self) -> str:
        """The product and its version."""
        version = self._one("SELECT current_setting('server_version')")
        return f"PostgreSQL {version}"

    @property
    def guard(self) -> Mapping[str, str]:
        """The number of the database, and, where the role may know them, those of its server and of its history.

        One that is created anew, or restored to a moment of the past, has others.
        """
        oid = self._one("SELECT oid::text FROM pg_database WHERE datname = current_database()")
        guard = {"database": str(oid)}
        for name, source, column in (
            ("system", "pg_control_system()", "system_identifier"),
            ("timeline", "pg_control_checkpoint()", "timeline_id"),
        ):
            if self._one(f"SELECT has_function_privilege('pg_catalog.{source}', 'execute')"):
                guard[name] = str(self._one(f"SELECT {column}::text FROM pg_catalog.{source}"))
        return guard

    def tables(self) -> Sequence[SQLTable]:
        """The tables of all schemas."""
        tables = self._connection.execute(_TABLES).fetchall()
        numbers = [number for number, *_ in tables]
        labels = {number: label for number, label, *_ in tables}
        columns = self._connection.execute(_COLUMNS, (numbers,)).fetchall()
        keys = self._connection.execute(_KEYS, (numbers,)).fetchall()
        return [
            SQLTable(
                label=label,
                source=source,
                columns=[name for table, name, *_ in columns if table == number],
                binary=frozenset(name for table, name, kind, *_ in columns if table == number and kind == _BYTES),
                primary=next((own for table, kind, _, own, _ in keys if table == number and kind == "p"), ()),
                foreign=[
                    ForeignKey(columns=own, table=labels[target], target=others)
                    for table, kind, target, own, others in keys
                    if table == number and kind == "f" and target in labels
                ],
                required=frozenset(name for table, name, _, filled, _ in columns if table == number and filled),
                indexed=frozenset(name for table, name, *_, indexed in columns if table == number and indexed),
                clocks=frozenset(name for table, name, kind, *_ in columns if table == number and kind in _CLOCKS),
                versions=frozenset(name for table, name, kind, *_ in columns if table == number and kind == _XID8),
                is_readable=is_readable,
            )
            for number, label, source, is_readable in tables
        ]

    def name(self, column: str) -> str:
        """The name of a column in SQL, as the server quotes it."""
        row = self._connection.execute("SELECT quote_ident(%s)", (column,)).fetchone()
        assert row is not None, "a function has a value"
        return str(row[0])

    def joined(self, columns: Sequence[str], name: str) -> str:
        """One text of several columns."""
        return with_bars([self.name(column) for column in columns], name)

    def columns(self, query: str) -> Sequence[str]:
        """The columns of a query."""
        return [name for name, *_ in self._described(query)]

    def extreme(self, function: str, query: str, column: str) -> Mark | None:
        value = f"{function}(q.{quoted(column)})"
        row = self._row(f"SELECT {value}::text, pg_typeof({value})::text FROM ({query}\n) q")
        return None if row[0] is None else Mark(text=row[0], type=row[1])

    def horizon(self, query: str, column: str) -> Mark:
        """The oldest transaction that this one does not see as ended: no earlier one will write any more."""
        kinds = [kind for name, kind, _ in self._described(query) if name == column]
        if kinds != [_XID8]:
            raise SourceUnreachable(
                f"the column {shown(column)} is not of the type xid8, as the Watermark xmin:{column} says",
                NAME_A_COLUMN,
            )
        return Mark(text=self._one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text"), type="xid8")

    def count(self, query: str, column: str) -> int:
        """How many different values a column of a query has."""
        return int(self._one(f"SELECT count(DISTINCT q.{quoted(column)}) FROM ({query}\n) q"))

    def is_before(self, one: Mark, other: Mark) -> bool:
        """Whether the server sorts a value before another one."""
        return bool(self._one(f"SELECT {self._literal(one)} < {self._literal(other)}"))

    def batches(
        self, query: str, columns: Sequence[str], condition: Condition | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a query as texts of the server, by COPY."""
        types = {name: (kind, type_name) for name, kind, type_name in self._described(query)}
        cells = ", ".join(_as_text(name, types[name][0]) for name in columns)
        sql = f"SELECT {cells} FROM ({query}\n) q"
        if isinstance(condition, Among):
            sql += f" WHERE {self._is_among(condition, *types[condition.column])}"
        elif condition is not None:
            column = f"q.{quoted(condition.column)}"
            sql += f" WHERE {column} >= {self._literal(condition.mark)} OR {column} IS NULL"
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)") as copy,
        ):
            yield from copied_batches(copy, columns)

    def _is_among(self, condition: Among, kind: int, type_name: str) -> str:
        from psycopg import sql

        values = sql.Literal(list(condition.values)).as_string(self._connection)
        if kind == _BYTES:
            return f"{_as_text(condition.column, kind)} = ANY({values}::text[])"
        return f"q.{quoted(condition.column)} = ANY({values}::text[]::{type_name}[])"

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

    def _described(self, query: str) -> list[tuple[str, int, str]]:
        """The columns of a query, each with the number and the name of its type."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) q LIMIT 0")
            columns = [(column.name, column.type_code) for column in cursor.description or ()]
        kinds = [kind for _, kind in columns]
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT n::oid, format_type(n::oid, -1) FROM unnest(%s::bigint[]) AS n", (kinds,))
            names = dict(cursor.fetchall())
        return [(name, kind, names[kind]) for name, kind in columns]

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


def _authorities() -> str:
    """The file of the authorities that the system trusts; the driver itself looks for it in a folder of its own."""
    known = (ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
    return next((file for file in known if file is not None and Path(file).is_file()), "system")


def postgresql_security(address: str, authority: str | None) -> dict[str, str]:
    """How the server must prove who it is: by a certificate, unless nothing leaves this machine.

    :raises SourceUnreachable: if the address asks for less.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(address).items()}
    except ProgrammingError:
        failed = SourceUnreachable(
            "the address of the server cannot be read", 'Write server = "postgresql://host/database".'
        )
    else:
        hosts = [part for name in ("hostaddr", "host") for part in parts.get(name, "").split(",") if part]
        if all(map(is_loopback, hosts)):
            return {}
        if parts.get("sslmode", "verify-full") == "verify-full":
            return {"sslmode": "verify-full", "sslrootcert": authority or parts.get("sslrootcert") or _authorities()}
        failed = SourceUnreachable(
            f"the address asks for sslmode={parts['sslmode']}, with which another server may answer",
            "Remove sslmode from it; authority = names the file of an own certificate authority.",
        )
    raise failed
