"""Reads an Oracle database in one read-only transaction. Written by its documentation: not tried on a server.

Times are written by the server, numbers and bytes come as exact values of the driver, which needs no client of Oracle.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from attrs import define, field

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.addresses import server_address, trusted
from deltamark.infrastructure.sql.description import ForeignKey, SQLTable
from deltamark.infrastructure.sql.reader import (
    NAME_A_COLUMN,
    NO_TRANSACTIONS,
    Among,
    Condition,
    Mark,
    SQLReader,
    quoted,
    text_batches,
    with_bars,
    with_single_floats,
)
from deltamark.infrastructure.sql.times import earlier_mark

if TYPE_CHECKING:
    import pyarrow as pa

BEGINNING = "oracle://"
_TIMEOUT_S = 60
_SILENCES = 10
"""So many times the timeout a server may work before it sends anything."""
_PORT, _TLS_PORT = 1521, 2484
_FETCHED = 1_000
_SETTINGS = (
    "ALTER SESSION SET TIME_ZONE = '+00:00'",
    "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
    "ALTER SESSION SET NLS_DATE_FORMAT = 'YYYY-MM-DD HH24:MI:SS'",
    "ALTER SESSION SET NLS_COMP = BINARY",
    "ALTER SESSION SET NLS_SORT = BINARY",
    "SET TRANSACTION READ ONLY",
)
"""After the last one all statements see the moment of its call."""
_INCARNATION = "SELECT TO_CHAR(dbid), TO_CHAR(resetlogs_change#) FROM v$database"
_NAMES = "SELECT SYS_CONTEXT('USERENV', 'DB_UNIQUE_NAME'), SYS_CONTEXT('USERENV', 'CON_NAME') FROM dual"

_OWNERS = "(SELECT username FROM all_users WHERE oracle_maintained = 'N')"
_TABLES = f"""
SELECT owner, table_name, CASE WHEN owner = SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') THEN 1 ELSE 0 END
FROM all_tables
WHERE owner IN {_OWNERS} AND nested = 'NO' AND secondary = 'N' AND temporary = 'N' AND dropped = 'NO'
      AND iot_name IS NULL
ORDER BY 3 DESC, owner, table_name"""
_COLUMNS = f"""
SELECT owner, table_name, column_name, data_type, nullable FROM all_tab_columns
WHERE owner IN {_OWNERS} ORDER BY owner, table_name, column_id"""
_KEYS = f"""
SELECT c.owner, c.table_name, c.constraint_name, c.constraint_type, k.column_name, t.owner, t.table_name, t.column_name
FROM all_constraints c
JOIN all_cons_columns k ON k.owner = c.owner AND k.constraint_name = c.constraint_name
LEFT JOIN all_cons_columns t
     ON t.owner = c.r_owner AND t.constraint_name = c.r_constraint_name AND t.position = k.position
