"""Reads a SQL Server database in one snapshot transaction. Written by its documentation: not tried on a server.

The server writes the text of each value. Whatever is compared stands in the statements as hexadecimal digits, of which
nothing is read as SQL: the driver is given no parameters, for it would look for their marks in the queries of users.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.addresses import server_address
from deltamark.infrastructure.sql.description import ForeignKey, SQLTable
from deltamark.infrastructure.sql.reader import (
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
    import pyarrow as pa

BEGINNINGS = ("sqlserver://", "mssql://")
_TIMEOUT_S = 60
_SILENCES = 10
"""So many times the timeout a statement may take."""
_PORT = 1433
_OLDEST_ACTIVE = "SELECT CONVERT(varchar(18), MIN_ACTIVE_ROWVERSION(), 1)"
_SNAPSHOTS = "SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()"
_SETTINGS = ("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION")
_IDENTITY = """
SELECT DB_NAME(), CONVERT(varchar(30), d.create_date, 121), CONVERT(char(36), r.recovery_fork_guid)
FROM sys.databases d LEFT JOIN sys.database_recovery_status r ON r.database_id = d.database_id
WHERE d.database_id = DB_ID()"""

_VERSION = "SELECT CONVERT(varchar(30), SERVERPROPERTY('ProductVersion'))"

_TABLES = """
SELECT t.object_id, s.name, t.name, CASE WHEN s.name = SCHEMA_NAME() THEN 1 ELSE 0 END,
       HAS_PERMS_BY_NAME(QUOTENAME(s.name) + '.' + QUOTENAME(t.name), 'OBJECT', 'SELECT')
FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id
WHERE t.is_ms_shipped = 0 ORDER BY 4 DESC, s.name, t.name"""
_COLUMNS = """
SELECT c.object_id, c.name, TYPE_NAME(c.system_type_id), c.is_nullable FROM sys.columns c
JOIN sys.tables t ON t.object_id = c.object_id ORDER BY c.object_id, c.column_id"""
_INDEXES = """
SELECT i.object_id, c.name, i.is_primary_key, k.key_ordinal FROM sys.indexes i
JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id
JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE k.key_ordinal > 0 AND i.is_disabled = 0 AND i.has_filter = 0 ORDER BY i.object_id, i.index_id, k.key_ordinal"""
_FOREIGN = """
SELECT k.parent_object_id, k.constraint_object_id, c.name, k.referenced_object_id, t.name FROM sys.foreign_key_columns k
JOIN sys.columns c ON c.object_id = k.parent_object_id AND c.column_id = k.parent_column_id
JOIN sys.columns t ON t.object_id = k.referenced_object_id AND t.column_id = k.referenced_column_id
ORDER BY k.constraint_object_id, k.constraint_column_id"""

_INTEGERS = frozenset({"bigint", "int", "smallint", "tinyint"})
_NUMBERS = _INTEGERS | {"bit", "decimal", "money", "numeric", "smallmoney"}
_REALS = frozenset({"float", "real"})
_TIMES = frozenset({"date", "datetime", "datetime2", "datetimeoffset", "smalldatetime", "time"})
_ROW_VERSION = "timestamp"
"""The name of the type `rowversion`."""
_BYTES = frozenset({"binary", "image", _ROW_VERSION, "varbinary"})
_TEXTS = frozenset({"char", "nchar", "ntext", "nvarchar", "text", "uniqueidentifier", "varchar", "xml"})
_CLOCKS = frozenset({"datetime", "datetime2", "datetimeoffset", "smalldatetime"})
_UTC = "+00:00"
_LONGEST_KEY = 4_000
_PASSING = (
    "unable to establish connection",
    "communication link failure",
    "connection timeout",
    "login timeout",
    "timeout expired",
    "tcp provider",
    "is not currently available",
)
_NOT_PROVEN = ("certificate", "ssl provider")
_CERTIFICATE = (
    "See that the address names the server as its certificate does, and that the system trusts the authority that "
    "issued it: the driver asks the system alone. Certificates are always verified."
)


@contextmanager
def sqlserver_reader(ask: Question) -> Iterator[SQLServerReader]:
    """One snapshot transaction of the database at the address of a question: all of it sees the same moment.

    :raises SourceUnreachable: if it cannot be read.
    """
    import mssql_python

    secret = ask.secret("password")
    timeout = int(ask.settings.get("timeout", _TIMEOUT_S))
    address: dict[str, Any] = {**sqlserver_address(ask)}
    if secret is not None:
        address["pwd"] = secret.value
    try:
        connection = mssql_python.connect(autocommit=True, timeout=timeout * _SILENCES, **address)
        try:
            # Before the transaction: what commits after it began is not seen by it, and must not count as ended.
            oldest = _rows(connection, _OLDEST_ACTIVE)[0][0]
            if _rows(connection, _SNAPSHOTS)[0][0] != 1:
                raise SourceUnreachable(
                    "the database does not allow snapshots, so what is read would not be of one moment",
                    "Let its administrator allow them: ALTER DATABASE NAME SET ALLOW_SNAPSHOT_ISOLATION ON.",
                )
            for setting in _SETTINGS:
                with connection.cursor() as cursor:
                    cursor.execute(setting)
            yield SQLServerReader(connection, str(oldest))
        finally:
            with suppress(mssql_python.Error):
                connection.close()
    except (mssql_python.Error, OSError, UnicodeError) as e:
        problem = " ".join(str(e).split()) or type(e).__name__
        words = problem.lower()
        is_unproven = any(word in words for word in _NOT_PROVEN)
        failed = SourceUnreachable(
            problem,
            _CERTIFICATE if is_unproven else "",
            is_temporary=not is_unproven and any(word in words for word in _PASSING),
        )
    else:
        return
    raise failed  # without its cause, which may show the password


def sqlserver_address(ask: Question) -> dict[str, str]:
    """Where the server is, and how it must prove who it is: by a certificate, unless nothing leaves this machine."""
    address = server_address(ask, _PORT, 'Write server = "sqlserver://host:port/database".', frozenset())
    if ask.text("authority") is not None:
        raise SourceUnreachable(
            "authority has no meaning for SQL Server: its driver trusts the authorities of the system",
            "Add the authority to those of the system, and remove the setting.",
        )
    found = {
        "server": f"tcp:{address.host},{address.port}",
        "database": address.database,
        "encrypt": "yes",
        "trustservercertificate": "yes" if address.is_local else "no",
        "applicationintent": "ReadOnly",
    }
    if address.user is None:  # the account under which this program runs, by Kerberos
        return {**found, "trusted_connection": "yes"}
    return {**found, "uid": address.user}


def _rows(connection: Any, statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


class SQLServerReader(SQLReader):
    """One snapshot transaction.

    :param oldest: the first version of a row that a transaction may still write, as hexadecimal digits.
    """

    def __init__(self, connection: Any, oldest: str) -> None:
        self._connection = connection
        self._oldest = oldest

    @property
    def server(self) -> str:
        """The product and its version."""
        return f"SQL Server {self._one(_VERSION)}"

    @property
    def guard(self) -> Mapping[str, str]:
        """The name of the database, when it was made, and the number of its history, where the user may know that."""
        name, created, fork = self._rows(_IDENTITY)[0]
        guard = {"database": str(name), "created": str(created)}
        return guard if fork is None else {**guard, "history": str(fork)}

    def tables(self) -> Sequence[SQLTable]:
        """The tables of all schemas; those of the schema of the user by their names alone."""
        tables = [(row[0], row[1], row[2], row[3], row[4]) for row in self._rows(_TABLES)]
        labels = {number: name if is_own else f"{schema}.{name}" for number, schema, name, is_own, _ in tables}
        columns = [tuple(row) for row in self._rows(_COLUMNS)]
        indexes = [tuple(row) for row in self._rows(_INDEXES)]
        foreign: dict[tuple[int, int], list[tuple[str, int, str]]] = {}
        for table, constraint, column, target, target_column in self._rows(_FOREIGN):
            foreign.setdefault((table, constraint), []).append((column, target, target_column))
        return [
            SQLTable(
                label=labels[number],
                source=self._source((name,) if is_own else (schema, name)),
                columns=[column for table, column, _, _ in columns if table == number],
                binary=frozenset(column for table, column, kind, _ in columns if table == number and kind in _BYTES),
                primary=[column for table, column, is_primary, _ in indexes if table == number and is_primary],
                foreign=[
                    ForeignKey(
                        columns=[column for column, _, _ in parts],
                        table=labels[parts[0][1]],
                        target=[target for _, _, target in parts],
                    )
                    for (table, _), parts in foreign.items()
                    if table == number and parts[0][1] in labels
                ],
                required=frozenset(
                    column for table, column, _, nullable in columns if table == number and not nullable
                ),
                indexed=frozenset(column for table, column, _, place in indexes if table == number and place == 1),
                clocks=frozenset(column for table, column, kind, _ in columns if table == number and kind in _CLOCKS),
                versions=frozenset(
                    column for table, column, kind, _ in columns if table == number and kind == _ROW_VERSION
                ),
                is_readable=bool(is_readable),
            )
            for number, schema, name, is_own, is_readable in tables
        ]

    def _source(self, parts: Sequence[str]) -> str:
        """The name of a table in SQL, in brackets only where it needs them."""
        if all(map(PLAIN_NAME.match, parts)) and self._is_query(f"SELECT 1 AS one FROM {'.'.join(parts)}"):
            return ".".join(parts)
        return ".".join(map(_quoted, parts))

    def name(self, column: str) -> str:
        """The name of a column in SQL, in brackets only where it needs them."""
        statement = f"SELECT {column} FROM (SELECT 1 AS {_quoted(column)}) q"
        return column if PLAIN_NAME.match(column) and self._is_query(statement) else _quoted(column)

    def joined(self, columns: Sequence[str], name: str) -> str:
        """One text of several columns."""
        return concatenated_with_bars([self.name(column) for column in columns], name)

    def columns(self, query: str) -> Sequence[str]:
        """The columns of a query; the server itself refuses one that has a name twice."""
        return [name for name, _ in self._described(query)]

    def extreme(self, function: str, query: str, column: str) -> Mark | None:
        kind = dict(self._described(query))[column]
        value = f"{function}(q.{_quoted(column)})"
        if kind == _ROW_VERSION:  # of which there is no largest one, but one of its bytes
            value = f"{function}(CONVERT(binary(8), q.{_quoted(column)}))"
        found = self._one(f"SELECT {_as_text(value, kind)} FROM ({query}\n) q")
        return None if found is None else Mark(text=_text(found), type=kind)

    def horizon(self, query: str, column: str) -> Mark:
        """The first version that may still be written: rows of all earlier ones are there."""
        if dict(self._described(query)).get(column) != _ROW_VERSION:
            raise SourceUnreachable(
                f"the column {shown(column)} is not of the type rowversion, as the Watermark xmin:{column} says",
                "Name a column of that type, or one that gets a larger value whenever a row changes, and an Overlap.",
            )
        oldest = bytes.fromhex(self._oldest.removeprefix("0x"))
        return Mark(text=base64.b64encode(oldest).decode(), type=_ROW_VERSION)

    def count(self, query: str, column: str) -> int:
        """How many different values a column of a query has, whatever its collation takes for the same."""
        kind = dict(self._described(query))[column]
        value = f"q.{_quoted(column)}"
        if kind in _TEXTS:
            value = f"CONVERT(varbinary(8000), {_as_text(value, kind)})"
        return int(self._one(f"SELECT COUNT_BIG(DISTINCT {value}) FROM ({query}\n) q"))

    def is_before(self, one: Mark, other: Mark) -> bool:
        """Whether the server sorts a value before another one."""
        sql = f"SELECT CASE WHEN {_value(one)} < {_value(other)} THEN 1 ELSE 0 END"
        return bool(self._one(sql))

    def earlier(self, mark: Mark, overlap: str) -> Mark:
        """A value that lies before another one, in the same notation."""
        return earlier_mark(mark, overlap, is_number=mark.type in _INTEGERS, is_time=mark.type in _TIMES - {"time"})

    def batches(
        self, query: str, columns: Sequence[str], condition: Condition | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a query as texts, fetched by thousands."""
        kinds = dict(self._described(query))
        cells = ", ".join(_as_text(f"q.{_quoted(name)}", kinds[name]) for name in columns)
        sql = f"SELECT {cells} FROM ({query}\n) q"
        if isinstance(condition, Among):
            kind = kinds[condition.column]
            values = ", ".join(_value(Mark(text=text, type=kind)) for text in condition.values if _fits(text, kind))
            sql += f" WHERE q.{_quoted(condition.column)} IN ({values or 'NULL'})"
        elif condition is not None:
            column = f"q.{_quoted(condition.column)}"
            sql += f" WHERE {column} >= {_value(condition.mark)} OR {column} IS NULL"
        singles = [number for number, name in enumerate(columns) if kinds[name] == "real"]
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            for batch in text_batches(columns, cursor.fetchmany, _text):
                yield with_single_floats(batch, singles) if singles else batch

    def _is_query(self, query: str) -> bool:
        return not any(row[2] is not None for row in self._described_rows(query))

    def _described_rows(self, query: str) -> list[Any]:
        return self._rows(
            "SELECT name, TYPE_NAME(system_type_id), error_message FROM sys.dm_exec_describe_first_result_set("
            f"{_nvarchar(query, 'max')}, NULL, 0) ORDER BY column_ordinal"
        )

    def _described(self, query: str) -> list[tuple[str, str]]:
        """The columns of a query, each with the name of its type.

        :raises SourceUnreachable: if it is no query, or a column is of a type that has no exact text.
        """
        rows = self._described_rows(f"SELECT * FROM ({query}\n) q")
        described = []
        for name, kind, problem in rows:
            if problem is not None:
                raise SourceUnreachable(f"the server does not understand the query: {problem}", "Correct it.")
            if kind not in _NUMBERS | _REALS | _TIMES | _BYTES | _TEXTS:
                raise SourceUnreachable(
                    f"the column {shown(name)} is of the type {kind}, which is not read",
                    "Let the Query make a text or a number of it, or leave it out.",
                )
            described.append((str(name), str(kind)))
        return described

    def _rows(self, statement: str) -> list[Any]:
        return _rows(self._connection, statement)

    def _one(self, statement: str) -> Any:
        return self._rows(statement)[0][0]


