"""Reads an SQLite database: each cell as the type that it has itself, in one read transaction."""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.proposal.watermarks import may_tell_changes
from deltamark.infrastructure.sql.description import ForeignKey, SQLTable
from deltamark.infrastructure.sql.reader import (
    NAME_A_COLUMN,
    NO_TRANSACTIONS,
    PLAIN_NAME,
    WHOLE_NUMBER,
    Among,
    Condition,
    Mark,
    SQLReader,
    quoted,
    text_batches,
    with_bars,
)
from deltamark.infrastructure.sql.times import earlier_mark, is_time

BEGINNING = "sqlite:///"
_TIMEOUT_S = 30
_AGAIN = re.compile(r"(.*):\d+", re.DOTALL)


@contextmanager
def sqlite_reader(ask: Question) -> Iterator[SQLiteReader]:
    """One read transaction of the database at the address of a question, which is opened for reading only.

    :raises SourceUnreachable: if it cannot be read.
    """
    path = Path((ask.text("server") or "").removeprefix(BEGINNING))
    if not path.is_file():
        raise SourceUnreachable(f"there is no database {path}", "Correct server in the settings of the connection.")
    timeout = ask.settings.get("timeout", _TIMEOUT_S)
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=float(timeout), isolation_level=None)
        ) as connection:
            connection.execute("PRAGMA query_only=1")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the transaction begins here
            yield SQLiteReader(connection)
    except sqlite3.Error as e:
        is_locked = getattr(e, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        raise SourceUnreachable(f"{path.name}: {e}", is_temporary=is_locked) from e


class SQLiteReader(SQLReader):
    """One read transaction."""

    server = f"SQLite {sqlite3.sqlite_version}"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def guard(self) -> Mapping[str, str]:
        """The file has no identity of its own besides its path, which is in the question."""
        return {}

    def tables(self) -> Sequence[SQLTable]:
        """The tables of the file, without virtual ones."""
        names = self._execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
        ).fetchall()
        labels = {name.lower(): name for (name,) in names}
        return [self._table(name, labels) for (name,) in names]

    def _table(self, name: str, labels: Mapping[str, str]) -> SQLTable:
        columns = self._execute('SELECT name, upper(type), pk, "notnull" FROM pragma_table_info(?)', name).fetchall()
        foreign: dict[int, list[tuple[str, str, str | None]]] = {}
        rows = 'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq'
        for number, table, column, target in self._execute(rows, name):
            foreign.setdefault(number, []).append((labels.get(table.lower(), table), column, target))
        return SQLTable(
            label=name,
            source=self._source(name),
            columns=[column for column, *_ in columns],
            binary=frozenset(column for column, kind, *_ in columns if "BLOB" in kind),
            primary=[column for _, column in sorted((number, column) for column, _, number, _ in columns if number)],
            foreign=[
                ForeignKey(
                    columns=[column for _, column, _ in parts],
                    table=parts[0][0],
                    target=[target for _, _, target in parts if target is not None],
                )
                for parts in foreign.values()
            ],
            required=frozenset(column for column, *_, filled in columns if filled),
            indexed=frozenset(
                column
                for (column,) in self._execute(
                    "SELECT i.name FROM pragma_index_list(?) l, pragma_index_info(l.name) i WHERE i.seqno = 0 "
                    "AND NOT l.partial",
                    name,
                )
            ),
            clocks=frozenset(
                column for column, *_ in columns if may_tell_changes(column) and self._is_clock(name, column)
            ),
        )

    def _is_clock(self, table: str, column: str) -> bool:
        """Whether a column holds times in ISO 8601, as far as its largest value shows: types say nothing of it here."""
        (value,) = self._execute(f"SELECT max({quoted(column)}) FROM {quoted(table)}").fetchone()
        return isinstance(value, str) and is_time(value)

    def _source(self, name: str) -> str:
        """The name of a table in SQL, in quotes only where it needs them."""
        return self._plain_or_quoted(name, f"SELECT 1 FROM {name} LIMIT 0")

    def name(self, column: str) -> str:
        """The name of a column in SQL, in quotes only where it needs them."""
        return self._plain_or_quoted(column, f"SELECT q.{column} FROM (SELECT 1 AS {quoted(column)}) q")

    def _plain_or_quoted(self, name: str, trial: str) -> str:
        """A name as it is if a trial that holds it so is a query, otherwise in quotes.

        :param trial: is sent only for a name of letters, digits and `_`.
        """
        if PLAIN_NAME.match(name):
            try:
                self._execute(trial)
            except sqlite3.OperationalError:  # a word of SQL
                pass
            else:
                return name
        return quoted(name)

    def joined(self, columns: Sequence[str], name: str) -> str:
        """One text of several columns."""
        return with_bars([self.name(column) for column in columns], name)

    def columns(self, query: str) -> Sequence[str]:
        """The columns of a query; SQLite tells those of one name apart as `name:1`."""
        names = [name for name, *_ in self._execute(f"SELECT * FROM ({query}\n) LIMIT 0").description]
        return [match[1] if (match := _AGAIN.fullmatch(name)) and match[1] in names else name for name in names]

    def extreme(self, function: str, query: str, column: str) -> Mark | None:
        value = f"{function}({quoted(column)})"
        row = self._execute(f"SELECT {value}, typeof({value}) FROM ({query}\n)").fetchone()
        return None if row[0] is None else Mark(text=_text(row[0]), type=row[1])

    def horizon(self, query: str, column: str) -> Mark:
        """SQLite numbers no transactions."""
        raise SourceUnreachable(NO_TRANSACTIONS, NAME_A_COLUMN)

    def count(self, query: str, column: str) -> int:
        """How many different values a column of a query has."""
        return int(self._execute(f"SELECT count(DISTINCT {quoted(column)}) FROM ({query}\n)").fetchone()[0])

    def is_before(self, one: Mark, other: Mark) -> bool:
        """Whether SQLite sorts a value before another one."""
        return bool(self._execute("SELECT ? < ?", _value(one), _value(other)).fetchone()[0])

    def batches(
        self, query: str, columns: Sequence[str], condition: Condition | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a query as texts."""
        sql = f"SELECT {', '.join(map(quoted, columns))} FROM ({query}\n)"
        parameters: list[Any] = []
        if isinstance(condition, Among):
            parameters = [value for text in condition.values for value in _values_of(text)]
            sql += f" WHERE {quoted(condition.column)} IN ({', '.join('?' * len(parameters))})"
        elif condition is not None:
            sql += f" WHERE {quoted(condition.column)} >= ? OR {quoted(condition.column)} IS NULL"
            parameters = [_value(condition.mark)]
        cursor = self._execute(sql, *parameters)
        yield from text_batches(columns, cursor.fetchmany, _text)

    def earlier(self, mark: Mark, overlap: str) -> Mark:
        """A value that lies before another one, in the same notation."""
        return earlier_mark(mark, overlap, is_number=mark.type == "integer", is_time=mark.type == "text")

    def _execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, parameters)


def _text(cell: object) -> str:
    """The text of a value: exact, as a reader of the same type gives it back."""
    match cell:
        case bytes():
            return base64.b64encode(cell).decode()
        case float():
            return repr(cell)
    return str(cell)


def _values_of(text: str) -> Iterator[str | int | float | bytes]:
    """The values that have a text: columns of SQLite hold any type."""
    yield text
    if WHOLE_NUMBER.match(text) and -(2**63) <= int(text) < 2**63:
        yield int(text)
        return
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        yield number
    try:
        yield base64.b64decode(text.encode(), validate=True)
    except (ValueError, UnicodeEncodeError):
        return


def _value(mark: Mark) -> str | int | float | bytes:
    match mark.type:
        case "integer":
            return int(mark.text)
        case "real":
            return float(mark.text)
        case "blob":
            return base64.b64decode(mark.text)
    return mark.text
