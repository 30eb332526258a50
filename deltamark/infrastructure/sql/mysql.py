"""Reads a MySQL or MariaDB database: the server's own text of each value, in one consistent read-only transaction."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.infrastructure.sql.addresses import server_address, trusted
from deltamark.infrastructure.sql.description import ForeignKey, SQLTable
from deltamark.infrastructure.sql.reader import (
    NAME_A_COLUMN,
    NO_TRANSACTIONS,
    NUMBER_TEXT,
    PLAIN_NAME,
    Among,
    Condition,
    Mark,
    SQLReader,
    concatenated_with_bars,
    text_batches,
    with_single_floats,
)
from deltamark.infrastructure.sql.times import earlier_mark

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import SSCursor

BEGINNINGS = ("mysql://", "mariadb://")
_TIMEOUT_S = 60
_SILENCES = 10
"""So many times the timeout a server may work before it sends anything."""
_PORT = 3306
_SETTINGS = (
    "SET time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_IDENTITY = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_uid')"

_TABLES = """
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME"""
_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, LOWER(DATA_TYPE), IS_NULLABLE = 'NO' FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION"""
_INDEXES = """
SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND SEQ_IN_INDEX = 1"""
_KEYS = """
SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = DATABASE() AND (CONSTRAINT_NAME = 'PRIMARY' OR REFERENCED_TABLE_SCHEMA = DATABASE())
ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"""
_BYTE_TYPES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})

NUMBER, REAL, TIME, BYTES, TEXT = "number", "real", "time", "bytes", "text"
_FLOAT, _BIT = 4, 16
_KINDS: Mapping[int, str] = {
    **dict.fromkeys((0, 1, 2, 3, 8, 9, 13, _BIT, 246), NUMBER),
    **dict.fromkeys((_FLOAT, 5), REAL),
    **dict.fromkeys((7, 10, 12, 14), TIME),
}
"""Number of a type in the protocol -> what it is; all others are texts or bytes."""
_BLOBS = frozenset({249, 250, 251, 252, 253, 254, 255})


_PASSING = frozenset({1040, 1053, 2002, 2003, 2006, 2013})
"""Errors that may be gone in a moment: the server is full, stops, is not reached, or ended the connection."""


@contextmanager
def mysql_reader(ask: Question) -> Iterator[MySQLReader]:
    """One read-only transaction of the database at the address of a question: all of it sees the same moment.

    :raises SourceUnreachable: if it cannot be read.
    """
    import pymysql
    from pymysql.converters import conversions

    secret = ask.secret("password")
    timeout = int(ask.settings.get("timeout", _TIMEOUT_S))
    as_the_server_says = {kind: encode for kind, encode in conversions.items() if not isinstance(kind, int)}
    try:
        connection = pymysql.connect(
            **mysql_address(ask),
            password=b"" if secret is None else secret.value.encode(),  # the driver takes texts as Latin-1
            charset="utf8mb4",
            conv=as_the_server_says,
            connect_timeout=timeout,
            read_timeout=timeout * _SILENCES,
            program_name="deltamark",
        )
        try:
            for setting in _SETTINGS:
                _execute(connection, setting)
            yield MySQLReader(connection)
        finally:
            if connection.open:
                connection.close()
    except (pymysql.MySQLError, OSError, UnicodeError) as e:
        problem = " ".join(str(e.args[-1] if e.args else e).split()) or type(e).__name__
        is_temporary = bool(e.args) and e.args[0] in _PASSING
        failed = SourceUnreachable(problem, is_temporary=is_temporary)
    else:
        return
    raise failed  # without its cause, which may show the password