WHERE c.owner IN {_OWNERS} AND c.constraint_type IN ('P', 'R')
ORDER BY c.owner, c.table_name, c.constraint_name, k.position"""
_INDEXES = f"""
SELECT table_owner, table_name, column_name FROM all_ind_columns
WHERE table_owner IN {_OWNERS} AND column_position = 1"""
_PLAIN_NAME = re.compile(r"[A-Z][A-Z0-9_$#]*\Z")
_BYTE_TYPES = frozenset({"RAW", "LONG RAW", "BLOB"})

NUMBER, REAL, DATE, TIME, ZONED, BYTES, TEXT = "number", "real", "date", "time", "zoned", "bytes", "text"
_KINDS: Mapping[str, str] = {
    "DB_TYPE_NUMBER": NUMBER,
    "DB_TYPE_BINARY_INTEGER": NUMBER,
    "DB_TYPE_BINARY_DOUBLE": REAL,
    "DB_TYPE_BINARY_FLOAT": REAL,
    "DB_TYPE_DATE": DATE,
    "DB_TYPE_TIMESTAMP": TIME,
    "DB_TYPE_TIMESTAMP_LTZ": ZONED,
    "DB_TYPE_TIMESTAMP_TZ": ZONED,
    **dict.fromkeys(("DB_TYPE_RAW", "DB_TYPE_LONG_RAW", "DB_TYPE_BLOB"), BYTES),
    **dict.fromkeys(
        (
            "DB_TYPE_BOOLEAN",
            "DB_TYPE_CHAR",
            "DB_TYPE_CLOB",
            "DB_TYPE_INTERVAL_DS",
            "DB_TYPE_INTERVAL_YM",
            "DB_TYPE_LONG",
            "DB_TYPE_NCHAR",
            "DB_TYPE_NCLOB",
            "DB_TYPE_NVARCHAR",
            "DB_TYPE_ROWID",
            "DB_TYPE_UROWID",
            "DB_TYPE_VARCHAR",
        ),
        TEXT,
    ),
}
"""The types that are read; others have no exact text."""
_SINGLE = "DB_TYPE_BINARY_FLOAT"
_INTERVALS = frozenset({"DB_TYPE_INTERVAL_DS", "DB_TYPE_INTERVAL_YM"})
_FETCHED_AS = {
    "DB_TYPE_CLOB": "DB_TYPE_LONG",
    "DB_TYPE_NCLOB": "DB_TYPE_LONG_NVARCHAR",
    "DB_TYPE_BLOB": "DB_TYPE_LONG_RAW",
}
"""Large values come with their rows, and not each by a call of its own."""
_SECONDS = "YYYY-MM-DD HH24:MI:SS"
_FRACTIONS = f"{_SECONDS}.FF9"
"""A year before our era needs an S before it, which is a blank before other years."""
_UTC = "+00:00"

_PASSING = frozenset(
    {
        "DPY-4011",
        "DPY-4024",
        "DPY-6000",
        "DPY-6005",
        "ORA-00018",
        "ORA-00020",
        "ORA-01033",
        "ORA-01034",
        "ORA-01089",
        "ORA-01555",
        "ORA-03113",
        "ORA-03114",
        "ORA-12170",
        "ORA-12514",
        "ORA-12516",
        "ORA-12520",
        "ORA-12528",
        "ORA-12537",
        "ORA-12541",
    }
)
"""Errors that may be gone in a moment: the server is full, starts or stops, is not reached, or ended the connection."""
_TOO_OLD = "ORA-01555"
_NO_SUCH_TABLE = "ORA-00942"


@contextmanager
def oracle_reader(ask: Question) -> Iterator[OracleReader]:
    """One read-only transaction of the database at the address of a question: all of it sees the same moment.

    :raises SourceUnreachable: if it cannot be read.
    """
    import oracledb

    secret = ask.secret("password")
    timeout = int(ask.settings.get("timeout", _TIMEOUT_S))
    try:
        connection = oracledb.connect(
            **oracle_address(ask),
            password=None if secret is None else secret.value,
            tcp_connect_timeout=timeout,
            retry_count=0,
            program="deltamark",
        )
        try:
            connection.call_timeout = timeout * _SILENCES * 1000
            with connection.cursor() as cursor:
                for setting in _SETTINGS:
                    cursor.execute(setting)
            yield OracleReader(connection)
        finally:
            with suppress(oracledb.Error):
                connection.close()
    except (oracledb.Error, OSError, UnicodeError) as e:
        code = _code(e)
        problem = " ".join(str(e).partition("Help: ")[0].split()) or type(e).__name__
        advice = "Let the server keep what was changed for longer (UNDO_RETENTION)." if code == _TOO_OLD else ""
        failed = SourceUnreachable(problem, advice, is_temporary=code in _PASSING)
    else:
        return
    raise failed  # without its cause, which may show the password


def oracle_address(ask: Question) -> dict[str, Any]:
    """Where the server is, and how it must prove who it is: by a certificate, unless nothing leaves this machine."""
    address = server_address(ask, 0, 'Write server = "oracle://host:port/service".', frozenset())
    found = {"user": address.user, "host": address.host, "service_name": address.database}
    if address.is_local:
        return {**found, "port": address.port or _PORT, "protocol": "tcp"}
    return {
        **found,
        "port": address.port or _TLS_PORT,
        "protocol": "tcps",
        "ssl_server_dn_match": True,
        "ssl_context": trusted(ask),
    }


def _code(error: BaseException) -> str:
    return str(getattr(error.args[0] if error.args else None, "full_code", ""))


@define
class _Binds:
    """The values of a statement, by the names that stand for them in it."""

    values: dict[str, Any] = field(factory=dict)

    def add(self, value: object) -> str:
        """Adds a value; gives what stands for it."""
        name = f"deltamark_{len(self.values)}"
        self.values[name] = value
        return f":{name}"


class OracleReader(SQLReader):
    """One read-only transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def server(self) -> str:
        """The product and its version."""
        return f"Oracle {self._connection.version}"

    @property
    def guard(self) -> Mapping[str, str]:
        """The names of the database, and, where the user may read `V$DATABASE`, its number and that of its history.

        One that is opened with RESETLOGS, as it is after it was restored to a moment of the past, has another one.
        """
        import oracledb

        ((unique, container),) = self._rows(_NAMES)
        guard = {"database": str(unique), "container": str(container)}
        try:
            ((number, history),) = self._rows(_INCARNATION)
        except oracledb.DatabaseError as e:
            if _code(e) != _NO_SUCH_TABLE:
                raise
            return guard
        return {**guard, "number": str(number), "history": str(history)}

    def tables(self) -> Sequence[SQLTable]:
        """The tables that the user may read: those of the schema by their names, others with that of theirs."""
        tables = self._rows(_TABLES)
        labels = {(owner, name): name if is_own else f"{owner}.{name}" for owner, name, is_own in tables}
        columns: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        for owner, table, *column in self._rows(_COLUMNS):
            columns.setdefault((owner, table), []).append((column[0], column[1], column[2]))
        keys: dict[tuple[str, str], dict[str, list[Any]]] = {}
        for owner, table, constraint, *part in self._rows(_KEYS):
            keys.setdefault((owner, table), {}).setdefault(constraint, []).append(part)
        indexed = [((owner, table), column) for owner, table, column in self._rows(_INDEXES)]
        return [
            SQLTable(
                label=label,
                source=self._source((name[1],) if label == name[1] else name),
                columns=[column for column, _, _ in columns.get(name, ())],
                binary=frozenset(column for column, kind, _ in columns.get(name, ()) if kind in _BYTE_TYPES),
                primary=[part[1] for parts in keys.get(name, {}).values() for part in parts if part[0] == "P"],
                foreign=[
                    ForeignKey(
                        columns=[column for _, column, *_ in parts],
                        table=labels[parts[0][2], parts[0][3]],
                        target=[target for *_, target in parts],
                    )
                    for parts in keys.get(name, {}).values()
                    if parts[0][0] == "R" and (parts[0][2], parts[0][3]) in labels
                ],
                required=frozenset(column for column, _, nullable in columns.get(name, ()) if nullable == "N"),
                indexed=frozenset(column for table, column in indexed if table == name),
                clocks=frozenset(
                    column for column, kind, _ in columns.get(name, ()) if kind.startswith(("TIMESTAMP", "DATE"))
                ),
            )
            for name, label in labels.items()
        ]

    def _source(self, parts: Sequence[str]) -> str:
        """The name of a table in SQL, in quotes only where it needs them."""
        plain = ".".join(parts)
        is_plain = self._is_plain(parts, f"SELECT 1 FROM {plain} WHERE 1 = 0")
        return plain if is_plain else ".".join(map(quoted, parts))

    def _is_plain(self, parts: Sequence[str], statement: str) -> bool:
        """Whether names need no quotes, as a statement shows that has none: others are words of SQL."""
        import oracledb

        if not all(map(_PLAIN_NAME.match, parts)):
            return False
        try:
            self._rows(statement)
        except oracledb.DatabaseError:
            return False
        return True

    def name(self, column: str) -> str:
        """The name of a column in SQL, in quotes only where it needs them."""
        statement = f"SELECT {column} FROM (SELECT 1 AS {quoted(column)} FROM dual)"
        return column if self._is_plain((column,), statement) else quoted(column)

    def joined(self, columns: Sequence[str], name: str) -> str:
        """One text of several columns; its name is in quotes, for others are in capitals."""
        return with_bars([self.name(column) for column in columns], quoted(name))

    def columns(self, query: str) -> Sequence[str]:
        """The columns of a query; the server itself refuses one that has a name twice."""
        return [name for name, _ in self._described(query)]

    def extreme(self, function: str, query: str, column: str) -> Mark | None:
        sql = f"SELECT {function}(q.{quoted(column)}) AS V FROM ({query}\n) q"
        ((_, kind),) = self._described(sql)
        ((value,),) = self._rows(f"SELECT {_as_text('V', kind)} FROM ({sql}) q")
        return (
            None if value is None else Mark(text=value if isinstance(value, str) else _text(value), type=_KINDS[kind])
        )

    def horizon(self, query: str, column: str) -> Mark:
        """No column of Oracle tells which transaction wrote a row, and has an index."""
        raise SourceUnreachable(NO_TRANSACTIONS, NAME_A_COLUMN)

    def count(self, query: str, column: str) -> int:
        """How many different values a column of a query has."""
        ((number,),) = self._rows(f"SELECT COUNT(DISTINCT q.{quoted(column)}) FROM ({query}\n) q")
        return int(number)

    def is_before(self, one: Mark, other: Mark) -> bool:
        """Whether the server sorts a value before another one."""
        binds = _Binds()
        sql = f"SELECT CASE WHEN {_value(one, binds)} < {_value(other, binds)} THEN 1 ELSE 0 END FROM dual"
        ((answer,),) = self._rows(sql, binds)
        return bool(answer)

    def earlier(self, mark: Mark, overlap: str) -> Mark:
        """A value that lies before another one, in the same notation."""
        return earlier_mark(mark, overlap, is_number=mark.type == NUMBER, is_time=mark.type in (DATE, TIME, ZONED))

    def batches(
        self, query: str, columns: Sequence[str], condition: Condition | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a query as texts, fetched by thousands."""
        kinds = dict(self._described(query))
        binds = _Binds()
        sql = f"SELECT {', '.join(_as_text(name, kinds[name]) for name in columns)} FROM ({query}\n) q"
        if isinstance(condition, Among):
            kind = _KINDS[kinds[condition.column]]
            values = [value for text in condition.values if (value := _value_of(text, kind, binds)) is not None]
            sql += f" WHERE q.{quoted(condition.column)} IN ({', '.join(values) or 'NULL'})"
        elif condition is not None:
            column = f"q.{quoted(condition.column)}"
            sql += f" WHERE {column} >= {_value(condition.mark, binds)} OR {column} IS NULL"
        singles = [number for number, name in enumerate(columns) if kinds[name] == _SINGLE]
        with self._cursor() as cursor:
            cursor.execute(sql, binds.values)
            for batch in text_batches(columns, cursor.fetchmany, _text):
                yield with_single_floats(batch, singles) if singles else batch

    def _described(self, query: str) -> list[tuple[str, str]]:
        """The columns of a query, each with the name of its type.

        :raises SourceUnreachable: if one is of a type that has no exact text.
        """
        with self._cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) q WHERE 1 = 0")
            described = [(column[0], column[1].name) for column in cursor.description]
        for name, kind in described:
            if kind not in _KINDS:
                raise SourceUnreachable(
                    f"the column {shown(name)} is of the type {kind.removeprefix('DB_TYPE_')}, which is not read",
                    "Let the Query make a text or a number of it, or leave it out.",
                )
        return described

    def _rows(self, statement: str, binds: _Binds | None = None) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(statement, {} if binds is None else binds.values)
            return list(cursor.fetchall())

    def _cursor(self) -> Any:
        cursor = self._connection.cursor()
        cursor.arraysize = _FETCHED
        cursor.prefetchrows = _FETCHED + 1
        cursor.outputtypehandler = _exact
        return cursor


def _exact(cursor: Any, column: Any) -> Any:
    """How the values of a column come: numbers with all their digits, large values whole; None as the driver does."""
    import oracledb

    kind = column.type_code.name
    if kind == "DB_TYPE_NUMBER":
        return cursor.var(Decimal, arraysize=cursor.arraysize)
    if kind in _FETCHED_AS:
        return cursor.var(getattr(oracledb, _FETCHED_AS[kind]), arraysize=cursor.arraysize)
    return None


def _as_text(name: str, kind: str) -> str:
    """A column as it is fetched: times as texts of the server, those with a zone in UTC."""
    column = f"q.{quoted(name)}"
    match _KINDS[kind]:
        case "date":
            return f"LTRIM(TO_CHAR({column}, 'S{_SECONDS}'))"
        case "time":
            return _shortest(f"LTRIM(TO_CHAR({column}, 'S{_FRACTIONS}'))")
        case "zoned":
            written = _shortest(f"LTRIM(TO_CHAR(SYS_EXTRACT_UTC({column}), 'S{_FRACTIONS}'))")
            return f"NVL2({column}, {written} || '{_UTC}', NULL)"
    return f"TO_CHAR({column})" if kind in _INTERVALS else column


def _shortest(time: str) -> str:
    """A time without the zeros at its end that say nothing."""
    return f"RTRIM(RTRIM({time}, '0'), '.')"


def _text(cell: object) -> str:
    match cell:
        case bytes():
            return base64.b64encode(cell).decode()
        case bool():
            return "true" if cell else "false"
        case Decimal():
            return f"{cell:f}"
        case float():
            return repr(cell)
    return str(cell)


def _value(mark: Mark, binds: _Binds) -> str:
    value = _value_of(mark.text, mark.type, binds)
    if value is None:
        raise SourceUnreachable(
            f"the mark {shown(mark.text)} is no {mark.type}", "Forget the place: the next run reads everything."
        )
    return value


def _value_of(text: str, kind: str, binds: _Binds) -> str | None:
    """What stands for a value of a kind in SQL; None where the text is none of that kind."""
    match kind:
        case "number":
            try:
                number = Decimal(text)
            except InvalidOperation:
                return None
            return binds.add(number)
        case "real":
            return f"TO_BINARY_DOUBLE({binds.add(text)})"
        case "date":
            return f"TO_DATE({binds.add(text)}, '{'S' * text.startswith('-')}{_SECONDS}')"
        case "time":
            return _timestamp(text, binds)
        case "zoned":
            return f"FROM_TZ({_timestamp(text.removesuffix(_UTC), binds)}, 'UTC')"
        case "bytes":
            return binds.add(base64.b64decode(text))
    return binds.add(text)


def _timestamp(text: str, binds: _Binds) -> str:
    written = text if "." in text else f"{text}.0"
    return f"TO_TIMESTAMP({binds.add(written)}, '{'S' * text.startswith('-')}{_FRACTIONS}')"
