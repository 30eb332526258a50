"""The protocol of an extract format.

What a format declares, what its reader is given, and what the reader returns.

`formats.FORMATS` lists the formats. A reader gives the rows of one file as text cells. Conversion to property types,
row faults and duplicates are the same for every format and follow from the query that runs over these cells.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import duckdb
import numpy as np
import pyarrow as pa
from attrs import field, frozen

from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping
from deltamark.domain.configuration.value_formats import CellType
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.values import shown
from deltamark.infrastructure.extracts.copies import OPEN_FILE, Copies
from deltamark.infrastructure.extracts.decode import UnpackLimits
from deltamark.infrastructure.extracts.files import ExtractFile

MOST_COLUMNS = 4_096


@frozen(kw_only=True)
class UnreadableRow:
    """A row that cannot be split into cells.

    :param line: where it starts.
    :param text: its beginning.
    """

    line: int
    reason: str
    text: str


@frozen(kw_only=True)
class FetchedRows:
    """The result of a query over the cells of an extract.

    :param rows: in the order of the extract, with a last column ``line``.
    :param unreadable: the rows that the query did not see, in line order.
    :param read: the number of rows that the query saw, where cells with several values have become several rows.
    :param passed_over: the number of rows in which nothing was, which the query did not see either.
    :param empty_lines: the lines (int64) of rows that the query saw, but in which nothing was for it.
    :param marks: the number of byte order marks between rows.
    """

    rows: pa.Table
    unreadable: Sequence[UnreadableRow] = ()
    read: int | None = None
    passed_over: int = 0
    empty_lines: pa.Array | None = None
    marks: int = 0

    @property
    def count(self) -> int:
        """The number of data rows in the extract."""
        return (int(self.rows.num_rows) if self.read is None else self.read) + len(self.unreadable)


class Cells(Protocol):
    """The data rows of an extract, every cell as text."""

    @property
    def names(self) -> Sequence[str]:
        """The columns, in order."""
        ...

    @property
    def cell_types(self) -> Mapping[str, CellType]:
        """The types that the file gives to columns; a format of texts has none."""
        ...

    def fetch(self, query: str, columns: Sequence[int]) -> FetchedRows:
        """Runs `query` over ``cells``, which has the columns of these numbers as w0, w1, ….

        A cell is a varchar, written as in a CSV file: numbers with a point, dates in ISO 8601, bytes in Base64 where
        the property holds bytes. It is NULL where it is empty. A line counts from 1; what it counts (lines, rows) is
        for the format to say.

        :raises SourceError: if the rows cannot be read.
        """
        ...


@frozen(kw_only=True)
class ExtractSource:
    """What a reader is given.

    :param connection: a DuckDB connection for this extract alone. It may read files.
    :param file: open at its beginning; the reader may use its stream or its path.
    :param columns: the columns that the mapping needs. The reader refuses a file without them (`check_columns`).
    :param bytes_columns: those of them whose values are bytes.
    :param identifier_columns: those of them whose values may be bytes or texts.
    :param copies: gives new files for copies. DuckDB is given paths of theirs and of `file`, no others.
    :param limits: how far a compressed extract may grow.
    :param options: what is said of the table where it is read from a connection: which sheet, which list.
    """

    connection: duckdb.DuckDBPyConnection
    file: ExtractFile
    mapping: EntityTypeMapping | EntityAssociationMapping
    columns: Sequence[str]
    bytes_columns: frozenset[str]
    identifier_columns: frozenset[str]
    copies: Copies
    limits: UnpackLimits
    options: Mapping[str, str] = field(factory=dict)

    @property
    def mapping_location(self) -> Location:
        """The location of the mapping, for errors about what it declares."""
        return self.mapping.location or Location(self.mapping.connection_table)


@frozen(kw_only=True)
class Format:
    """One kind of extract.

    :param ending: of the file name, such as ``.csv``. A file of the ending plus ``.gz`` or ``.zst`` is a format of its
        own.
    :param described: with its article, as in "this is a PDF document, not a Parquet file".
    :param signature: the first bytes of every such file; empty for text.
    :param read: opens a file of this format. Raises `SourceError` if the file cannot be read as a whole.
    """

    ending: str
    described: str
    signature: bytes = b""
    read: Callable[[ExtractSource], Cells]


def check_columns(names: Sequence[str], columns: Sequence[str], file: ExtractFile, line: int | None) -> None:
    """Refuses a file that has one of `columns` twice, or lacks it.

    Other columns do not matter.

    :param names: the columns of the file.
    :param line: of the header, if the format has one.
    :raises SourceError: naming the column, and for a missing one the nearest name in the file.
    """
    names_seen: set[str] = set()
    for name in names:
        if name in names_seen and name and name in columns:
            raise SourceError(
                file.at(line, name), "the header names this column twice", advice="Give each column its own name."
            )
        names_seen.add(name)
    for name in columns:
        if name not in names_seen or not name:
            raise SourceError(
                file.at(line, name),
                f"there is no column {shown(name)}{_suggestion(name, names)}; {existing_columns(names)}",
                advice="Correct the mapping, or export the table again.",
            )


def listed_columns(names: Sequence[str]) -> str:
    """The first ten names, for a message."""
    listed = ", ".join(shown(name, 40) for name in names[:10])
    return listed + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def existing_columns(names: Sequence[str]) -> str:
    """The end of a message about a column that does not exist."""
    return f"there are {listed_columns(names)}" if names else "there is none"


def numbered(expressions: Iterable[str]) -> str:
    """SQL expressions of cells as the select list w0, w1, …."""
    return ", ".join(f"{expression} as w{number}" for number, expression in enumerate(expressions))


def query_cells(connection: duckdb.DuckDBPyConnection, query: str, cells: str, source: str) -> pa.Table:
    """Runs a query over ``cells``.

    :param cells: their select list, see `numbered`.
    :param source: a table or table function that `cells` selects from.
    """
    return connection.sql(f"with cells as (select {cells} from {source}) {query}").to_arrow_table()


def line_numbers(first: int, count: int) -> pa.Array:
    """Consecutive line numbers."""
    return pa.array(np.arange(first, first + count, dtype=np.int64))


def unreadable_rows(file: ExtractFile, problem: object) -> SourceError:
    """The error for a file whose rows cannot be read.

    :param problem: an error of the library that read them, or a sentence; only the first line is shown.
    """
    lines = str(problem).strip().splitlines() or ["no reason given"]
    return SourceError(file.where, f"the rows cannot be read ({OPEN_FILE.sub(file.name, lines[0])})")


def _suggestion(name: str, names: Sequence[str]) -> str:
    folded = {other.strip().casefold(): other for other in names if other.strip()}
    same = folded.get(name.strip().casefold())
    if same is not None:
        return f" (there is {shown(same)}: upper and lower case and blanks count)"
    near = difflib.get_close_matches(name.casefold(), list(folded)[:MOST_COLUMNS], n=1, cutoff=0.5)
    return f" (the nearest is {shown(folded[near[0]])})" if near else ""
