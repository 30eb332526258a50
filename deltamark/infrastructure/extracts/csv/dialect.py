"""The header of a CSV text: where it is, which delimiter it shows, and whether it has what the mapping needs."""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Sequence

from attrs import frozen

from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.values import shown
from deltamark.infrastructure.extracts.csv.grammar import Grammar, Row, UnclosedQuote
from deltamark.infrastructure.extracts.csv.inspection import Shape
from deltamark.infrastructure.extracts.decode import PlainText
from deltamark.infrastructure.extracts.files import ExtractFile

DELIMITERS = (";", ",", "\t", "|")
"""What is looked for where the mapping does not say."""

MOST_COLUMNS = 4_096
_LONGEST_HEADER = 4 << 20
_SEPARATOR_LINE = re.compile(rb'"?sep=([\x20-\x7e\t])"?(\r\n|\n|\r)', re.IGNORECASE)


@frozen(kw_only=True)
class Dialect:
    """How a CSV text is written.

    :param delimiter: one ASCII character.
    :param names: the header.
    :param line: the line of the header.
    :param next_line: the line behind the header.
    :param start: the byte behind the header.
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


def dialect_of(plain: PlainText, shape: Shape, wanted: Sequence[str], delimiter: str | None, at: Location) -> Dialect:
    """The dialect of a text in which the columns `wanted` are to be found.

    :param delimiter: what the mapping says; it outranks a `sep=` line.
    :param at: where the mapping stands.
    :raises SourceError: if the header cannot be read, or lacks a wanted column, or has one twice.
    """
    if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'):
        raise SourceError(at, "the mapping's Delimiter is not one ASCII character", value=delimiter, advice=_SAY)
    with plain.path.open("rb") as stream:
        head = stream.read(_LONGEST_HEADER)
    is_all = len(head) < _LONGEST_HEADER
    end = b"\r" if shape.ends_with_return else b"\n"
    start, line = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0, 1
    told = _SEPARATOR_LINE.match(head, start)
    if told:
        delimiter = delimiter or told.group(1).decode()
        start, line = told.end(), 2
    while blank := Grammar(b",", end, 1).blank_line.match(head, start):
        start, line = blank.end(), line + 1
    if start == len(head):
        raise SourceError(plain.file.at(1), "there is no header: every line is empty")
    where = plain.file.at(line)
    readings = [
        (char, _header(head, start, is_all, Grammar(char.encode(), end, 1), where))
        for char in ((delimiter,) if delimiter else DELIMITERS)
    ]
    found = [(char, row, tuple(f.decode("utf-8") for f in row.fields)) for char, row in readings]
    char, row, names = max(found, key=lambda f: (set(wanted) <= set(f[2]), len(f[2])))
    _check_row(row, names, wanted, where, char, bool(delimiter))
    return Dialect(
        delimiter=char,
        names=names,
        line=line,
        next_line=line + head[start : row.end].count(end),
        start=row.end,
    )


def check_names(names: Sequence[str], wanted: Sequence[str], file: ExtractFile, line: int | None) -> None:
    """Refuse columns that cannot be told apart, or that lack one of `wanted`.

    :raises SourceError: naming them, and for a missing column the nearest that there is.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen and name:
            raise SourceError(
                file.at(line, name), "the header names this column twice", advice="Give each column its own name."
            )
        seen.add(name)
    for name in wanted:
        if name not in seen or not name:
            raise SourceError(
                file.at(line, name),
                f"there is no column {shown(name)}{_nearest(name, names)}; there are {_some(names)}",
                advice="Correct the mapping, or export the table again.",
            )


_SAY = 'Say for example Delimiter=";".'


def _header(head: bytes, start: int, is_all: bool, grammar: Grammar, where: Location) -> Row:
    try:
        row = grammar.row_at(head, start, is_all=is_all)
    except UnclosedQuote as error:
        raise SourceError(where, "a quote in the header is never closed properly") from error
    if row is None:
        raise SourceError(where, f"the header is longer than {_LONGEST_HEADER >> 20} MB")
    return row


def _check_row(
    row: Row, names: tuple[str, ...], wanted: Sequence[str], where: Location, char: str, is_given: bool
) -> None:
    if row.flaw:
        raise SourceError(where, f"the header cannot be read: {row.flaw}")
    if not any(name.strip() for name in names):
        raise SourceError(where, "the header is empty: no column has a name")
    if len(names) > MOST_COLUMNS:
        raise SourceError(where, f"the header has {len(names):,} columns, more than {MOST_COLUMNS:,}")
    if len(names) == 1 and not set(wanted) <= set(names):
        tried = shown(char) if is_given else " ".join(shown(c) for c in DELIMITERS)
        raise SourceError(
            where,
            f"the header is one single column, {shown(names[0])}: the delimiter is not {tried}",
            advice=f"State the right Delimiter on the mapping. It needs {_some(list(wanted))}.",
        )


def _nearest(name: str, names: Sequence[str]) -> str:
    folded = {other.strip().casefold(): other for other in names if other.strip()}
    same = folded.get(name.strip().casefold())
    if same is not None:
        return f" (there is {shown(same)}: upper and lower case and blanks count)"
    near = difflib.get_close_matches(name.casefold(), list(folded)[:MOST_COLUMNS], n=1, cutoff=0.5)
    return f" (the nearest is {shown(folded[near[0]])})" if near else ""


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(shown(name, 40) for name in names[:10])
    return listed + (f" and {len(names) - 10} more" if len(names) > 10 else "")
