"""Check values of rows that neither the log nor another record proves.

Each row of such a table has a *seal*, a number computed from its values, and `table_seals` has the number of rows and
the sum of seals of each table. A row that was altered past Deltamark has another seal, and one that was removed or
added changes the sum. Seals find damage and careless statements; they are no protection against someone who computes
them anew. See ADR 0055.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

import orjson
from attrs import frozen

from deltamark.domain.errors import StoreError, store_damaged
from deltamark.domain.values import shown
from deltamark.infrastructure.store.arrow import np
from deltamark.infrastructure.store.database import Database

_MODULUS = 2**31 - 1
"""A prime: no single bit of a number is lost by the remainder, and sums of seals fit a column."""

_PORTION = 10_000

_WEIGHTS = (200_560_489, 179_424_673, 160_481_183, 141_650_939, 122_949_823)
"""Prime, and below 2**28: five products of them with remainders fit 63 bits."""


@frozen(kw_only=True)
class SealedTable:
    """A table whose rows are sealed.

    :param key: the columns that name a row.
    :param columns: the columns that a seal covers, with the key.
    :param is_numeric: whether all of them are numbers, so that the database itself computes the seals.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    is_numeric: bool = False

    @property
    def seal(self) -> str:
        """The seal of a row of numbers, as SQL."""
        return numeric_seal(self.columns)

    def row_name(self, row: Sequence[Any]) -> str:
        """Returns how messages name a row, given its `columns`."""
        values = dict(zip(self.columns, row, strict=True))
        return ", ".join(f"{column} {shown(values[column])}" for column in self.key)


_ALL = (
    SealedTable(
        name="store",
        key=("one",),
        columns=("one", "epoch", "last_at", "next_stream", "next_run", "next_flag", "forgotten_flag", "log"),
    ),
    SealedTable(name="entity_types", key=("id",), columns=("id", "name")),
    SealedTable(name="associations", key=("id",), columns=("id", "name")),
    SealedTable(
        name="dependencies",
        key=("id",),
        columns=("id", "entity_type", "hops", "path", "property", "leads_to", "since"),
    ),
    SealedTable(name="places", key=("consumer",), columns=("consumer", "position", "digest")),
    SealedTable(name="rules", key=("id",), columns=("id", "name", "side", "entity_type", "digest")),
    SealedTable(name="consumed", key=("consumer", "rule"), columns=("consumer", "rule", "flag", "position", "digest")),
    SealedTable(name="horizons", key=("subject",), columns=("subject", "connector", "position", "run", "task")),
    SealedTable(name="blocked", key=("connector",), columns=("connector", "run", "task", "since", "needs_complete")),
    SealedTable(name="schedules", key=("job",), columns=("job", "timing", "handled_to", "run")),
    SealedTable(name="consumers", key=("name",), columns=("name", "position", "began_at", "moved_at", "moves")),
    SealedTable(
        name="dead_letters",
        key=("sink", "position", "part"),
        columns=(
            "sink",
            "position",
            "part",
            "state",
            "refused_at",
            "tries",
            "problem",
            "decided_at",
            "decided_by",
            "reason",
        ),
    ),
    SealedTable(name="channels", key=("name",), columns=("name", "position", "since")),
    SealedTable(
        name="notifications",
        key=("channel", "id"),
        columns=("channel", "id", "delivery", "tries", "noted_at", "tried_at", "problem", "document"),
    ),
    SealedTable(
        name="verifications", key=("number",), columns=("number", "part", "at", "position", "faults", "sample")
    ),
    # The digest covers the two columns with the content.
    SealedTable(name="pending", key=("run", "task", "part"), columns=("run", "task", "part", "digest")),
    SealedTable(
        name="flags",
        key=("number",),
        columns=("number", "position", "newest", "resource", "dependency"),
        is_numeric=True,
    ),
    SealedTable(name="classifications", key=("rule", "resource"), columns=("rule", "resource"), is_numeric=True),
    SealedTable(name="correlation_keys", key=("rule", "resource"), columns=("rule", "resource", "value")),
    # Topic and state are compared with the stored state.
    SealedTable(name="snapshots", key=("stream",), columns=("stream", "version", "position"), is_numeric=True),
)

