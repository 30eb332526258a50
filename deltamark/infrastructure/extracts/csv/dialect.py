"""The header of a CSV text: its place, its delimiter, and the columns that it names."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import TypeAlias

from attrs import frozen

from deltamark.domain.configuration.text_files import DELIMITER, is_delimiter
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.values import shown
from deltamark.infrastructure.extracts.cells import MOST_COLUMNS, listed_columns
from deltamark.infrastructure.extracts.csv.grammar import Grammar, Row, UnclosedQuote
from deltamark.infrastructure.extracts.csv.inspection import TextShape
from deltamark.infrastructure.extracts.decode import PlainText

DELIMITERS = (";", ",", "\t", "|")
"""What is tried where the mapping declares none."""

_LONGEST_HEADER = 4 << 20
_SEPARATOR_LINE = re.compile(rb'"?sep=([\x20-\x7e\t])"?(\r\n|\n|\r)', re.IGNORECASE)


@frozen(kw_only=True)
class Dialect:
    """How a CSV text is written.

    :param delimiter: one ASCII character.
    :param names: the header.
    :param line: of the header.
    :param next_line: the line after the header.
    :param start: the position of the first byte after the header.
    """

    delimiter: str
    names: tuple[str, ...]
    line: int
    next_line: int
    start: int

    @property
    def is_in_first_line(self) -> bool:
        """Whether the header is exactly the first line of the file."""
        return (self.line, self.next_line) == (1, 2)


def detect_dialect(
    plain: PlainText,
    shape: TextShape,
    columns: Sequence[str],
    delimiter: str | None,
    where: Location,
    *,
    skipped: int = 0,
) -> Dialect:
    """Finds the header of a text, and the delimiter with which it has the columns `columns`.

    :param delimiter: what the mapping declares; it takes precedence over a ``sep=`` line.
    :param where: the mapping.
    :param skipped: the number of lines before the header, blank ones included.
    :raises SourceError: if the header cannot be read.
    """
    if delimiter is not None and not is_delimiter(delimiter):
        raise SourceError(where, f"the mapping's Delimiter is not {DELIMITER}", value=delimiter, advice=_EXAMPLE)
    with plain.path.open("rb") as stream:
        head = stream.read(_LONGEST_HEADER)
    is_all = len(head) < _LONGEST_HEADER
    end = b"\r" if shape.ends_with_return else b"\n"
    start, line = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0, 1
    start, line = _after_lines(head, start, end, skipped), line + skipped
    if start < 0:
        raise SourceError(
            plain.file.at(line), "there are fewer lines than SkipLines of the mapping says", value=str(skipped)
        )
    separator = _SEPARATOR_LINE.match(head, start)
    if separator:
        delimiter = delimiter or separator.group(1).decode()
        start, line = separator.end(), line + 1
    while blank := Grammar(b",", end, 1).blank_line.match(head, start):
        start, line = blank.end(), line + 1
    if start == len(head):
        raise SourceError(plain.file.at(1), "there is no header: every line is empty")
    delimiters = (delimiter,) if delimiter else DELIMITERS
    text = _Beginning(head, is_all, end, delimiters, columns)
    start, line = _header_position(text, start, line, plain)
    header = plain.file.at(line)
    char, row, names = text.best_reading(start, header)
    _check_header(row, names, columns, header, char, bool(delimiter))
    return Dialect(
        delimiter=char,
        names=names,
        line=line,
        next_line=line + head[start : row.end].count(end),
        start=row.end,
    )


def _after_lines(head: bytes, start: int, end: bytes, count: int) -> int:
    """The position after so many lines, or -1 if there are fewer."""
    for _ in range(count):
        start = head.find(end, start) + 1
        if not start:
            return -1
    return start


_Reading: TypeAlias = tuple[str, Row, tuple[str, ...]]
"""A line as a header: the delimiter, the row, and the columns."""


@frozen
class _Beginning:
    """The beginning of a text, and what is looked for there."""

    head: bytes
    is_all: bool
    end: bytes
    delimiters: Sequence[str]
    columns: Sequence[str]

    def best_reading(self, start: int, where: Location) -> _Reading:
        """A line as a header, with the delimiter that gives the columns, or else the most of them.

        :raises SourceError: if it cannot be read.
        """
        rows = [
            (char, _header(self.head, start, self.is_all, Grammar(char.encode(), self.end, 1), where))
            for char in self.delimiters
        ]
        readings = [(char, row, tuple(f.decode("utf-8") for f in row.fields)) for char, row in rows]
        return max(readings, key=lambda reading: (self._names_all(reading[2]), len(reading[2])))

    def is_header(self, start: int, where: Location) -> bool:
        """Whether a line has the columns."""
        try:
            return self._names_all(self.best_reading(start, where)[2])
        except SourceError:
            return False

    def line_end(self, start: int) -> int:
        """The position of the next line; 0 if there is none."""
        return self.head.find(self.end, start) + 1

    def _names_all(self, names: Sequence[str]) -> bool:
        return set(self.columns) <= set(names)


def _header_position(text: _Beginning, start: int, line: int, plain: PlainText) -> tuple[int, int]:
    """The position and the line of the header.

    A line ``#TYPE …``, as Export-Csv of Windows PowerShell writes it, and lines of delimiters may precede it.

    :raises SourceError: if other lines do.
    """
    first, position, number, may_be_skipped = (start, line), start, line, True
    while number < line + _MOST_LINES_BEFORE:
        if text.is_header(position, plain.file.at(number)):
            if may_be_skipped:
                return position, number
            raise SourceError(
                plain.file.at(first[1]),
                f"this line is not the header: line {number} has the mapped columns "
                f"({listed_columns(list(text.columns))})",
                advice=f'Say SkipLines="{number - 1}" on the mapping, or export the table without lines before it.',
            )
        next_position = text.line_end(position)
        content = text.head[position : next_position or len(text.head)].strip()
        may_be_skipped = may_be_skipped and _MAY_PRECEDE.fullmatch(content) is not None
        if not next_position or next_position == len(text.head):
            break
        position, number = next_position, number + 1
        if may_be_skipped and _TYPE_LINE.match(content):
            first = position, number
    return first


_MOST_LINES_BEFORE = 20
_TYPE_LINE = re.compile(rb'"?#TYPE ')
_MAY_PRECEDE = re.compile(rb'"?#TYPE [^"\r\n]*"?|[;,\t| ]*')
_EXAMPLE = 'Say for example Delimiter=";".'


def _header(head: bytes, start: int, is_all: bool, grammar: Grammar, where: Location) -> Row:
    try:
        row = grammar.row_at(head, start, is_all=is_all)
    except UnclosedQuote as error:
        raise SourceError(where, "a quote in the header is never closed properly") from error
    if row is None:
        raise SourceError(where, f"the header is longer than {_LONGEST_HEADER >> 20} MB")
    return row


def _check_header(
    row: Row, names: tuple[str, ...], columns: Sequence[str], where: Location, char: str, is_declared: bool
) -> None:
    if row.flaw:
        raise SourceError(where, f"the header cannot be read: {row.flaw}")
    if not any(name.strip() for name in names):
        raise SourceError(where, "the header is empty: no column has a name")
    if len(names) > MOST_COLUMNS:
        raise SourceError(where, f"the header has {len(names):,} columns, more than {MOST_COLUMNS:,}")
    if len(names) == 1 and not set(columns) <= set(names):
        tried = shown(char) if is_declared else " ".join(shown(c) for c in DELIMITERS)
        raise SourceError(
            where,
            f"the header is one single column, {shown(names[0])}: the delimiter is not {tried}",
            advice=f"State the right Delimiter on the mapping. It needs {listed_columns(list(columns))}.",
        )
