"""Runs the queries of a store on a PostgreSQL connection."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import count
from typing import Any
from weakref import WeakSet

from psycopg import Connection, Cursor, ServerCursor
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, tuple_row
from psycopg.types.string import ByteaBinaryLoader

from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.arrow_rows import PORTION, to_table
from deltamark.infrastructure.store.database import Column, Database, DatabaseFault, length
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.postgresql import integrity
from deltamark.infrastructure.store.postgresql.copy_format import HEADER, TRAILER, copy_rows
from deltamark.infrastructure.store.postgresql.retention_functions import DISCARD_EVENTS, ERASE_EVENTS
from deltamark.infrastructure.store.postgresql.schema import PREFIX, digest_of

_TYPES = {"number": "BIGINT", "text": 'TEXT COLLATE "C"'}

_ADDS = re.compile(r"\s*(?:INSERT INTO|UPDATE)\s+(\w+)")
_PARAMETER = re.compile(r"\?(\d+)")
_STREAMS = 200_000
"""Streams in a portion of states."""

_names = count(1)


@cache
def _statement(sql: str) -> bytes:
    """Turns numbered parameters into named ones of psycopg.

    Few statements are cached: all are in this package.
    """
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")).encode()


def _named_parameters(parameters: Sequence[Any]) -> dict[str, Any]:
    return {str(number): value for number, value in enumerate(parameters, 1)}


class PostgreSQLDatabase(Database):
    """SQL on a PostgreSQL connection.

    Many values in one parameter are an array.
    """

    ordered_join = "JOIN"  # the planner chooses the order
    by_rows = False
    keeps_order = False
    unindexed = ""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self._connection = connection
        self.added: Counter[str] = Counter()
        """Table -> rows inserted or updated."""
        self._cursors: WeakSet[ServerCursor[tuple[Any, ...]]] = WeakSet()

    @property
    def is_in_transaction(self) -> bool:
        return self._connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def array(self, values: Sequence[Any]) -> Any:
        return [list(value) if isinstance(value, tuple) else value for value in values]

    def among_texts(self, column: str, parameter: int) -> str:
        return f"{column} = ANY(?{parameter}::text[])"

    def among_numbers(self, column: str, parameter: int) -> str:
        return f"{column} = ANY(?{parameter}::bigint[])"

    def each_text(self, parameter: int, name: str) -> str:
        return f"unnest(?{parameter}::text[]) WITH ORDINALITY AS {name} (value, key)"

    def each_number(self, parameter: int, name: str) -> str:
        return f"unnest(?{parameter}::bigint[]) WITH ORDINALITY AS {name} (value, key)"

    def each_pair(self, parameter: int, name: str) -> str:
        return f"""(SELECT key, pairs[key][1] AS first, pairs[key][2] AS second FROM
            (SELECT ?{parameter}::bigint[] AS pairs) p, generate_subscripts(pairs, 1) AS key) {name}"""

    def same(self, indexed: str, other: str) -> str:
        """Also compares the beginnings: an index holds as many characters of a text as always fit."""
        return f"(left({indexed}, {PREFIX}) = left({other}, {PREFIX}) AND {indexed} = {other})"

    def row_of(self, *texts: str) -> str:
        return ", ".join((*(f"left({text}, {PREFIX})" for text in texts), *texts))

    def same_key(self, indexed: str, other: str) -> str:
        """Compares the digests too.

        Every column of the index is compared: the planner then knows, without any statistics, that a key finds one
        row. Otherwise it would take the table for one where many have the same, and sort it as a whole.
        """
        return f"({self.same(indexed, other)} AND {digest_of(indexed)} = {digest_of(other)})"

    def lookup(self, table: str, name: str, condition: str, *, or_none: bool = False) -> str:
        """A lateral join with OFFSET, which keeps the planner from turning the join round.

        What the transaction wrote itself is not in the statistics: turned round, all of it would be read for each row.
        """
        joined = f"LATERAL (SELECT * FROM {table} {name} WHERE {condition} OFFSET 0) {name}"
        return f"LEFT JOIN {joined} ON TRUE" if or_none else f"CROSS JOIN {joined}"

    def table_row(self, table: str, name: str) -> tuple[str, str]:
        """None: PostgreSQL reads values from the table."""
        return "", name

    def check_lookups(self, index: str, values: Any, *fixed: int) -> None:
        """Does nothing: the server has checksums, and `faults` compares its indexes."""

    def in_key_order(self, columns: Sequence[str]) -> str:
        return f"SELECT {', '.join(columns)} FROM resources WHERE entity_type=?1 ORDER BY key"

    def key_beyond(self, parameter: int, *, inclusive: bool = False) -> str:
        return self.value_beyond("key", parameter, inclusive=inclusive)

    @property
    def key_order(self) -> str:
        return f"left(key, {PREFIX}), key"

    def value_beyond(self, column: str, parameter: int, *, inclusive: bool = False) -> str:
        sign = ">=" if inclusive else ">"
        return f"(left({column}, {PREFIX})>=left(?{parameter}, {PREFIX}) AND {column}{sign}?{parameter})"

    def value_order(self, column: str) -> str:
        return f"left({column}, {PREFIX}), {column}"

    def text_holds(self, text: str, part: str) -> str:
        return f"strpos({text}, {part}) > 0"

    def json_property(self, column: str, parameter: int) -> str:
        return f"({column}::json ->> ?{parameter}::text)"

    def each_member(self, state: str, name: str) -> str:
        """Reads a NUL in a value, which PostgreSQL refuses, as another character."""
        text = rf"replace(convert_from({state}, 'UTF8'), '\u0000', '\u0001')"
        return f"json_object_keys({text}::json -> '{payload.VALUES}') AS {name} (key)"

    def json_string(self, text: str) -> str:
        return f"to_json({text})::text"

    def as_bytes(self, text: str) -> str:
        return f"convert_to({text}, 'UTF8')"

    def holds(self, state: str, part: str) -> str:
        return f"position({part} IN {state}) > 0"

    def current_time(self, parameter: int) -> str:
        return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

    def _cursor(self, sql: str, parameters: Sequence[Any], *, binary: bool = True) -> Cursor[tuple[Any, ...]]:
        cursor = self._connection.cursor(row_factory=tuple_row)
        return cursor.execute(_statement(sql), _named_parameters(parameters), binary=binary)

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        return self._cursor(sql, parameters).fetchone()

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._cursor(sql, parameters).fetchall()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        with self._server_cursor() as cursor:
            cursor.execute(_statement(sql), _named_parameters(parameters), binary=True)
            while rows := cursor.fetchmany(PORTION):
                yield from rows

    def table(self, sql: str, parameters: Sequence[Any], schema: pa.Schema) -> pa.Table:
        """The rows as an Arrow table.

        Texts stay UTF-8 and become no Python strings.
        """
        with self._server_cursor() as cursor:
            cursor.adapters.register_loader("text", ByteaBinaryLoader)
            cursor.execute(_statement(sql), _named_parameters(parameters), binary=True)
            return to_table(cursor, schema)

    def live_states(self, entity_type: int, schema: pa.Schema) -> Iterator[pa.Table]:
        last = self.one("SELECT max(stream) FROM resources") or 0
        sql = "SELECT key, state FROM resources WHERE entity_type=?1 AND live"
        if last <= _STREAMS:
            yield self.table(sql, (entity_type,), schema)
            return
        for first in range(1, last + 1, _STREAMS):
            of_portion = f"{sql} AND stream BETWEEN ?2 AND ?3"
            yield self.table(of_portion, (entity_type, first, first + _STREAMS - 1), schema)

    def close(self) -> None:
        """Closes the open cursors.

        Now, not when their readers let go of them: another may have the connection by then.
        """
        for cursor in tuple(self._cursors):
            cursor.close()

    def _server_cursor(self) -> ServerCursor[tuple[Any, ...]]:
        """Returns a cursor that fetches only the rows asked for.

        The others stay on the server.
        """
        cursor = self._connection.cursor(name=f"deltamark_{next(_names)}", row_factory=tuple_row)
        self._cursors.add(cursor)
        return cursor

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        count = self._cursor(sql, parameters).rowcount
        if adding := _ADDS.match(sql):
            self.added[adding[1]] += count
        return count

    def insert(self, table: str, columns: Mapping[str, Column]) -> None:
        if not length(columns):
            return
        rows = copy_rows(columns)
        with self._connection.cursor().copy(
            f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)".encode()
        ) as copy:
            copy.write(HEADER)
            copy.write(rows)
            copy.write(TRAILER)
        self.added[table] += length(columns)

    def defer_index(self, index: str) -> None:
        """Does nothing: only the owner of a table may drop its indexes."""

    def build_deferred_indexes(self) -> None:
        """Does nothing: none is deferred."""

    def update(self, table: str, columns: Mapping[str, Column], keys: Mapping[str, Column]) -> int:
        """Copies the rows to a temporary table and joins it."""
        if not length(keys):
            return 0
        staged = {**columns, **{f"by_{name}": column for name, column in keys.items()}}
        self._stage(table, columns, keys)
        self.insert("staged", staged)
        # Without statistics, long texts make the planner expect so many rows that it reads the other table whole.
        self.execute(f"ANALYZE staged (by_{next(iter(keys))})")
        settings = ", ".join(f"{name} = s.{name}" for name in columns)
        conditions = " AND ".join(f"t.{name} = s.by_{name}" for name in keys)
        return self.execute(f"UPDATE {table} t SET {settings} FROM staged s WHERE {conditions}")

    def _stage(self, table: str, columns: Mapping[str, Column], keys: Mapping[str, Column]) -> None:
        """Makes an empty table `staged` with columns of the same types."""
        chosen = ", ".join([*columns, *(f"{name} AS by_{name}" for name in keys)])
        self.execute("DROP TABLE IF EXISTS staged")
        self.execute(f"CREATE TEMP TABLE staged ON COMMIT DROP AS SELECT {chosen} FROM {table} WITH NO DATA")

    def exported_snapshot(self) -> str | None:
        return str(self.one("SELECT pg_export_snapshot()"))

    def log_end(self) -> int:
        return int(self.one("SELECT position FROM log_end"))

    def set_log_end(self, position: int) -> None:
        self.execute("UPDATE log_end SET position=?1", (position,))

    def save_newest_position(self, newest: int) -> None:
        self.set_log_end(newest)
        self.execute("SELECT pg_notify(?1, '')", (self.channel(),))

    def channel(self) -> str:
        """The channel that notifies followers of new events."""
        return f"deltamark_{self.one('SELECT current_schema()')}"

    def discard_events(self, record: int) -> int:
        """Calls the owner's function: the role that writes may not delete events itself."""
        return int(self.one(f"SELECT {DISCARD_EVENTS}(?1)", (record,)))

    def erase_events(self, record: int) -> int:
        """Calls the owner's function: the role that writes may not change events itself."""
        return int(self.one(f"SELECT {ERASE_EVENTS}(?1)", (record,)))

    def temporary(self, name: str, columns: Mapping[str, str], *, key: int = 1) -> None:
        # Without an index: these tables are joined as a whole, and filling them is much faster.
        typed = ", ".join(f"{column} {_TYPES[kind]}" for column, kind in columns.items())
        self.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({typed}) ON COMMIT DROP")
        self.execute(f"TRUNCATE {name}")

    def faults(self) -> Iterator[DatabaseFault]:
        return integrity.faults(self)

    def is_damage(self, error: Exception) -> bool:
        return integrity.is_damage(error)

    def rebuild_indexes(self) -> None:
        """Table by table, which the owner of the store may do in a transaction."""
        tables = """SELECT relname FROM pg_class WHERE relkind = 'r'
            AND relnamespace = to_regnamespace(quote_ident(current_schema())) ORDER BY relname"""
        for (table,) in self.all(tables):
            self.execute(f"REINDEX TABLE {table}")

    def analyze(self, temporary: str) -> None:
        """Analyzes a temporary table, which belongs to the role that made it."""
        self.execute(f"ANALYZE {temporary}")
