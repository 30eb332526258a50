"""Cells that a reader itself has made texts, with the line of each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import duckdb
import pyarrow as pa
from attrs import field, frozen

from deltamark.domain.configuration.value_formats import CellType
from deltamark.infrastructure.extracts.cells import (
    ExtractSource,
    FetchedRows,
    UnreadableRow,
    check_columns,
    numbered,
    query_cells,
    unreadable_rows,
)
from deltamark.infrastructure.extracts.known_rows import KnownRows
from deltamark.infrastructure.extracts.typed_cells import columns_in_memory

_ROWS_OF_A_PORTION = 20_000
_LONGEST_EXCERPT = 200


@frozen(kw_only=True)
class TextRows:
    """Rows as texts.

    :param columns: number of a column -> its cells.
    :param lines: of each row (int64).
    """

    columns: Mapping[int, pa.ChunkedArray]
    lines: pa.ChunkedArray
    unreadable: Sequence[UnreadableRow] = ()


ReadRows: TypeAlias = Callable[[Sequence[int]], TextRows]
"""Reads the columns of these numbers, each once.

It raises `SourceError` if the rows cannot be read.
"""


class TextCells:
    """The rows of an extract whose reader makes texts."""

    def __init__(self, source: ExtractSource, names: Sequence[str], line: int | None, read: ReadRows) -> None:
        """Checks the columns that the mapping needs.

        :param line: that of the header, if there is one.
        :raises SourceError: if a column is missing.
        """
        self._source = source
        self._names = names
        self._read = read
        check_columns(names, source.columns, source.file, line)

    @property
    def names(self) -> Sequence[str]:
        """The columns of the extract."""
        return self._names

    @property
    def cell_types(self) -> Mapping[str, CellType]:
        """None: every cell is a text."""
        return {}

    def fetch(self, query: str, columns: Sequence[int]) -> FetchedRows:
        """Runs a query over the cells."""
        rows = self._read(tuple(dict.fromkeys(columns)))
        connection = self._source.connection
        try:
            source = columns_in_memory(connection, rows.columns)
            table = query_cells(connection, query, numbered(_cells(columns)), source)
        except (duckdb.Error, pa.ArrowException) as error:
            raise unreadable_rows(self._source.file, error) from error
        return FetchedRows(rows=table.append_column("line", rows.lines), unreadable=rows.unreadable)

    def can_be_digested(self, columns: Sequence[int]) -> bool:
        """Always: a text with NUL is refused before."""
        return True

    def fetch_others(self, query: str, columns: Sequence[int], known: KnownRows) -> FetchedRows:
        """Runs a query over the rows that were not applied before."""
        rows = self._read(tuple(dict.fromkeys(columns)))
        connection = self._source.connection
        try:
            others = known.query(connection, query, _cells(columns), columns_in_memory(connection, rows.columns))
        except (duckdb.Error, pa.ArrowException) as error:
            raise unreadable_rows(self._source.file, error) from error
        table = others.rows.append_column("line", rows.lines.take(others.places))
        return FetchedRows(rows=table, unreadable=rows.unreadable, read=others.count)


def _cells(columns: Sequence[int]) -> Sequence[str]:
    return [f"nullif(c{number}, '')" for number in columns]


@frozen
class TextRowsBuilder:
    """Collects rows, in portions: of the texts of a portion alone there are objects."""

    numbers: Sequence[int]
    _waiting: list[tuple[str | None, ...]] = field(factory=list)
    _lines: list[int] = field(factory=list)
    _portions: list[list[pa.Array]] = field(factory=list)
    _unreadable: list[UnreadableRow] = field(factory=list)

    def add(self, line: int, cells: tuple[str | None, ...]) -> None:
        """Adds a row."""
        self._waiting.append(cells)
        self._lines.append(line)
        if len(self._lines) >= _ROWS_OF_A_PORTION:
            self._close_portion()

    def set_aside(self, line: int, reason: str, text: str) -> None:
        """Adds a row that cannot be read."""
        self._unreadable.append(UnreadableRow(line=line, reason=reason, text=text[:_LONGEST_EXCERPT]))

    def finish(self) -> TextRows:
        """All that was added."""
        self._close_portion()
        columns = zip(*self._portions, strict=True) if self._portions else [()] * (len(self.numbers) + 1)
        kinds = [*[pa.string()] * len(self.numbers), pa.int64()]
        arrays = [pa.chunked_array(list(chunks), kind) for chunks, kind in zip(columns, kinds, strict=True)]
        return TextRows(
            columns=dict(zip(self.numbers, arrays[:-1], strict=True)), lines=arrays[-1], unreadable=self._unreadable
        )

    def _close_portion(self) -> None:
        if not self._lines:
            return
        columns = zip(*self._waiting, strict=True) if self.numbers else []
        cells = [pa.array(column, pa.string()) for column in columns]
        self._portions.append([*cells, pa.array(self._lines, pa.int64())])
        self._waiting.clear()
        self._lines.clear()
