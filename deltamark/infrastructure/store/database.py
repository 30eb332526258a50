"""What queries need of a database: running statements, and the SQL that differs.

The statements themselves are written once, for every database. Parameters are numbered (``?1``); a set of values
is one parameter, made by `array`. No statement is built from data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from attrs import frozen

from deltamark.domain.errors import StoreError, store_damaged

if TYPE_CHECKING:
    import pyarrow as pa


@frozen
class Same:
    """A column that has one value in every row."""

    value: bool | int | str


Column: TypeAlias = "range | Sequence[int] | Sequence[bytes] | pa.Array | Same"
"""The values of a column for some rows: whole numbers, an Arrow array of text or bytes, or the same throughout.

Plain bytes only where a database inserts row by row, see `Database.by_rows`.
"""


@frozen(kw_only=True)
class DatabaseFault:
    """A fault of the database itself.

    :param subject: the file, table or index.
    :param in_index: whether only an index is wrong, which can be built again from its table.
    """

    subject: str
    problem: str
    in_index: bool = False


class Database(ABC):
    """One connection inside a transaction."""

    ordered_join: ClassVar[str]
    """Joins in the order written: the left side is small, and an index finds the rows of the right side."""

    by_rows: ClassVar[bool]
    """Whether rows are inserted one by one; then plain values are faster than Arrow arrays."""

    keeps_order: ClassVar[bool]
    """Whether the same query over the same rows gives them in the same order, also without ORDER BY."""

    unindexed: ClassVar[str]
    """Follows the name of a table that is read in its own order, not by an index."""

    many: ClassVar[int] = 10_000
    """Rows from which statements for many at once are faster: an index built at the end, a range that is read whole."""

    @property
    @abstractmethod
    def is_in_transaction(self) -> bool:
        """Whether the transaction is still open.

        The database may have undone all of it after an error.
        """

    @abstractmethod
    def array(self, values: Sequence[Any]) -> Any:
        """Returns a parameter with many values: texts, numbers or pairs of numbers."""

    @abstractmethod
    def among_texts(self, column: str, parameter: int) -> str:
        """Returns the condition that a column is one of the texts of a parameter."""

    @abstractmethod
    def among_numbers(self, column: str, parameter: int) -> str:
        """Returns the condition that a column is one of the numbers of a parameter."""

    @abstractmethod
    def each_text(self, parameter: int, name: str) -> str:
        """Returns the texts of a parameter as a table: ``key`` (their order), ``value``."""

    @abstractmethod
    def each_number(self, parameter: int, name: str) -> str:
        """Returns the numbers of a parameter as a table: ``key`` (their order), ``value``."""

    @abstractmethod
    def each_pair(self, parameter: int, name: str) -> str:
        """Returns the pairs of numbers of a parameter as a table.

        Its columns are ``key`` (their order), ``first``, ``second``.
        """

    @abstractmethod
    def same(self, indexed: str, other: str) -> str:
        """Returns the condition that two texts are equal, such that an index on the first is used."""

    @abstractmethod
    def row_of(self, *texts: str) -> str:
        """Returns texts as a row, such that ``(…) IN (SELECT …)`` uses an index."""

    @abstractmethod
    def same_key(self, indexed: str, other: str) -> str:
        """Returns the condition that two keys of resources are equal.

        The unique index is used for it.

        :param indexed: the column of the table `resources`.
        """

    @abstractmethod
    def lookup(self, table: str, name: str, condition: str, *, or_none: bool = False) -> str:
        """Returns the join to a table whose rows an index finds.

        The index is used whatever statistics the database has of the table.

        :param name: the alias of the table, in the condition and after it.
        :param condition: which rows belong to a row of the table on the left.
        :param or_none: whether rows without a match are kept, with nulls.
        """

    @abstractmethod
    def table_row(self, table: str, name: str) -> tuple[str, str]:
        """Returns a join to the row of a table that a lookup found, and its alias.

        Its values are those of the table, whatever the index says.
        """

    @abstractmethod
    def check_lookups(self, index: str, values: Any, *fixed: int) -> None:
        """Checks that an index does not mislead the search for some values, also for those that it does not have.

        Compares the entries at and beside the place of each value with their rows in the table.

        :param index: `KEYS`, `LINKS`, `SOURCES` or `TARGETS`.
        :param values: what `array` makes of the values: keys, pairs of streams, or streams.
        :param fixed: the entity type of the keys, the association of the pairs.
        :raises StoreError: if it misleads.
        """

    @abstractmethod
    def in_key_order(self, columns: Sequence[str]) -> str:
        """Returns the query for columns of the resources of an entity type, its first parameter, in key order.

        The values are those of the table, whatever an index says.
        """

    @abstractmethod
    def key_beyond(self, parameter: int, *, inclusive: bool = False) -> str:
        """Returns the condition that the key of a resource lies beyond a text, such that the index on keys is used."""

    @property
    @abstractmethod
    def key_order(self) -> str:
        """The order of the index on keys, within an entity type."""

    @abstractmethod
    def value_beyond(self, column: str, parameter: int, *, inclusive: bool = False) -> str:
        """Returns the condition that a text lies beyond another, such that an index on the first is used."""

    @abstractmethod
    def value_order(self, column: str) -> str:
        """Returns the order of an index on a text."""

    @abstractmethod
    def text_holds(self, text: str, part: str) -> str:
        """Returns the condition that a text contains another."""

    @abstractmethod
    def json_property(self, column: str, parameter: int) -> str:
        """Returns the member of a JSON object that a parameter names, as text."""

    @abstractmethod
    def each_member(self, state: str, name: str) -> str:
        """Returns the names of values in the payload of a change as a table with column ``key``."""

    @abstractmethod
    def json_string(self, text: str) -> str:
        """Returns a text as a JSON string."""

    @abstractmethod
    def as_bytes(self, text: str) -> str:
        """Returns the bytes of a text in UTF-8."""

    @abstractmethod
    def holds(self, state: str, part: str) -> str:
        """Returns the condition that a payload contains some bytes."""

    @abstractmethod
    def current_time(self, parameter: int) -> str:
        """Returns the current time in microseconds.

        It is that of the server that all processes share, or else of a parameter.
        """

    @abstractmethod
    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Returns the first row."""

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Returns the first column of the first row, or None if there is no row."""
        row = self.row(sql, parameters)
        return row[0] if row else None

    @abstractmethod
    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Returns all rows at once."""

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yields the rows, read in chunks: memory does not grow with their number."""

    @abstractmethod
    def table(self, sql: str, parameters: Sequence[Any], schema: pa.Schema) -> pa.Table:
        """Returns all rows as an Arrow table of that schema."""

    @abstractmethod
    def live_states(self, entity_type: int, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yields key and state of the live resources of an entity type in portions, as fast as possible."""

    def live_rows(self, entity_type: int, schema: pa.Schema) -> pa.Table:
        """Returns columns of the live resources of an entity type, in the order of their streams."""
        sql = f"SELECT {', '.join(schema.names)} FROM resources WHERE entity_type=?1 AND live ORDER BY stream"
        return self.table(sql, (entity_type,), schema)

    def rows_of_streams(self, streams: pa.Array, schema: pa.Schema, entity_type: int | None = None) -> pa.Table | None:
        """Returns columns of some resources in the order of their streams, where that is faster than to look each up.

        None where it is not, or where not all of them are live, and of the entity type if one is given.

        :param schema: names the columns; the first is ``stream``.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Ends every query, also iterators that were not read to the end."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement, and returns how many rows it wrote."""

    @abstractmethod
    def insert(self, table: str, columns: Mapping[str, Column]) -> None:
        """Inserts many rows."""

    @abstractmethod
    def defer_index(self, index: str) -> None:
        """Lets a large insertion into an empty table build an index at its end, where that is faster."""

    @abstractmethod
    def build_deferred_indexes(self) -> None:
        """Builds the indexes that were deferred, before anything relies on them."""

    @abstractmethod
    def update(self, table: str, columns: Mapping[str, Column], keys: Mapping[str, Column]) -> int:
        """Sets `columns` in the rows that have the values of `keys`, row by row.

        Returns how many rows it updated.
        """

    @abstractmethod
    def exported_snapshot(self) -> str | None:
        """Gives what this transaction sees to other sessions as long as it lasts, and returns the name for it.

        None where they see it anyhow while this transaction keeps others from writing.
        """

    @abstractmethod
    def log_end(self) -> int:
        """Returns the stored newest position, 0 in a new store."""

    @abstractmethod
    def set_log_end(self, position: int) -> None:
        """Stores another newest position than the database keeps."""

    def newest_position(self) -> int:
        """Returns the newest position ever assigned.

        0 in a new store. Needs a writing transaction.
        """
        newest = self.one("SELECT max(notification_id) FROM stored_events") or 0
        return max(self.log_end(), int(newest))

    @abstractmethod
    def save_newest_position(self, newest: int) -> None:
        """Saves the newest position for later transactions.

        Its commit wakes followers.
        """

    @abstractmethod
    def discard_events(self, record: int) -> int:
        """Deletes the changes that the table `to_discard` lists, and returns how many.

        The same transaction has already written the snapshots, the horizons, and the record of the discard at position
        `record`.
        """

    @abstractmethod
    def erase_events(self, record: int) -> int:
        """Empties the changes listed by the record of an erasure at position `record`.

        Returns how many.

        Their time and origin remain, as an event of another topic. The snapshots of the listed streams are deleted. The
        same transaction has already written the record and the stubs, and deleted the resource and its links.
        """

    @abstractmethod
    def temporary(self, name: str, columns: Mapping[str, str], *, key: int = 1) -> None:
        """Makes an empty table for this transaction alone: column -> ``number`` or ``text``.

        :param key: how many of the first columns form the primary key.
        """

    @abstractmethod
    def faults(self) -> Iterator[DatabaseFault]:
        """Reads the whole database, and yields what it finds damaged: the file, tables and indexes."""

    @abstractmethod
    def is_damage(self, error: Exception) -> bool:
        """Whether an error of the driver says that the database is damaged."""

    @abstractmethod
    def rebuild_indexes(self) -> None:
        """Builds all indexes again from their tables."""

    @abstractmethod
    def analyze(self, temporary: str) -> None:
        """Makes the database plan with the present number of rows of a temporary table."""


KEY_VALUES = "correlation_keys_by_value"
"""The index on the values of correlation keys."""

KEYS, LINKS, SOURCES, TARGETS = "resources_by_key", "links_by_source", "links_of_source", "links_by_target"
"""Indexes that lookups use."""


def index_damaged(problem: str) -> StoreError:
    """Returns the error for an index that gives other rows than its table."""
    return store_damaged(
        f"an index of the store is damaged: {problem}",
        effect="Nothing was changed.",
        alternative="build the indexes again: `deltamark replay`",
    )


UNSEALED = "the recorder of a store only reads: events are written and sealed by Store.transaction()"
"""The words of the recorders when they are asked to insert."""

LAST_POSITION = 2**62
"""No log comes near it; the databases could count to 2**63-1."""


def position_after(newest: int) -> int:
    """Returns the position of the next event.

    :raises StoreError: if no position is left.
    """
    if newest >= LAST_POSITION:
        raise store_damaged(f"no position is left after {newest}, and no log is that long")
    return newest + 1


def length(columns: Mapping[str, Column]) -> int:
    """Returns the number of rows of some columns."""
    return next(len(column) for column in columns.values() if not isinstance(column, Same))