SEALED: Mapping[str, SealedTable] = {table.name: table for table in _ALL}
"""The tables whose rows are sealed, by name."""

KEYS = "correlation_keys"
"""The only large table with texts: its seals are computed for many rows at a time."""

UNCOUNTED = ("store", "snapshots")
"""Sealed tables without a sum: one has a single row, and the log shows which snapshots are missing."""


def numeric_seal(expressions: Sequence[str]) -> str:
    """Returns the seal of a row of numbers as SQL, given an expression for each column."""
    terms = [f"{weight}*({term} % {_MODULUS})" for weight, term in zip(_WEIGHTS, expressions, strict=False)]
    return f"(({' + '.join(terms)}) % {_MODULUS})"


def seal_of(row: Iterable[Any]) -> int:
    """Returns the seal of a row of numbers, texts and nulls, in the order of the columns of its table.

    It is the same for both databases. That of a value which no column may hold is -1, which no row has.
    """
    try:
        return crc32(orjson.dumps([int(value) if isinstance(value, bool) else value for value in row]))
    except TypeError:
        return -1


def key_seals(rules: int | Sequence[int], resources: Sequence[int], texts: Iterable[bytes]) -> list[int]:
    """Returns the seals of correlation keys, given their rules or the rule of all."""
    values = np.fromiter(map(crc32, texts), np.int64, len(resources))
    first, second = (np.asarray(numbers, np.int64) % _MODULUS for numbers in (rules, resources))
    seals: list[int] = ((values + first * _WEIGHTS[0] + second * _WEIGHTS[1]) % _MODULUS).tolist()
    return seals


def sealed_rows(
    db: Database, table: SealedTable, condition: str = "TRUE", parameters: Sequence[Any] = ()
) -> list[tuple[tuple[Any, ...], int]]:
    """Returns the rows of a small table under a condition, each with the seal that it has."""
    sql = f"SELECT {', '.join(table.columns)}, seal FROM {table.name} WHERE {condition}"
    return [(row[:-1], row[-1]) for row in db.all(sql, parameters)]


def check_row(table: SealedTable, row: Sequence[Any], seal: int) -> None:
    """Refuses a row that is not what was written.

    :raises StoreError: names the table and the row.
    """
    if seal_of(row) != seal:
        raise row_altered(table, row)


