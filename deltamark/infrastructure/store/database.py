"""What the queries of a store need of a database: its way to run statements, and the few words in which it differs.

The statements themselves are written once, for every database. Parameters are numbered (``?1``); a set of values
goes into a statement as one parameter, made by `array`: no statement is ever put together from data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from attrs import frozen

from deltamark.domain.errors import store_damaged

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


class Database(ABC):
    """One connection inside a transaction."""

    straight: ClassVar[str]
    """Joins in the order written: what stands left is small, what stands right is found by an index."""

    by_rows: ClassVar[bool]
    """Inserts row by row: plain values cost less than those of an Arrow array."""

    unindexed: ClassVar[str]
    """After a table's name: read it in its own order, not by an index."""

    @abstractmethod
    def array(self, values: Sequence[Any]) -> Any:
        """A parameter that holds many values: texts, numbers or pairs of numbers."""

    @abstractmethod
    def among_texts(self, column: str, parameter: int) -> str:
        """Whether a column is one of the texts of a parameter."""

    @abstractmethod
    def among_numbers(self, column: str, parameter: int) -> str:
        """Whether a column is one of the numbers of a parameter."""

    @abstractmethod
    def each_text(self, parameter: int, name: str) -> str:
        """The texts of a parameter as a table with the columns ``key`` (their order) and ``value``."""

    @abstractmethod
    def each_number(self, parameter: int, name: str) -> str:
        """The numbers of a parameter as a table with the columns ``key`` (their order) and ``value``."""

    @abstractmethod
    def each_pair(self, parameter: int, name: str) -> str:
        """The pairs of numbers of a parameter as a table: ``key`` (their order), ``first``, ``second``."""

    @abstractmethod
    def same(self, indexed: str, other: str) -> str:
        """Whether two texts are equal; an index on the first is used."""

    @abstractmethod
    def row_of(self, *texts: str) -> str:
        """Some texts as a row: what makes ``(…) IN (SELECT …)`` find them by an index."""

    @abstractmethod
    def same_key(self, indexed: str, other: str) -> str:
        """Whether two keys of resources are equal; the index by which there is only one is used.

        :param indexed: the column of the table `resources`.
        """

    @abstractmethod
    def each_found(self, table: str, name: str, condition: str, *, or_none: bool = False) -> str:
        """What stands behind a table in a join: for each of its rows the rows of another one that fulfil a condition,
        found by an index, whatever the database believes to know of that table.

        :param name: what the other table is called in the condition, and behind it.
        :param or_none: a row for which nothing is found stays, with nulls.
        """

    @abstractmethod
    def json_property(self, column: str, parameter: int) -> str:
        """The member of a JSON object that a parameter names, as text."""

    @abstractmethod
    def each_member(self, state: str, name: str) -> str:
        """The names of the values in the payload of a change as a table with the column ``key``, row by row."""

    @abstractmethod
    def json_string(self, text: str) -> str:
        """A text as a JSON string."""

    @abstractmethod
    def as_bytes(self, text: str) -> str:
        """A text as its bytes in UTF-8."""

    @abstractmethod
    def holds(self, state: str, part: str) -> str:
        """Whether a payload holds some bytes."""

    @abstractmethod
    def present(self, parameter: int) -> str:
        """The present time in microseconds: that of a server, which all who use it share, or else of a parameter."""

    @abstractmethod
    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row."""

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None where there is no row."""
        row = self.row(sql, parameters)
        return row[0] if row else None

    @abstractmethod
    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows at once."""

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows, read in chunks: memory does not grow with their number."""

    @abstractmethod
    def table(self, sql: str, parameters: Sequence[Any], schema: pa.Schema) -> pa.Table:
        """All rows as an Arrow table of that schema."""

    @abstractmethod
    def held(self, entity_type: int, schema: pa.Schema) -> pa.Table:
        """The key and the state of the live resources of an entity type: as fast as the database can give them."""

    @abstractmethod
    def close(self) -> None:
        """Ends every query, also those that somebody still holds half read."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement; returns how many rows it wrote."""

    @abstractmethod
    def insert(self, table: str, columns: Mapping[str, Column]) -> None:
        """Inserts many rows."""

    @abstractmethod
    def update(self, table: str, columns: Mapping[str, Column], found_by: Mapping[str, Column]) -> int:
        """Sets `columns` in the rows that have the values of `found_by`, row by row; returns how many it found."""

    @abstractmethod
    def newest_position(self) -> int:
        """The newest position that was ever given to an event; 0 in a new store. Only where writing is allowed."""

    @abstractmethod
    def positions_given(self, newest: int) -> None:
        """Keeps the newest position for the transactions to come, and wakes those who follow once it is committed."""

    @abstractmethod
    def discard_events(self, record: int) -> int:
        """Deletes the changes that the table `doomed` names; returns how many.

        Snapshots, horizons and the record of the discard, at position `record`, are written already, in the same
        transaction.
        """

    @abstractmethod
    def erase_events(self, record: int) -> int:
        """Empties the changes that the record of an erasure, at position `record`, names: what is left is their time
        and cause, as an event of another topic. Also deletes the snapshots of the streams named. Returns how many.

        The record is written already, in the same transaction, and so are the stubs; the rows of the resource and its
        links are gone.
        """

    @abstractmethod
    def temporary(self, name: str, columns: Mapping[str, str], *, key: int = 1) -> None:
        """An empty table for this transaction alone: column -> ``number`` or ``text``.

        :param key: how many columns there are, from the first on, in which no two rows have the same.
        """

    @abstractmethod
    def look_at(self, temporary: str) -> None:
        """Has the database plan for as many rows as a temporary table holds now."""


UNSEALED = "the recorder of a store only reads: events are written and sealed by Store.transaction()"
"""The words of the recorders when they are asked to insert."""

LAST_POSITION = 2**62
"""No log comes near it; the databases themselves would go on to 2**63-1."""


def position_after(newest: int) -> int:
    """The position that the next event takes.

    :raises StoreError: if there is none.
    """
    if newest >= LAST_POSITION:
        raise store_damaged(f"no position is left after {newest}, and no log is that long")
    return newest + 1


def length(columns: Mapping[str, Column]) -> int:
    """How many rows some columns stand for."""
    return next(len(column) for column in columns.values() if not isinstance(column, Same))
