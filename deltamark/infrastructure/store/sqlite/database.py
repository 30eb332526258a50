"""Runs the queries of a store on an SQLite connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count, islice, repeat
from typing import Any
from weakref import WeakSet

import orjson

from deltamark.infrastructure.store.arrow import pa, pc
from deltamark.infrastructure.store.arrow_rows import PORTION, as_one_text, to_table
from deltamark.infrastructure.store.database import Column, Database, DatabaseFault, Same, index_damaged, length
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.mapper import ERASED
from deltamark.infrastructure.store.sqlite import integrity
from deltamark.infrastructure.store.sqlite.packed_rows import insert_packed

_STREAMS = 4_000
"""How many streams are read at a time."""

_SPARSE = 4
"""Of ranges in which fewer than one stream of so many is asked for, those are looked up."""

_RANGES = 50
"""How often, for a portion of states."""

_ROWS_OF_STATEMENT = 100
"""How many rows one statement inserts."""

_PACKED = 100
"""How often the rows for which packing them is worth while go into those that are many."""

_ROWS_OF_PORTION = 8_000
"""How many rows are plain values at one time."""

_LIVE = "entity_type=?3 AND live"
"""The condition of `_live_rows` for the live resources of an entity type."""

_SEPARATOR = b"\x1e"

_TYPES = {"number": "INTEGER", "text": "TEXT"}


class SQLiteDatabase(Database):
    """SQL on an SQLite connection.

    Many values in one parameter are a JSON array.
    """

    ordered_join = "CROSS JOIN"
    by_rows = True
    keeps_order = True
    unindexed = "NOT INDEXED"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()
        self._deferred_indexes: list[str] = []

    @property
    def is_in_transaction(self) -> bool:
        return self._connection.in_transaction

    def close(self) -> None:
        """Closes the open cursors.

        While a cursor is open, SQLite keeps the connection at its state: the next user of the connection would read old
        data.
        """
        for cursor in tuple(self._cursors):
            cursor.close()

    def array(self, values: Sequence[Any]) -> Any:
        return orjson.dumps(values).decode()

    def among_texts(self, column: str, parameter: int) -> str:
        return f"{column} IN (SELECT value FROM json_each(?{parameter}))"

    among_numbers = among_texts

    def each_text(self, parameter: int, name: str) -> str:
        return f"json_each(?{parameter}) {name}"

    each_number = each_text

    def each_pair(self, parameter: int, name: str) -> str:
        return f"""(SELECT key, json_extract(value, '$[0]') AS first, json_extract(value, '$[1]') AS second
            FROM json_each(?{parameter})) {name}"""

    def same(self, indexed: str, other: str) -> str:
        return f"{indexed} = {other}"

    def row_of(self, *texts: str) -> str:
        return ", ".join(texts)

    def same_key(self, indexed: str, other: str) -> str:
        return self.same(indexed, other)

    def lookup(self, table: str, name: str, condition: str, *, or_none: bool = False) -> str:
        return f"{'LEFT' if or_none else 'CROSS'} JOIN {table} {name} ON {condition}"

    def table_row(self, table: str, name: str) -> tuple[str, str]:
        """Without this join, SQLite would read the values that an index has from there."""
        return f"LEFT JOIN {table} held NOT INDEXED ON held.stream = {name}.stream", "held"

    def check_lookups(self, index: str, values: Any, *fixed: int) -> None:
        if self.one(integrity.MISLEADING[index], (values, *fixed)) is not None:
            raise index_damaged(f"{index} leads to rows with other values, or leaves rows out")

    def in_key_order(self, columns: Sequence[str]) -> str:
        """Takes the streams from the index, and all values from the table, which SQLite would not do by itself."""
        chosen = ", ".join(f"r.{column}" for column in columns)
        return f"""SELECT {chosen} FROM resources i CROSS JOIN resources r NOT INDEXED ON r.stream = i.stream
            WHERE i.entity_type=?1 ORDER BY i.entity_type, i.key"""

    def key_beyond(self, parameter: int, *, inclusive: bool = False) -> str:
        return self.value_beyond("key", parameter, inclusive=inclusive)

    @property
    def key_order(self) -> str:
        return "key"

    def value_beyond(self, column: str, parameter: int, *, inclusive: bool = False) -> str:
        return f"{column}>{'=' if inclusive else ''}?{parameter}"

    def value_order(self, column: str) -> str:
        return column

    def text_holds(self, text: str, part: str) -> str:
        return f"instr({text}, {part}) > 0"

    def json_property(self, column: str, parameter: int) -> str:
        return f"""CAST(json_extract({column}, '$."' || ?{parameter} || '"') AS TEXT)"""

    def each_member(self, state: str, name: str) -> str:
        return f"json_each(CAST({state} AS TEXT), '$.{payload.VALUES}') {name}"

    def json_string(self, text: str) -> str:
        return f"json_quote({text})"

    def as_bytes(self, text: str) -> str:
        return f"CAST({text} AS BLOB)"

    def holds(self, state: str, part: str) -> str:
        return f"instr({state}, {part}) > 0"

    def current_time(self, parameter: int) -> str:
        """The parameter: all processes that use a file share the clock of one machine."""
        return f"?{parameter}"

    def _cursor(self, sql: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        cursor = self._connection.cursor()
        self._cursors.add(cursor)
        cursor.row_factory = None
        return cursor.execute(sql, parameters)

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._cursor(sql, parameters).fetchone()
        return row

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._cursor(sql, parameters).fetchall()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        cursor = self._cursor(sql, parameters)
        while rows := cursor.fetchmany(PORTION):
            yield from rows

    def table(self, sql: str, parameters: Sequence[Any], schema: pa.Schema) -> pa.Table:
        with self._texts_as_bytes():
            return to_table(self._cursor(sql, parameters), schema)

    def live_states(self, entity_type: int, schema: pa.Schema) -> Iterator[pa.Table]:
        last, size = self._last_stream(), _STREAMS * _RANGES
        for first in range(1, last + 1, size):
            yield self._live_rows(_LIVE, (entity_type,), schema, first, min(first + size - 1, last))

    def live_rows(self, entity_type: int, schema: pa.Schema) -> pa.Table:
        return self._live_rows(_LIVE, (entity_type,), schema, 1, self._last_stream())

    def rows_of_streams(self, streams: pa.Array, schema: pa.Schema, entity_type: int | None = None) -> pa.Table | None:
        if len(streams) * 10 < self.many:
            return None
        span = pc.min_max(streams)
        first, last = span["min"].as_py(), span["max"].as_py()
        if last - first >= len(streams) * _SPARSE:
            return None
        condition, fixed = ("live", ()) if entity_type is None else (_LIVE, (entity_type,))
        rows = self._live_rows(condition, fixed, schema, first, last)
        if last - first + 1 != len(streams):
            rows = rows.filter(pc.is_in(rows.column("stream"), value_set=streams))
        return rows if rows.num_rows == len(streams) else None

    def _last_stream(self) -> int:
        return self.one("SELECT max(stream) FROM resources") or 0

    def _live_rows(self, condition: str, fixed: Sequence[int], schema: pa.Schema, first: int, last: int) -> pa.Table:
        """Returns the columns of a schema of the resources under a condition, in the order of their streams."""
        # In the order of the table: with the index on keys, every row would need a search.
        rows = f"FROM resources NOT INDEXED WHERE stream>=?1 AND stream<?2 AND {condition}"
        with self._texts_as_bytes():
            tables = [
                self._live_rows_between(rows, (start, min(start + _STREAMS, last + 1), *fixed), schema)
                for start in range(first, last + 1, _STREAMS)
            ]
        return pa.concat_tables([schema.empty_table(), *tables])

    def _live_rows_between(self, rows: str, parameters: Sequence[int], schema: pa.Schema) -> pa.Table:
        """Reads the resources of a range of streams as one long text for each column.

        SQLite joins them: no object is made for each row.

        States are JSON, which escapes control characters, so none contains the separator. A range with a key that
        contains it, or with texts that are too long for SQLite, is read row by row.
        """
        joined = ", ".join(f"group_concat({name}, char(30))" for name in schema.names)
        try:
            *texts, number = self._cursor(f"SELECT {joined}, count(*) {rows}", parameters).fetchone()
        except sqlite3.DataError:
            texts, number = [None], -1
        if number == 0:
            return schema.empty_table()
        if all(text is not None and text.count(_SEPARATOR) == number - 1 for text in texts):
            columns = [
                pc.list_flatten(pc.split_pattern(as_one_text(text), "\x1e")).cast(kind)
                for text, kind in zip(texts, schema.types, strict=True)
            ]
            return pa.Table.from_arrays(columns, schema=schema)
        return to_table(self._cursor(f"SELECT {', '.join(schema.names)} {rows}", parameters), schema)

    @contextmanager
    def _texts_as_bytes(self) -> Iterator[None]:
        """Reads texts as UTF-8, which Arrow needs, without making Python texts of them."""
        factory, self._connection.text_factory = self._connection.text_factory, bytes
        try:
            yield
        finally:
            self._connection.text_factory = factory

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        return self._cursor(sql, parameters).rowcount

    def insert(self, table: str, columns: Mapping[str, Column]) -> None:
        """Inserts many rows with each statement: to begin and end one takes as long as to insert a row.

        Rows that cannot be packed have a parameter for each value. One that all rows share is a parameter of the
        statement once, or a number in it.
        """
        rows = length(columns)
        packed = insert_packed(self._connection, table, columns, max(1, self.many // _PACKED))
        if packed == rows:
            return
        shared = [value for value in map(_shared_text, columns.values()) if value is not None]
        different = [column for column in columns.values() if not isinstance(column, Same)]
        width = len(different)
        most = (self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - len(shared)) // width
        at_once = min(_ROWS_OF_STATEMENT, most)
        several, single = _insertion(table, columns, at_once), _insertion(table, columns, 1)
        for start in range(packed, rows, _ROWS_OF_PORTION):
            values = _row_by_row(different, start, min(start + _ROWS_OF_PORTION, rows))
            whole = len(values) - len(values) % (at_once * width)
            self._connection.executemany(several, _pieces(shared, values, 0, whole, at_once * width))
            self._connection.executemany(single, _pieces(shared, values, whole, len(values), width))

    def defer_index(self, index: str) -> None:
        """Drops the index until `build_deferred_indexes`, unless a query of this transaction is not read to its end."""
        with suppress(sqlite3.OperationalError):
            self.execute(f"DROP INDEX {index}")
            self._deferred_indexes.append(index)

    def build_deferred_indexes(self) -> None:
        from deltamark.infrastructure.store.sqlite.definitions import definitions

        while self._deferred_indexes:
            index = self._deferred_indexes.pop()
            # A dry run may have undone that it was dropped.
            if self.one("SELECT count(*) FROM sqlite_master WHERE type='index' AND name=?1", (index,)) == 0:
                self.execute(definitions()[index])

    def update(self, table: str, columns: Mapping[str, Column], keys: Mapping[str, Column]) -> int:
        settings = ", ".join(f"{name}=?" for name in columns)
        conditions = " AND ".join(f"{name}=?" for name in keys)
        sql = f"UPDATE {table} SET {settings} WHERE {conditions}"
        return self._connection.executemany(sql, _rows([*columns.values(), *keys.values()])).rowcount

    def exported_snapshot(self) -> str | None:
        return None

    def log_end(self) -> int:
        """What SQLite itself keeps for a table with AUTOINCREMENT."""
        return int(self.one("SELECT seq FROM sqlite_sequence WHERE name='stored_events'") or 0)

    def set_log_end(self, position: int) -> None:
        if not self.execute("UPDATE sqlite_sequence SET seq=?1 WHERE name='stored_events'", (position,)):
            self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('stored_events', ?1)", (position,))

    def save_newest_position(self, newest: int) -> None:
        """Does nothing: SQLite keeps the newest position itself."""

    def discard_events(self, record: int) -> int:
        return self.execute("DELETE FROM stored_events WHERE notification_id IN (SELECT position FROM to_discard)")

    def erase_events(self, record: int) -> int:
        named = f"""(SELECT s.position FROM json_each((SELECT CAST(state AS TEXT) FROM stored_events
            WHERE notification_id=?1), '$.{payload.RANGES}') r
            JOIN stubs s ON s.position BETWEEN json_extract(r.value, '$[0]') AND json_extract(r.value, '$[1]'))"""
        self.execute(
            f"""DELETE FROM snapshots WHERE stream IN (SELECT value FROM json_each((SELECT CAST(state AS TEXT)
            FROM stored_events WHERE notification_id=?1), '$.{payload.STREAMS}'))""",
            (record,),
        )
        left = ", ".join(f"'{name}', {_first_member(olds)}" for name, olds in payload.LEFT_BY_ERASURE.items())
        return self.execute(
            f"""UPDATE stored_events SET topic='{ERASED}', seal=NULL, state=CAST(json_object({left}) AS BLOB)
            WHERE notification_id IN {named}""",
            (record,),
        )

    def temporary(self, name: str, columns: Mapping[str, str], *, key: int = 1) -> None:
        typed = ", ".join(f"{column} {_TYPES[kind]}" for column, kind in columns.items())
        unique = f"PRIMARY KEY ({', '.join(list(columns)[:key])})"
        self.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({typed}, {unique}){' WITHOUT ROWID' if key > 1 else ''}")
        self.execute(f"DELETE FROM temp.{name}")

    def faults(self) -> Iterator[DatabaseFault]:
        from deltamark.infrastructure.store.sqlite.definitions import definitions

        return integrity.faults(self._connection, definitions)

    def is_damage(self, error: Exception) -> bool:
        return integrity.is_damage(error)

    def rebuild_indexes(self) -> None:
        self.execute("REINDEX")

    def analyze(self, temporary: str) -> None:
        """Does nothing: joins are made in the order written."""


def _shared_text(column: Column) -> str | None:
    return column.value if isinstance(column, Same) and isinstance(column.value, str) else None


def _insertion(table: str, columns: Mapping[str, Column], rows: int) -> str:
    """Returns the statement that inserts some rows; its first parameters are the texts that the rows share."""
    shared = count(1)
    marks = [
        (
            "?{}"
            if not isinstance(column, Same)
            else f"?{next(shared)}"
            if _shared_text(column) is not None
            else str(int(column.value))
        )
        for column in columns.values()
    ]
    numbers = count(next(shared))
    row = f"({', '.join(marks)})"
    width = row.count("{}")
    every = ", ".join(row.format(*islice(numbers, width)) for _ in range(rows))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {every}"


def _row_by_row(columns: Sequence[Column], start: int, end: int) -> list[Any]:
    """Returns the values of some rows: those of the first one, then those of the second, and so on."""
    values: list[Any] = [None] * ((end - start) * len(columns))
    for place, column in enumerate(columns):
        assert not isinstance(column, Same), "what all rows share is in the statement"
        values[place :: len(columns)] = _values(column[start:end])
    return values


def _pieces(shared: list[Any], values: list[Any], start: int, end: int, size: int) -> Iterator[list[Any]]:
    if not shared:
        return (values[first : first + size] for first in range(start, end, size))
    return (shared + values[first : first + size] for first in range(start, end, size))


def _rows(columns: Iterable[Column]) -> Iterator[tuple[Any, ...]]:
    """Ends with the shortest column.

    Columns with the same value in every row have no end.
    """
    return zip(*(_values(column) for column in columns), strict=False)


def _values(column: Column) -> Iterable[Any]:
    if isinstance(column, Same):
        return repeat(column.value)
    values: Iterable[Any] = column.to_pylist() if isinstance(column, pa.Array) else column
    return values


def _first_member(names: Sequence[str]) -> str:
    """The member of the state of an event that has one of these names."""
    members = [f"json_extract(CAST(state AS TEXT), '$.{name}')" for name in names]
    return members[0] if len(members) == 1 else f"coalesce({', '.join(members)})"