def checked_rows(
    db: Database, name: str, condition: str = "TRUE", parameters: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Returns the columns of the rows of a small table under a condition.

    :raises StoreError: if one of them is not what was written.
    """
    table = SEALED[name]
    rows = sealed_rows(db, table, condition, parameters)
    for row, seal in rows:
        check_row(table, row, seal)
    return [row for row, _ in rows]


def check_numeric_rows(db: Database, table: SealedTable, condition: str, parameters: Sequence[Any]) -> None:
    """Refuses rows of numbers that are not what was written.

    :raises StoreError: names the table and the first of them.
    """
    sql = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE ({condition}) AND seal <> {table.seal} LIMIT 1"
    row = db.row(sql, parameters)
    if row is not None:
        raise row_altered(table, row)


def row_altered(table: SealedTable, row: Sequence[Any]) -> StoreError:
    """Returns the error for a row that is not what was written."""
    return store_damaged(
        f"the table {table.name}: {ALTERED.format(table.row_name(row))}",
        effect="Nothing was changed.",
        alternative="replay the log, which repairs this table: `deltamark replay`",
    )


ALTERED = "the row of {} is not what was written"
"""What is wrong with an altered row."""


def sum_of(db: Database, table: str, condition: str = "TRUE", parameters: Sequence[Any] = ()) -> tuple[int, int]:
    """Returns the number of rows of a table under a condition, and the sum of their seals."""
    sql = f"SELECT count(*), CAST(coalesce(sum(seal), 0) AS BIGINT) FROM {table} WHERE {condition}"
    row = db.row(sql, parameters)
    assert row is not None, "an aggregate has a row"
    return row[0], row[1]


class SealSums:
    """By how much a transaction changed the number of rows and the sum of seals of each table."""

    def __init__(self) -> None:
        self._changes: dict[str, tuple[int, int]] = {}

    def add(self, table: str, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Adds the difference of two sums of some rows of a table."""
        rows, total = self._changes.get(table, (0, 0))
        self._changes[table] = rows + after[0] - before[0], total + after[1] - before[1]

    def forget(self) -> None:
        """Forgets all changes: the sums were written anew."""
        self._changes.clear()

    def write(self, db: Database) -> None:
        """Writes the sums, and forgets the changes."""
        for table, (rows, total) in self._changes.items():
            if rows or total:
                sql = "UPDATE table_seals SET rows=rows+?1, total=total+?2 WHERE name=?3"
                db.execute(sql, (rows, total, table))
        self.forget()


def seal_rows(db: Database, tables: Collection[str]) -> None:
    """Seals all rows of tables that have another seal or none, and writes their sums."""
    for name in tables:
        table = SEALED[name]
        if table.is_numeric:
            db.execute(f"UPDATE {name} SET seal={table.seal} WHERE seal<>{table.seal}")
        elif name == KEYS:
            _seal_keys(db)
        else:
            for row, seal in sealed_rows(db, table):
                if seal != seal_of(row):
                    put_seal(db, table, row)
    count_rows(db, tables)


def count_rows(db: Database, tables: Iterable[str]) -> None:
    """Writes the sums of tables as they are now."""
    for name in tables:
        if name not in UNCOUNTED:
            sql = """INSERT INTO table_seals (name, rows, total) VALUES (?1, ?2, ?3)
                ON CONFLICT (name) DO UPDATE SET rows=excluded.rows, total=excluded.total"""
            db.execute(sql, (name, *sum_of(db, name)))


def _seal_keys(db: Database) -> None:
    """Seals the correlation keys, portion by portion."""
    for (rule,) in db.all("SELECT id FROM rules ORDER BY id"):
        after = 0
        while rows := db.all(
            """SELECT resource, value, seal FROM correlation_keys WHERE rule=?1 AND resource>?2
            ORDER BY resource LIMIT ?3""",
            (rule, after, _PORTION),
        ):
            resources, values, seals = zip(*rows, strict=True)
            after = resources[-1]
            right = key_seals(rule, resources, [value.encode() for value in values])
            wrong = [place for place, seal in enumerate(seals) if seal != right[place]]
            db.update(
                KEYS,
                {"seal": [right[place] for place in wrong]},
                {"rule": [rule] * len(wrong), "resource": [resources[place] for place in wrong]},
            )


def put_seal(db: Database, table: SealedTable, row: Sequence[Any]) -> None:
    """Seals a row of a small table, given its columns."""
    values = dict(zip(table.columns, row, strict=True))
    condition = " AND ".join(f"{column}=?{number}" for number, column in enumerate(table.key, 2))
    db.execute(
        f"UPDATE {table.name} SET seal=?1 WHERE {condition}", (seal_of(row), *(values[name] for name in table.key))
    )


def altered_rows(db: Database, table: SealedTable) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of a table whose seal is not theirs: the columns of the table."""
    columns = ", ".join(table.columns)
    if table.is_numeric:
        yield from db.rows(f"SELECT {columns} FROM {table.name} WHERE seal <> {table.seal}")
        return
    rows = db.rows(f"SELECT {columns}, seal FROM {table.name}")
    while portion := list(islice(rows, _PORTION)):
        seals = [row[-1] for row in portion]
        if table.name == KEYS:
            rules, resources, values, _ = zip(*portion, strict=True)
            right = key_seals(rules, resources, [value.encode() for value in values])
        else:
            right = [seal_of(row[:-1]) for row in portion]
        yield from (row[:-1] for row, seal, other in zip(portion, seals, right, strict=True) if seal != other)