def _quoted(name: str) -> str:
    return "[" + name.replace("]", "]]") + "]"


def _as_text(value: str, kind: str) -> str:
    """A value whose text the server writes, exactly: times in ISO 8601, those with a zone in UTC."""
    match kind:
        case "money" | "smallmoney":
            return f"CONVERT(varchar(50), {value}, 2)"
        case "date" | "time" | "datetime" | "datetime2" | "smalldatetime":
            return f"CONVERT(varchar(40), {value}, 121)"
        case "datetimeoffset":
            moment = f"CONVERT(datetime2(7), SWITCHOFFSET({value}, '{_UTC}'))"
            return f"CONVERT(varchar(40), {moment}, 121) + '{_UTC}'"
        case "uniqueidentifier":
            return f"CONVERT(char(36), {value})"
        case "xml":
            return f"CONVERT(nvarchar(max), {value})"
    return f"CONVERT(varchar(50), {value})" if kind in _NUMBERS else value


def _text(cell: object) -> str:
    if isinstance(cell, bytes | bytearray):
        return base64.b64encode(cell).decode()
    return repr(cell) if isinstance(cell, float) else str(cell)


def _fits(text: str, kind: str) -> bool:
    """Whether a text may be that of a value of a type."""
    return bool(NUMBER_TEXT.match(text)) if kind in _NUMBERS | _REALS else True


def _nvarchar(text: str, size: str) -> str:
    """A text in SQL, of which nothing is read as SQL."""
    return f"CONVERT(nvarchar({size}), 0x{text.encode('utf-16-le').hex()})"


def _value(mark: Mark) -> str:
    """A value in SQL, of which nothing is read as SQL."""
    if mark.type in _NUMBERS | _REALS and NUMBER_TEXT.match(mark.text):
        return mark.text
    if mark.type in _BYTES:
        return f"0x{base64.b64decode(mark.text).hex()}"
    text = _nvarchar(mark.text, str(_LONGEST_KEY) if len(mark.text) <= _LONGEST_KEY else "max")
    if mark.type in _TIMES:
        return f"CONVERT({mark.type}, {text}, 121)"
    return f"CONVERT(uniqueidentifier, {text})" if mark.type == "uniqueidentifier" else text
