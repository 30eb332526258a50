"""Finds the rows of an extract that were applied before, by the digest of their cells, and reads only the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from attrs import field, frozen, mutable

from deltamark.application.ports.applied_rows import RowDigests, UnchangedRows
from deltamark.domain.configuration.value_formats import CellType
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.extracts.cells import Cells, FetchedRows, numbered

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[Any]

_BETWEEN = "chr(0)"
"""What stands between cells: no cell that is digested holds NUL, and none is empty but those that are NULL."""

_BYTES = 16
_GROUPS = 1 << 20
_SHIFT = np.uint64(64 - 20)
"""Leaves the number of the group of a digest: how it begins."""

_PORTION = 100_000
"""Rows that are in memory at once with all of their cells."""


def digest_of_cells(salt: str, count: int) -> str:
    """SQL for the digest of the cells w0, w1, … of a row: 16 bytes, as a number."""
    return f"md5_number({_packed(salt, count)})"


def _packed(salt: str, count: int) -> str:
    cells = (f"coalesce(w{number}, '')" for number in range(count))
    return f"concat_ws({_BETWEEN}, {', '.join((literal(salt), *cells))})"


@frozen(kw_only=True)
class OtherRows:
    """The result of a query over the rows that were not applied before.

    :param places: of these rows among all, from 0.
    :param count: of all rows.
    """

    rows: pa.Table
    places: pa.Array
    count: int


@runtime_checkable
class DigestedCells(Cells, Protocol):
    """Cells of which equal texts, with equal types of their columns, are equal cells."""

    def can_be_digested(self, columns: Sequence[int]) -> bool:
        """Whether no cell of these columns holds NUL, which stands between cells."""
        ...

    def fetch_others(self, query: str, columns: Sequence[int], known: KnownRows) -> FetchedRows:
        """Runs a query like `fetch`, over the rows that were not applied before."""
        ...


@mutable(kw_only=True)
class KnownRows:
    """What was applied, while rows of an extract are looked up in it."""

    digests: RowDigests
    types: Mapping[str, CellType] = field(factory=dict)
    """The types that the file gives to columns: the same text says something else as a cell of another type."""

    is_searched: bool = False
    """Whether rows were looked up; all are read where cells cannot be digested."""

    _is_repeated: bool = field(init=False, default=False)
    _first: Numbers = field(init=False)
    _second: Numbers = field(init=False)
    _starts: Numbers = field(init=False)
    """Where the digests of each group begin, in their order: a few rows are in a group."""
    _is_there: Numbers = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._first = self._second = np.empty(0, np.uint64)
        if self.digests.applied is not None:
            self._first, self._second = _halves(self.digests.applied.rows.column("digest").combine_chunks())
        counts = np.bincount((self._first >> _SHIFT).astype(np.int64), minlength=_GROUPS)
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    @property
    def salt(self) -> str:
        """What begins the digest of a row."""
        if not self.types:
            return self.digests.salt
        types = repr(sorted((name, cell_type.value) for name, cell_type in self.types.items()))
        return self.digests.salt + hashlib.sha256(types.encode(errors="backslashreplace")).hexdigest()

    @property
    def unchanged(self) -> UnchangedRows | None:
        """What was found; None where nothing was looked up."""
        if not self.is_searched or self.digests.applied is None:
            return None
        return UnchangedRows(applied=self.digests.applied, is_there=pa.array(self._is_there))

    def have_repeated_keys(self, others: pa.Table) -> bool:
        """Whether several rows of the extract have one key, so that all must be read.

        :param others: the rows that were not found, also those with a fault, with their ``key``.
        """
        if not self.is_searched or self.digests.applied is None:
            return False
        keys = pc.unique(others["key"]).drop_null().cast(pa.string())
        is_named = pc.is_in(self.digests.applied.rows.column("key"), value_set=keys)
        return self._is_repeated or bool(pc.any(pc.and_(is_named, pa.array(self._is_there))).as_py())

    def query(self, connection: duckdb.DuckDBPyConnection, query: str, cells: Sequence[str], source: str) -> OtherRows:
        """Runs a query over those rows of ``cells`` that were not applied before.

        :param cells: SQL of their columns w0, w1, …
        :raises duckdb.Error: as the query would.
        """
        self.is_searched, self._is_repeated = True, False
        self._is_there = np.zeros(len(self._first), np.bool_)
        packed = _packed(self.salt, len(cells))
        scan = f"with cells as (select {numbered(cells)} from {source}) select {packed} as packed from cells"
        scan = f"select packed, md5_number(packed) as digest from ({scan})"
        others, places, count = [], [np.empty(0, np.int64)], 0
        for batch in _batches(connection, scan):
            is_other = self._others(batch.column("digest"))
            others.append(batch.column("packed").filter(pa.array(is_other)))
            places.append(np.flatnonzero(is_other) + count)
            count += batch.num_rows
        connection.register("others", pa.table({"packed": pa.chunked_array(others, pa.string())}))
        restored = numbered(f"nullif(p[{number}], '')" for number in range(2, len(cells) + 2))
        split = f"select string_split(packed, {_BETWEEN}) as p from others"
        rows = connection.sql(f"with cells as (select {restored} from ({split})) {query}").to_arrow_table()
        connection.unregister("others")
        return OtherRows(rows=rows, places=pa.array(np.concatenate(places)), count=count)

    def _others(self, digests: pa.Array) -> Numbers:
        """Which of some rows were not applied before; notes the rows that they are."""
        first, second = _halves(digests)
        groups = first >> _SHIFT
        places, ends = self._starts[groups], self._starts[groups + np.uint64(1)]
        is_other, open_rows = np.ones(len(first), np.bool_), np.flatnonzero(places < ends)
        while len(open_rows):
            at = places[open_rows]
            is_same = (self._first[at] == first[open_rows]) & (self._second[at] == second[open_rows])
            is_other[open_rows[is_same]] = False
            open_rows = open_rows[~is_same]
            places[open_rows] += 1
            open_rows = open_rows[places[open_rows] < ends[open_rows]]
        found = places[~is_other]
        before = np.count_nonzero(self._is_there)
        self._is_there[found] = True
        self._is_repeated = self._is_repeated or int(np.count_nonzero(self._is_there) - before) < len(found)
        return is_other


def _batches(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from connection.sql(query).to_arrow_reader(_PORTION)
    except (pa.ArrowException, OSError) as error:
        raise duckdb.Error(str(error)) from error


def _halves(digests: pa.Array) -> tuple[Numbers, Numbers]:
    """The two halves of each digest."""
    numbers = np.frombuffer(digests.buffers()[1], np.uint64, 2 * len(digests), _BYTES * digests.offset)
    return np.ascontiguousarray(numbers[::2]), np.ascontiguousarray(numbers[1::2])


def as_bytes(digests: pa.ChunkedArray) -> pa.ChunkedArray:
    """Digests as DuckDB gives them (numbers of 128 bits), as 16 bytes each."""
    chunks = [
        pa.Array.from_buffers(pa.binary(_BYTES), len(chunk), [None, chunk.buffers()[1]], offset=chunk.offset)
        for chunk in digests.chunks
    ]
    return pa.chunked_array(chunks, pa.binary(_BYTES))
