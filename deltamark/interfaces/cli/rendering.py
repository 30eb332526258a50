"""Rows as text: a table for people, CSV and JSON lines for programs, from the same rows.

Rows are written as they come: memory does not grow with their number.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain, islice
from typing import Any, TypeAlias

import orjson
from attrs import evolve, frozen

from deltamark.domain.errors import UsageError
from deltamark.domain.values import is_visible
from deltamark.interfaces.cell_texts import plain, without_formula
from deltamark.interfaces.cli.pager import PagedOutput
from deltamark.interfaces.cli.row_counter import counted
from deltamark.interfaces.cli.streams import one_line
from deltamark.interfaces.cli.styles import style_for
from deltamark.interfaces.cli.table_layout import ColumnLayout, TableLayout
from deltamark.interfaces.cli.terminal import width_of_lines, writable

Document: TypeAlias = Mapping[str, Any]
"""A row as JSON lines give it."""

_AT_A_TIME = 500

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?\Z")


class Format(Enum):
    """The formats of rows."""

    TABLE = "table"
    JSON = "json"
    """One document: an array of rows, or one object where there is one thing to show."""
    JSONL = "jsonl"
    CSV = "csv"
    CLOUDEVENTS = "cloudevents"
    """JSON lines whose documents are CloudEvents: for changes alone."""

    @property
    def is_json(self) -> bool:
        """Whether what is one thing is printed as one object."""
        return self in (Format.JSON, Format.JSONL)


@frozen
class Column:
    """A column of a table or of CSV: its title, and its cell for a document.

    :param is_number: aligns texts that are numbers to the right, as numbers are.
    :param is_count: 0 says nothing, and need not be shown in a table.
    :param is_list: the texts are parts with commas between them.
    """

    title: str
    cell: Callable[[Document], object]
    is_number: bool = False
    is_count: bool = False
    is_list: bool = False


def member(name: str) -> Column:
    """The column of a member of the documents."""
    return Column(name, lambda document: document.get(name))


def count_column(name: str) -> Column:
    """The column of a member that counts something."""
    return Column(name, lambda document: document.get(name), is_count=True)


@frozen(kw_only=True)
class Listing:
    """Rows to print.

    :param columns: what CSV shows, and a table too unless `table` says otherwise.
    :param is_live: whether rows come as things happen: each is shown at once.
    :param is_for_spreadsheets: whether CSV must hold nothing that a spreadsheet takes for a formula.
    """

    documents: Iterable[Document]
    columns: Sequence[Column]
    table: Sequence[Column] | None = None
    is_live: bool = False
    is_for_spreadsheets: bool = False

    @property
    def at_a_time(self) -> int:
        """How many rows are printed together."""
        return 1 if self.is_live else _AT_A_TIME


def render(listing: Listing, form: Format) -> None:
    """Prints the rows on standard output.

    :raises UsageError: for rows that come as things happen, as one document.
    """
    if listing.is_live and form is Format.JSON:
        raise UsageError("rows that come as things happen have no end, which --format json needs. Use --format jsonl.")
    if listing.is_live and isinstance(sys.stdout, PagedOutput):
        sys.stdout.go_direct()
    if not (listing.is_live or sys.stdout.isatty()):
        listing = evolve(listing, documents=counted(listing.documents))
    match form:
        case Format.JSON:
            write(_json_array(listing.documents))
        case Format.JSONL | Format.CLOUDEVENTS:
            write(map(json_line, listing.documents), listing.at_a_time)
        case Format.CSV:
            write(csv_lines(listing, for_a_terminal=sys.stdout.isatty()), listing.at_a_time)
        case Format.TABLE:
            print_table(listing)


def write(lines: Iterable[bytes], at_a_time: int = _AT_A_TIME) -> None:
    """Writes UTF-8 on standard output, some lines together.

    A terminal gets no character that would control it.
    """
    remaining = iter(map(_for_a_terminal, lines) if sys.stdout.isatty() else lines)
    while chunk := list(islice(remaining, at_a_time)):
        sys.stdout.buffer.write(b"".join(chunk))
        sys.stdout.buffer.flush()


def _for_a_terminal(text: bytes) -> bytes:
    return b"\n".join(one_line(line).encode() for line in text.decode("utf-8", "backslashreplace").split("\n"))


def json_line(document: Document) -> bytes:
    """A document as JSON in one line.

    Characters that control a terminal or cannot be seen are escaped in the way of JSON.
    """
    data = orjson.dumps(document)
    if data.isascii() and b"\x7f" not in data:
        return data + b"\n"
    text = data.decode()
    if not is_visible(text):
        text = "".join(char if is_visible(char) else json.dumps(char)[1:-1] for char in text)
    return text.encode() + b"\n"


def _json_array(documents: Iterable[Document]) -> Iterator[bytes]:
    """An array, a document a line, written as they come."""
    before = b"["
    for document in documents:
        yield before + json_line(document).rstrip(b"\n")
        before = b",\n "
    yield b"[]\n" if before == b"[" else b"]\n"


def csv_lines(listing: Listing, *, for_a_terminal: bool = False) -> Iterator[bytes]:
    """The rows as lines of CSV, header first.

    :param for_a_terminal: whether characters that control a terminal or cannot be seen are escaped: what else reads CSV
        gets the values as they are.
    """
    buffer = io.StringIO()
    # Quotes keep a spreadsheet with another separator from splitting a cell and taking a part of it for a formula.
    text: Callable[[object], str]
    if listing.is_for_spreadsheets:
        text, writer = without_formula, csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    else:
        text, writer = plain, csv.writer(buffer, lineterminator="\n")
    if for_a_terminal:
        text = _escaping(text)
    header = [[text(column.title) for column in listing.columns]]
    for row in chain(header, ([_csv_cell(c, d, text) for c in listing.columns] for d in listing.documents)):
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(row)
        yield buffer.getvalue().encode("utf-8", "backslashreplace")


def _csv_cell(column: Column, document: Document, text: Callable[[object], str]) -> str:
    value = column.cell(document)
    is_plain_number = column.is_number and isinstance(value, str) and _NUMBER.match(value)
    return str(value) if is_plain_number else text(value)


def _escaping(text: Callable[[object], str]) -> Callable[[object], str]:
    return lambda value: one_line(text(value))


def print_table(listing: Listing) -> None:
    """Prints a table, within the width of the terminal; in a pipe within 100 cells."""
    columns = listing.table or listing.columns
    remaining = iter(listing.documents)
    chunk = [] if listing.is_live else list(islice(remaining, _AT_A_TIME))
    laid_out = [
        ColumnLayout(c.title, c.is_number or all(_is_number(c.cell(d)) for d in chunk), c.is_count, c.is_list)
        for c in columns
    ]
    layout = TableLayout(laid_out, width_of_lines(sys.stdout), style_for(sys.stdout))
    is_first = True
    while chunk or is_first:
        rows = [[_cell(column.cell(document)) for column in columns] for document in chunk]
        for line in layout.lines(rows):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
        is_first = False
        chunk = list(islice(remaining, listing.at_a_time))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | None) and not isinstance(value, bool)


def _cell(value: object) -> str:
    return writable(one_line(plain(value)), sys.stdout)
