"""Running one query over the cells of an extract, each row with the line where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import duckdb
import numpy as np
import pyarrow as pa
from attrs import frozen

from deltamark.domain.errors import SourceError
from deltamark.infrastructure.duckdb.conversions import literal
from deltamark.infrastructure.extracts.csv.dialect import Dialect
from deltamark.infrastructure.extracts.csv.grammar import Grammar
from deltamark.infrastructure.extracts.csv.inspection import Shape
from deltamark.infrastructure.extracts.csv.normalize import FEED, RETURN, Rewritten, Unreadable, rewritten
from deltamark.infrastructure.extracts.decode import PlainText
from deltamark.infrastructure.extracts.files import ExtractFile
from deltamark.infrastructure.system.per_process import OnePerProcess

_LEAST_LINE_SIZE = 2 << 20
MEMORY_LIMIT = "1GB"


@frozen(kw_only=True)
class Fetched:
    """What a query gave.

    :param rows: its result, in the order of the extract, with a last column ``line``.
    :param unreadable: the rows that the query did not see, in line order.
    """

    rows: pa.Table
    unreadable: Sequence[Unreadable] = ()

    @property
    def count(self) -> int:
        """All data rows of the extract."""
        return int(self.rows.num_rows) + len(self.unreadable)


class Cells(Protocol):
    """The data rows of an extract, as text."""

    @property
    def names(self) -> Sequence[str]:
        """The columns, in order."""
        ...

    def fetch(self, query: str, columns: Sequence[int]) -> Fetched:
        """The result of `query` over ``cells``, which has the columns of these numbers as w0, w1, ….

        A cell is a varchar; NULL where it is empty.

        :raises SourceError: if the rows cannot be read.
        """
        ...


class _Database:
    """A DuckDB in memory that spills to a folder of its own and loads nothing from elsewhere."""

    def __init__(self) -> None:
        self._workplace = TemporaryDirectory(prefix="deltamark-", ignore_cleanup_errors=True)
        self.root = duckdb.connect(
            config={
                "threads": 2,
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": str(Path(self._workplace.name) / "spill"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": True,
            }
        )


_DATABASES = OnePerProcess[_Database]()


@contextmanager
def reading_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one extract, to the one database of the process that reads extracts: opening one takes longer
    than reading a thousand rows.
    """
    with _DATABASES.held(MEMORY_LIMIT, _Database) as database:
        connection = database.root.cursor()
    try:
        connection.execute("set python_enable_replacements = false")
        connection.execute("set enable_progress_bar = false")
        yield connection
    finally:
        connection.close()


class CsvCells:
    """The rows of a CSV text.

    A text without quotes is read as it stands if its row ends are all alike; if the rows found are then not as
    many as the lines, and for every other text, it is first rewritten (see `rewriting`).
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        plain: PlainText,
        shape: Shape,
        dialect: Dialect,
        workplace: Path,
    ) -> None:
        self._connection = connection
        self._plain = plain
        self._shape = shape
        self._dialect = dialect
        self._workplace = workplace

    @property
    def names(self) -> Sequence[str]:
        """The header."""
        return self._dialect.names

    def fetch(self, query: str, columns: Sequence[int]) -> Fetched:
        return self._fetched_as_it_stands(query, columns) or self._fetched_rewritten(query, columns)

    def _fetched_as_it_stands(self, query: str, columns: Sequence[int]) -> Fetched | None:
        shape, width = self._shape, len(self.names)
        if shape.has_quotes or not shape.is_uniform or not self._dialect.is_in_first_line or width == 1:
            return None  # a single column is a case of its own: its blank lines would count as rows
        scan = self._scan(self._plain.path, skip=1, longest=shape.longest)
        try:
            table = result_over(self._connection, query, numbered(f"c{i}" for i in columns), scan)
        except duckdb.Error:
            return None  # the exact way finds out what is wrong, and in which line
        if table.num_rows != shape.line_feeds - 1:
            return None
        return Fetched(rows=_with_lines(table, line_numbers(2, table.num_rows)))

    def _fetched_rewritten(self, query: str, columns: Sequence[int]) -> Fetched:
        end = b"\r" if self._shape.ends_with_return else b"\n"
        dialect, path = self._dialect, self._workplace / "rows.csv"
        result = rewritten(
            self._plain,
            path,
            Grammar(dialect.delimiter.encode(), end, len(self.names)),
            start=dialect.start,
            line=dialect.next_line,
            width=len(self.names),
        )
        scan = self._scan(path, skip=0, longest=max(self._shape.longest, result.longest))
        try:
            table = result_over(self._connection, query, _restored(result, columns), scan)
        except duckdb.Error as error:
            raise unread(self._plain.file, error) from error
        if table.num_rows != len(result.lines):
            raise unread(self._plain.file, f"{len(result.lines)} rows are there, {table.num_rows} were read")
        lines = pa.Array.from_buffers(pa.int64(), len(result.lines), [None, pa.py_buffer(result.lines)])
        return Fetched(rows=_with_lines(table, lines), unreadable=result.unreadable)

    def _scan(self, path: Path, *, skip: int, longest: int) -> str:
        columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(self.names)))
        return (
            f"read_csv({literal(str(path))}, auto_detect = false, header = false, skip = {skip}, "
            f"delim = {literal(self._dialect.delimiter)}, quote = '\"', escape = '\"', strict_mode = true, "
            f"null_padding = false, compression = 'none', encoding = 'utf-8', "
            f"max_line_size = {max(longest + 1024, _LEAST_LINE_SIZE)}, columns = {{{columns}}})"
        )


def _restored(result: Rewritten, columns: Sequence[int]) -> str:
    if not result.has_breaks:
        return numbered(f"c{i}" for i in columns)
    marks = [(f"chr(0) || '{mark[1:].decode()}'", code) for mark, code in ((RETURN, 13), (FEED, 10))]
    (first, one), (second, other) = marks
    return numbered(f"replace(replace(c{i}, {first}, chr({one})), {second}, chr({other}))" for i in columns)


def numbered(cells: Iterable[str]) -> str:
    return ", ".join(f"{cell} as w{number}" for number, cell in enumerate(cells))


def result_over(connection: duckdb.DuckDBPyConnection, query: str, cells: str, scan: str) -> pa.Table:
    return connection.sql(f"with cells as (select {cells} from {scan}) {query}").to_arrow_table()


def line_numbers(first: int, count: int) -> pa.Array:
    return pa.array(np.arange(first, first + count, dtype=np.int64))


def _with_lines(table: pa.Table, lines: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.append_column("line", lines)


def unread(file: ExtractFile, problem: object) -> SourceError:
    lines = str(problem).strip().splitlines() or ["no reason given"]
    return SourceError(file.where, f"the rows cannot be read ({lines[0]})")
