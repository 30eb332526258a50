"""What a database must offer to be read as a source. All reading of one delivery is one transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.infrastructure.sql.description import SQLTable

PORTION = 10_000
"""Rows that are written at a time: memory does not grow with a table."""

_FETCHED = 1_000
"""Rows that are fetched at a time: as few as fit into the cache of a processor, twice as fast as all of a portion."""

NO_TRANSACTIONS = "only PostgreSQL numbers the transactions that wrote rows, which a Watermark of xmin: needs"
NAME_A_COLUMN = "Name a column that gets a larger value whenever a row changes, and an Overlap."

WHOLE_NUMBER = re.compile(r"-?\d+\Z", re.ASCII)
NUMBER_TEXT = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\Z", re.ASCII)
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
"""A name that needs no quotes, unless it is a word of SQL."""


@frozen(kw_only=True)
class Mark:
    """How far a column was read: a value as text, and the type that the database gives it."""

    text: str
    type: str


@frozen(kw_only=True)
class Since:
    """The rows of which a column has this value, a larger one, or none."""

    column: str
    mark: Mark


@frozen(kw_only=True)
class Among:
    """The rows of which a column has one of these values; others may come too."""

    column: str
    values: tuple[str, ...] = field(converter=as_tuple)


Condition: TypeAlias = Since | Among


class SQLReader(Protocol):
    """One read-only transaction: what others write meanwhile is not in it."""

    @property
    def server(self) -> str:
        """The product and its version."""
        ...

    @property
    def guard(self) -> Mapping[str, str]:
        """What tells this database from one that was made anew."""
        ...

    def tables(self) -> Sequence[SQLTable]:
        """The tables that the user may see, without those of the database itself, by name."""
        ...

    def name(self, column: str) -> str:
        """The name of a column in SQL, in quotes only where it needs them."""
        ...

    def joined(self, columns: Sequence[str], name: str) -> str:
        """One text of the values of several columns, under a name, with bars between them, in SQL."""
        ...

    def columns(self, query: str) -> Sequence[str]:
        """The columns of a query, in their order."""
        ...

    def newest(self, query: str, column: str) -> Mark | None:
        """The largest value of a column of a query; None where there is none."""
        return self.extreme("max", query, column)

    def oldest(self, query: str, column: str) -> Mark | None:
        """The smallest value of a column of a query; None where there is none."""
        return self.extreme("min", query, column)

    def extreme(self, function: str, query: str, column: str) -> Mark | None:
        """What `max` or `min` gives of a column of a query, with its type; None where there is no value."""
        ...

    def horizon(self, query: str, column: str) -> Mark:
        """The oldest transaction that may still write, in the type of a column that holds who wrote each row.

        :raises SourceUnreachable: if the database has no such thing, or the column is none.
        """
        ...

    def is_before(self, one: Mark, other: Mark) -> bool:
        """Whether the database sorts a value before another one."""
        ...

    def earlier(self, mark: Mark, overlap: str) -> Mark:
        """A value that lies before another one by an overlap, a time or a number.

        :raises SourceUnreachable: if the overlap does not fit the type.
        """
        ...

    def count(self, query: str, column: str) -> int:
        """How many different values a column of a query has."""
        ...

    def batches(
        self, query: str, columns: Sequence[str], condition: Condition | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a query as texts, portion by portion. It is read to its end before anything else is asked."""
        ...


def quoted(name: str) -> str:
    """The name of a column in SQL."""
    return '"' + name.replace('"', '""') + '"'


def with_bars(columns: Sequence[str], name: str) -> str:
    """One text of the values of several columns, under a name, as most databases write it."""
    bar = " || '|' || "
    return f"{bar.join(columns)} as {name}"


def concatenated_with_bars(columns: Sequence[str], name: str) -> str:
    """The same by `concat`, for databases in which `||` is something else."""
    bar = ", '|', "
    return f"concat({bar.join(columns)}) as {name}"


def text_schema(columns: Sequence[str]) -> pa.Schema:
    """The schema of texts in these columns."""
    return pa.schema([(name, pa.string()) for name in columns])


def text_batches(
    columns: Sequence[str], fetch: Callable[[int], Sequence[Sequence[object]]], text: Callable[[object], str]
) -> Iterator[pa.RecordBatch]:
    """The rows that a driver gives, as texts.

    :param fetch: gives so many of the next rows; none at the end.
    :param text: the text of a cell that is neither a text nor nothing.
    """
    schema = text_schema(columns)
    fetched: list[pa.RecordBatch] = []
    while rows := fetch(_FETCHED):
        cells = [text_column(column, text) for column in zip(*rows, strict=True)]
        fetched.append(pa.record_batch(cells, schema=schema))
        if len(fetched) * _FETCHED >= PORTION:
            yield _joined(fetched)
            fetched.clear()
    if fetched:
        yield _joined(fetched)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    columns = [pa.concat_arrays(arrays) for arrays in zip(*(batch.columns for batch in batches), strict=True)]
    return pa.record_batch(columns, schema=batches[0].schema)


_EXACT = (pa.string(), pa.int64(), pa.null())
"""The types of columns whose cells all have one type, of which Arrow writes the exact text."""


def text_column(cells: Sequence[object], text: Callable[[object], str]) -> pa.Array:
    """A column of texts.

    :param text: the text of a cell that is neither a text nor nothing.
    """
    try:
        column = pa.array(cells)
    except (pa.ArrowException, OverflowError):  # of several types, or larger numbers
        column = None
    if column is not None and column.type in _EXACT:
        return column.cast(pa.string())
    return pa.array(
        [cell if cell is None or cell.__class__ is str else text(cell) for cell in cells],
        pa.string(),
    )


def with_single_floats(batch: pa.RecordBatch, numbers: Sequence[int]) -> pa.RecordBatch:
    """The batch with the shortest texts that give the same floats, of columns that came as doubles."""
    columns = list(batch.columns)
    for number in numbers:
        cells = columns[number].to_pylist()
        texts = [None if cell is None else str(np.float32(cell)) for cell in cells]
        columns[number] = pa.array(texts, pa.string())
    return pa.record_batch(columns, schema=batch.schema)
