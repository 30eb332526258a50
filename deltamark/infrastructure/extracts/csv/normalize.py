"""Rewrites any CSV text as the plainest one.

It has one row a line, LF, no blank lines, nothing ambiguous.

All rows of the result have the right width. The source line of each is known, and rows that are left out are listed.
Line breaks inside quotes become NUL and a letter; an extract itself never holds a NUL.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import BinaryIO

from attrs import Factory, define

from deltamark.domain.errors import SourceError
from deltamark.domain.synchronization.keys import stripped
from deltamark.infrastructure.extracts.cells import UnreadableRow
from deltamark.infrastructure.extracts.csv.grammar import MARK, Grammar, Row, UnclosedQuote
from deltamark.infrastructure.extracts.csv.inspection import cut_off
from deltamark.infrastructure.extracts.decode import CHUNK, PlainText

LONGEST_ROW = 64 << 20
"""Bytes; a file with a longer row is refused."""

ESCAPED_CR, ESCAPED_LF = b"\0r", b"\0n"
"""CR and LF inside quotes."""


@define
class NormalizedText:
    """What is known of a normalized text.

    :param lines: the line of the source in which each row of the result started, in order.
    :param unreadable: the rows that were left out, in line order.
    :param empty: the number of rows of another width in which nothing was, which are left out too.
    :param marks: the number of byte order marks at the beginning of rows.
    :param has_breaks: whether `ESCAPED_CR` or `ESCAPED_LF` occurs in the result.
    :param longest: the length in bytes of the longest row that was not one plain line in the source.
    """

    lines: array[int] = Factory(lambda: array("q"))
    unreadable: list[UnreadableRow] = Factory(list)
    empty: int = 0
    marks: int = 0
    has_breaks: bool = False
    longest: int = 0


def normalize(plain: PlainText, target: Path, grammar: Grammar, *, start: int, line: int, width: int) -> NormalizedText:
    """Writes the rows of a text to `target`, from byte `start`, which is in line `line`.

    :raises SourceError: at a quote that is never closed, a row longer than `LONGEST_ROW`, or a last row that
        ends too early.
    """
    with plain.path.open("rb", buffering=0) as source, target.open("wb") as sink:
        source.seek(start)
        normalizer = _Normalizer(plain, grammar, width, line, sink)
        text, position, is_all = b"", 0, False
        while not is_all:
            more = source.read(max(CHUNK, len(text) - position))
            is_all = not more
            text, position = text[position:] + more, 0
            position = normalizer.write_rows(text, is_all)
            if len(text) - position > LONGEST_ROW:
                raise SourceError(
                    plain.file.at(normalizer.line),
                    f"the row that starts here is longer than {LONGEST_ROW >> 20} MB, or a quote is never closed",
                )
    normalizer.check_end()
    return normalizer.result


class _Normalizer:
    def __init__(self, plain: PlainText, grammar: Grammar, width: int, line: int, sink: BinaryIO) -> None:
        self.line = line
        self.result = NormalizedText()
        self._plain = plain
        self._grammar = grammar
        self._width = width
        self._sink = sink
        self._last: Row | None = None

    def write_rows(self, text: bytes, is_all: bool) -> int:
        """Writes all complete rows, and returns the position of the rest."""
        position = 0
        while position < len(text):
            length = self._write_plain_rows(text, position) or self._write_special_row(text, position, is_all)
            if not length:
                break
            position += length
        return position

    def check_end(self) -> None:
        last = self._last
        if last is not None and len(last.fields) < self._width:
            raise cut_off(
                self._plain,
                self.result.unreadable[-1].line,
                f"its last row has {_columns(len(last.fields))} of {self._width}",
            )

    def _write_plain_rows(self, text: bytes, position: int) -> int:
        match = self._grammar.rows_of_one_line.match(text, position)
        if match is None or match.end() == position:
            return 0
        rows = match.group()
        count = rows.count(self._grammar.end)
        self._sink.write(self._escaped_lines(rows))
        self.result.lines.extend(range(self.line, self.line + count))
        self.line += count
        self._last = None
        return len(rows)

    def _escaped_lines(self, rows: bytes) -> bytes:
        if self._grammar.end == b"\r":
            return rows.replace(b"\r", b"\n")
        rows = rows.replace(b"\r\n", b"\n")
        if b"\r" in rows:
            self.result.has_breaks = True
            return rows.replace(b"\r", ESCAPED_CR)
        return rows

    def _write_special_row(self, text: bytes, position: int, is_all: bool) -> int:
        if text.startswith(MARK, position):
            self.result.marks += 1
            return len(MARK)
        blank = self._grammar.blank_line.match(text, position)
        if blank:
            self.line += 1
            return blank.end() - position
        match = self._grammar.row_of_many_lines.match(text, position)
        if match:
            self._write_row(match.group().rstrip(b"\r\n"))
            return self._advance(match.group())
        try:
            row = self._grammar.row_at(text, position, is_all=is_all)
        except UnclosedQuote as error:
            raise self._unclosed(text[position : error.position]) from error
        if row is None:
            if is_all:
                raise cut_off(self._plain, self.line)
            return 0
        if row.flaw is None and len(row.fields) == self._width:
            self._write_row(self._grammar.delimiter.join(b'"' + f.replace(b'"', b'""') + b'"' for f in row.fields))
        elif row.flaw is None and is_empty(row):
            self.result.empty += 1
            self._last = None
        else:
            self._leave_out(row, text[position : row.end])
        return self._advance(text[position : row.end])

    def _write_row(self, row: bytes) -> None:
        if b"\r" in row or b"\n" in row:
            row = row.replace(b"\r", ESCAPED_CR).replace(b"\n", ESCAPED_LF)
            self.result.has_breaks = True
        self._sink.write(row + b"\n")
        self.result.lines.append(self.line)
        self.result.longest = max(self.result.longest, len(row))
        self._last = None

    def _leave_out(self, row: Row, text: bytes) -> None:
        reason = row.flaw or f"the row has {_columns(len(row.fields))}, the header has {self._width}"
        shown = text[:400].decode("utf-8", "ignore").rstrip("\r\n")
        self.result.unreadable.append(UnreadableRow(line=self.line, reason=reason, text=shown))
        self._last = row

    def _advance(self, text: bytes) -> int:
        self.line += text.count(self._grammar.end)
        return len(text)

    def _unclosed(self, before: bytes) -> SourceError:
        return SourceError(
            self._plain.file.at(self.line + before.count(self._grammar.end)),
            "a quoted field starts here and is never closed properly",
            advice="Close the quote (a quote inside a quoted field is written twice) and run the job again.",
        )


def is_empty(row: Row) -> bool:
    """Whether nothing is in any cell of a row, as in one of delimiters alone."""
    return not any(stripped(field.decode("utf-8", "replace")) for field in row.fields)


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"