def mysql_address(ask: Question) -> dict[str, Any]:
    """Where the server is, and how it must prove who it is: by a certificate, unless nothing leaves this machine."""
    address = server_address(
        ask,
        _PORT,
        'Write server = "mysql://host:port/database", or "mysql:///database?socket=/path".',
        frozenset({"socket"}),
    )
    found: dict[str, Any] = {"user": address.user, "database": address.database}
    if "socket" in address.options:
        return {**found, "unix_socket": address.options["socket"], "ssl_disabled": True}
    there = {**found, "host": address.host, "port": address.port}
    return {**there, "ssl_disabled": True} if address.is_local else {**there, "ssl": trusted(ask)}


def _execute(connection: Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


class MySQLReader(SQLReader):
    """One read-only transaction."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    @property
    def server(self) -> str:
        """The product and its version."""
        version = str(self._one("SELECT VERSION()"))
        return f"{'MariaDB' if 'mariadb' in version.lower() else 'MySQL'} {version.partition('-')[0]}"

    @property
    def guard(self) -> Mapping[str, str]:
        """The database and the number of its server, which one that is installed anew does not have."""
        found = dict(_execute(self._connection, _IDENTITY))
        return {"database": str(self._one("SELECT DATABASE()")), **{name: str(value) for name, value in found.items()}}

    def tables(self) -> Sequence[SQLTable]:
        """The tables of the database; the server does not show those that the user may not use."""
        columns = _execute(self._connection, _COLUMNS)
        indexed = _execute(self._connection, _INDEXES)
        keys: dict[tuple[str, str], list[tuple[str, str | None, str | None]]] = {}
        for table, name, column, target, target_column in _execute(self._connection, _KEYS):
            keys.setdefault((table, name), []).append((column, target, target_column))
        return [
            SQLTable(
                label=label,
                source=self._source(label),
                columns=[name for table, name, *_ in columns if table == label],
                binary=frozenset(name for table, name, kind, _ in columns if table == label and kind in _BYTE_TYPES),
                primary=[column for column, _, _ in keys.get((label, "PRIMARY"), ())],
                foreign=[
                    ForeignKey(
                        columns=[column for column, _, _ in parts],
                        table=str(parts[0][1]),
                        target=[str(target) for _, _, target in parts],
                    )
                    for (table, name), parts in keys.items()
                    if table == label and parts[0][1] is not None
                ],
                required=frozenset(name for table, name, _, filled in columns if table == label and int(filled)),
                indexed=frozenset(column for table, column in indexed if table == label),
                clocks=frozenset(
                    name for table, name, kind, _ in columns if table == label and kind in ("datetime", "timestamp")
                ),
            )
            for (label,) in _execute(self._connection, _TABLES)
        ]

    def _source(self, name: str) -> str:
        """The name of a table in SQL, in quotes only where it needs them."""
        return name if self._is_plain(name, f"SELECT 1 FROM {name} LIMIT 0") else _quoted(name)

    def _is_plain(self, name: str, statement: str) -> bool:
        """Whether a name needs no quotes, as a statement shows that has none: others are words of SQL."""
        import pymysql

        if not PLAIN_NAME.match(name):
            return False
        try:
            _execute(self._connection, statement)
        except pymysql.err.ProgrammingError:
            return False
        return True

    def name(self, column: str) -> str:
        """The name of a column in SQL, in quotes only where it needs them."""
        quoted = _quoted(column)
        return column if self._is_plain(column, f"SELECT {column} FROM (SELECT 1 AS {quoted}) q") else quoted

    def joined(self, columns: Sequence[str], name: str) -> str:
        """One text of several columns."""
        return concatenated_with_bars([self.name(column) for column in columns], name)

    def columns(self, query: str) -> Sequence[str]:
        """The columns of a query; the server itself refuses one that has a name twice."""
        return [name for name, _ in self._described(query)]

    def extreme(self, function: str, query: str, column: str) -> Mark | None:
        sql = f"SELECT {function}(q.{_quoted(column)}) AS v FROM ({query}\n) q"
        ((_, kind),) = self._described(sql)
        value = self._one(f"SELECT {_as_text('v', kind)} FROM ({sql}) q")
        if value is None:
            return None
        if isinstance(value, bytes):
            return Mark(text=base64.b64encode(value).decode(), type=BYTES)
        return Mark(text=str(value), type=_KINDS.get(kind, TEXT))

    def horizon(self, query: str, column: str) -> Mark:
        """No column of MySQL tells which transaction wrote a row."""
        raise SourceUnreachable(NO_TRANSACTIONS, NAME_A_COLUMN)

    def is_before(self, one: Mark, other: Mark) -> bool:
        """Whether a value is before another one: numbers by their size, times in their order, other texts as bytes."""
        if {one.type, other.type} <= {NUMBER, REAL}:
            return Decimal(one.text) < Decimal(other.text)
        if TIME in (one.type, other.type):
            return one.text < other.text  # as the server writes them
        return bool(int(self._one(f"SELECT {_literal(one.text, one.type)} < {_literal(other.text, other.type)}")))

    def earlier(self, mark: Mark, overlap: str) -> Mark:
        """A value that lies before another one, in the same notation."""
        return earlier_mark(mark, overlap, is_number=mark.type == NUMBER, is_time=mark.type == TIME)

    def count(self, query: str, column: str) -> int:
        """How many different values a column of a query has."""
        return int(self._one(f"SELECT count(DISTINCT q.{_quoted(column)}) FROM ({query}\n) q"))

    def batches(
        self, query: str, columns: Sequence[str], condition: Condition | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a query as texts of the server, which sends them while they are read."""
        from pymysql.cursors import SSCursor

        kinds = dict(self._described(query))
        sql = f"SELECT {', '.join(_as_text(name, kinds[name]) for name in columns)} FROM ({query}\n) q"
        if isinstance(condition, Among):
            kind = _kind(kinds[condition.column])
            values = ", ".join(_literal(text, kind) for text in condition.values)
            sql += f" WHERE q.{_quoted(condition.column)} IN ({values})"
        elif condition is not None:
            column = f"q.{_quoted(condition.column)}"
            sql += f" WHERE {column} >= {_literal(condition.mark.text, condition.mark.type)} OR {column} IS NULL"
        floats = [number for number, name in enumerate(columns) if kinds[name] == _FLOAT]
        cursor = self._connection.cursor(SSCursor)
        try:
            cursor.execute(sql)
            for batch in text_batches(columns, cursor.fetchmany, _text):
                yield with_single_floats(batch, floats) if floats else batch
        finally:
            _close(cursor)

    def _described(self, query: str) -> list[tuple[str, int]]:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) q LIMIT 0")
            return [(column[0], column[1]) for column in cursor.description]

    def _one(self, statement: str) -> Any:
        ((value,),) = _execute(self._connection, statement)
        return value


def _close(cursor: SSCursor) -> None:
    """Closes a cursor, whose driver would first read all other rows, also of a connection that ended."""
    if cursor._result is not None:
        cursor._result.unbuffered_active = False
    cursor.close()


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _as_text(name: str, kind: int) -> str:
    """A column whose text the server writes, exactly: bits as a number, floats with all their digits."""
    column = f"q.{_quoted(name)}"
    if kind == _BIT:
        return f"CAST({column} AS UNSIGNED)"
    return f"{column} + 0e0" if kind == _FLOAT else column


def _text(cell: object) -> str:
    assert isinstance(cell, bytes), "the driver converts nothing"
    return base64.b64encode(cell).decode()


def _kind(kind: int) -> str:
    return _KINDS.get(kind, TEXT)


def _literal(text: str, kind: str) -> str:
    """A value in SQL, of which nothing is read as SQL."""
    if kind in (NUMBER, REAL) and NUMBER_TEXT.match(text):
        return text
    if kind == BYTES:
        return f"X'{base64.b64decode(text).hex()}'"
    return f"_utf8mb4 X'{text.encode().hex()}'"
