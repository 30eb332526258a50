"""The cells of a CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
from attrs import evolve, frozen

from deltamark.domain.configuration.value_formats import CellType
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.extracts.cells import (
    ExtractSource,
    FetchedRows,
    check_columns,
    line_numbers,
    numbered,
    query_cells,
    unreadable_rows,
)
from deltamark.infrastructure.extracts.copies import Copies
from deltamark.infrastructure.extracts.csv.dialect import Dialect, detect_dialect
from deltamark.infrastructure.extracts.csv.grammar import Grammar
from deltamark.infrastructure.extracts.csv.inspection import TextShape, inspect_text, without_end_sign
from deltamark.infrastructure.extracts.csv.normalize import ESCAPED_CR, ESCAPED_LF, NormalizedText, normalize
from deltamark.infrastructure.extracts.decode import PlainText, declared_encoding, utf8_text
from deltamark.infrastructure.extracts.known_rows import KnownRows

_LEAST_LINE_SIZE = 2 << 20


def csv_cells(source: ExtractSource) -> CsvCells:
    """Opens a CSV file, compressed or not.

    :raises SourceError: if it is no CSV text, damaged or cut off, or lacks a column.
    """
    where, mapping = source.mapping_location, source.mapping
    encoding = declared_encoding(mapping.encoding, where)
    plain = utf8_text(source.file, encoding, source.copies, source.limits, "CSV text")
    plain = without_end_sign(plain, source.copies)
    shape = inspect_text(plain)
    dialect = detect_dialect(plain, shape, source.columns, mapping.delimiter, where, skipped=mapping.skip_lines)
    check_columns(dialect.names, source.columns, source.file, dialect.line)
    return CsvCells(source.connection, plain, shape, dialect, source.copies)


class CsvCells:
    """The rows of a CSV text.

    A text without quotes whose line ends are all alike is first read as it is. If that gives another number of rows
    than there are lines, and for every other text, a normalized copy is read.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        plain: PlainText,
        shape: TextShape,
        dialect: Dialect,
        copies: Copies,
    ) -> None:
        self._connection = connection
        self._plain = plain
        self._shape = shape
        self._dialect = dialect
        self._copies = copies

    @property
    def names(self) -> Sequence[str]:
        """The header."""
        return self._dialect.names

    @property
    def delimiter(self) -> str:
        """What separates the columns."""
        return self._dialect.delimiter

    @property
    def cell_types(self) -> Mapping[str, CellType]:
        """None: every cell is a text."""
        return {}

    def fetch(self, query: str, columns: Sequence[int]) -> FetchedRows:
        """Runs a query over the cells.

        Lines are those of the text, in which the header is usually line 1.
        """
        return self._fetch_as_it_is(query, columns, None) or self._fetch_normalized(query, columns, None)

    def can_be_digested(self, columns: Sequence[int]) -> bool:
        """Always: a text with NUL is refused before."""
        return True

    def fetch_others(self, query: str, columns: Sequence[int], known: KnownRows) -> FetchedRows:
        """Runs a query over the rows that were not applied before."""
        return self._fetch_as_it_is(query, columns, known) or self._fetch_normalized(query, columns, known)

    def _fetch_as_it_is(self, query: str, columns: Sequence[int], known: KnownRows | None) -> FetchedRows | None:
        shape, width = self._shape, len(self.names)
        if (
            shape.has_quotes
            or shape.has_marks
            or not shape.is_uniform
            or not self._dialect.is_in_first_line
            or width == 1
        ):
            return None  # in a single column, DuckDB would count blank lines as rows
        text = self._read_csv(self._plain.path, skip=1, longest=shape.longest)
        try:
            found = self._query(query, [f"c{i}" for i in columns], text, known)
        except duckdb.Error:
            return None  # normalizing finds what is wrong, and in which line
        if found.count != shape.line_feeds - 1:
            return None
        return found.fetched(line_numbers(2, found.count))

    def _fetch_normalized(self, query: str, columns: Sequence[int], known: KnownRows | None) -> FetchedRows:
        end = b"\r" if self._shape.ends_with_return else b"\n"
        dialect, path = self._dialect, self._copies.new()
        normalized = normalize(
            self._plain,
            path,
            Grammar(dialect.delimiter.encode(), end, len(self.names)),
            start=dialect.start,
            line=dialect.next_line,
            width=len(self.names),
        )
        text = self._read_csv(path, skip=0, longest=max(self._shape.longest, normalized.longest))
        try:
            found = self._query(query, _unescaped_cells(normalized, columns), text, known)
        except duckdb.Error as error:
            raise unreadable_rows(self._plain.file, error) from error
        if found.count != len(normalized.lines):
            raise unreadable_rows(self._plain.file, f"{len(normalized.lines)} rows are there, {found.count} were read")
        lines = pa.Array.from_buffers(pa.int64(), len(normalized.lines), [None, pa.py_buffer(normalized.lines)])
        return evolve(
            found.fetched(lines),
            unreadable=normalized.unreadable,
            passed_over=normalized.empty,
            marks=normalized.marks,
        )

    def _query(self, query: str, cells: Sequence[str], text: str, known: KnownRows | None) -> _Queried:
        """Runs a query over all rows, or those that were not applied before."""
        if known is None:
            rows = query_cells(self._connection, query, numbered(cells), text)
            return _Queried(rows=rows, count=rows.num_rows)
        others = known.query(self._connection, query, cells, text)
        return _Queried(rows=others.rows, count=others.count, places=others.places)

    def _read_csv(self, path: Path, *, skip: int, longest: int) -> str:
        columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(self.names)))
        return (
            f"read_csv({literal(str(path))}, auto_detect = false, header = false, skip = {skip}, "
            f"delim = {literal(self._dialect.delimiter)}, quote = '\"', escape = '\"', strict_mode = true, "
            f"null_padding = false, hive_partitioning = false, compression = 'none', encoding = 'utf-8', "
            f"max_line_size = {max(longest + 1024, _LEAST_LINE_SIZE)}, columns = {{{columns}}})"
        )


@frozen(kw_only=True)
class _Queried:
    """The result of a query, of how many rows, and which of them are in it; None if all are."""

    rows: pa.Table
    count: int
    places: pa.Array | None = None

    def fetched(self, lines: pa.Array) -> FetchedRows:
        """The result, given the lines of all rows."""
        if self.places is None:
            return FetchedRows(rows=self.rows.append_column("line", lines))
        return FetchedRows(rows=self.rows.append_column("line", lines.take(self.places)), read=self.count)


def _unescaped_cells(normalized: NormalizedText, columns: Sequence[int]) -> Sequence[str]:
    if not normalized.has_breaks:
        return [f"c{i}" for i in columns]
    cr, lf = (f"chr(0) || '{mark[1:].decode()}'" for mark in (ESCAPED_CR, ESCAPED_LF))
    return [f"replace(replace(c{i}, {cr}, chr(13)), {lf}, chr(10))" for i in columns]
