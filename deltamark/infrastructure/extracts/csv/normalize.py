"""Any CSV text to the plainest one: a row a line, LF, no blank lines, and nothing in it that needs guessing.

What reads the result sees only rows of the right width; where each stood is known to the line, and whatever is
left out is named. Line breaks inside quotes become NUL and a letter: an extract itself never holds a NUL.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import BinaryIO

from attrs import Factory, define, frozen

from deltamark.domain.errors import SourceError
from deltamark.infrastructure.extracts.csv.grammar import Grammar, Row, UnclosedQuote
from deltamark.infrastructure.extracts.csv.inspection import cut_off
from deltamark.infrastructure.extracts.decode import CHUNK, PlainText

LONGEST_ROW = 64 << 20
"""Bytes; a longer row refuses the file."""

RETURN, FEED = b"\0r", b"\0n"
"""What stands for CR and LF inside quotes."""


@frozen(kw_only=True)
class Unreadable:
    """A row that is not one: where it starts, why, and how its text begins."""

    line: int
    reason: str
    text: str


@define
class Rewritten:
    """What became of a text.

    :param lines: the line in which each row of the result started in the source, in order.
    :param unreadable: the rows that are not in the result, in line order.
    :param has_breaks: whether `RETURN` or `FEED` occurs in the result.
    :param longest: the longest row of the result that was not a plain line, in bytes.
    """

    lines: array[int] = Factory(lambda: array("q"))
    unreadable: list[Unreadable] = Factory(list)
    has_breaks: bool = False
    longest: int = 0


def rewritten(plain: PlainText, target: Path, grammar: Grammar, *, start: int, line: int, width: int) -> Rewritten:
    """Write the rows of a text to `target`, from byte `start`, which lies in line `line`.

    :raises SourceError: at a quote that is never closed, a row longer than `LONGEST_ROW`, or a last row that
        ends too early.
    """
    with plain.path.open("rb", buffering=0) as source, target.open("wb") as sink:
        source.seek(start)
        rewriter = _Rewriter(plain, grammar, width, line, sink)
        text, position, is_all = b"", 0, False
        while not is_all:
            more = source.read(max(CHUNK, len(text) - position))
            is_all = not more
            text, position = text[position:] + more, 0
            position = rewriter.rewrite(text, is_all)
            if len(text) - position > LONGEST_ROW:
                raise SourceError(
                    plain.file.at(rewriter.line),
                    f"the row that starts here is longer than {LONGEST_ROW >> 20} MB, or a quote is never closed",
                )
    rewriter.check_end()
    return rewriter.result


class _Rewriter:
    def __init__(self, plain: PlainText, grammar: Grammar, width: int, line: int, sink: BinaryIO) -> None:
        self.line = line
        self.result = Rewritten()
        self._plain = plain
        self._grammar = grammar
        self._width = width
        self._sink = sink
        self._last: Row | None = None

    def rewrite(self, text: bytes, is_all: bool) -> int:
        """Handle all rows that are complete; answers where the rest begins."""
        position = 0
        while position < len(text):
            taken = self._plain_rows(text, position) or self._special_row(text, position, is_all)
            if not taken:
                break
            position += taken
        return position

    def check_end(self) -> None:
        last = self._last
        if last is not None and len(last.fields) < self._width:
            raise cut_off(
                self._plain,
                self.result.unreadable[-1].line,
                f"its last row has {_columns(len(last.fields))} of {self._width}",
            )

    def _plain_rows(self, text: bytes, position: int) -> int:
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
            return rows.replace(b"\r", RETURN)
        return rows

    def _special_row(self, text: bytes, position: int, is_all: bool) -> int:
        blank = self._grammar.blank_line.match(text, position)
        if blank:
            self.line += 1
            return blank.end() - position
        match = self._grammar.row_of_many_lines.match(text, position)
        if match:
            self._emit(match.group().rstrip(b"\r\n"))
            return self._passed(match.group())
        try:
            row = self._grammar.row_at(text, position, is_all=is_all)
        except UnclosedQuote as error:
            raise self._unclosed(text[position : error.position]) from error
        if row is None:
            if is_all:
                raise cut_off(self._plain, self.line)
            return 0
        if row.flaw is None and len(row.fields) == self._width:
            self._emit(self._grammar.delimiter.join(b'"' + f.replace(b'"', b'""') + b'"' for f in row.fields))
        else:
            self._leave_out(row, text[position : row.end])
        return self._passed(text[position : row.end])

    def _emit(self, row: bytes) -> None:
        if b"\r" in row or b"\n" in row:
            row = row.replace(b"\r", RETURN).replace(b"\n", FEED)
            self.result.has_breaks = True
        self._sink.write(row + b"\n")
        self.result.lines.append(self.line)
        self.result.longest = max(self.result.longest, len(row))
        self._last = None

    def _leave_out(self, row: Row, text: bytes) -> None:
        reason = row.flaw or f"the row has {_columns(len(row.fields))}, the header has {self._width}"
        shown = text[:400].decode("utf-8", "ignore").rstrip("\r\n")
        self.result.unreadable.append(Unreadable(line=self.line, reason=reason, text=shown))
        self._last = row

    def _passed(self, text: bytes) -> int:
        self.line += text.count(self._grammar.end)
        return len(text)

    def _unclosed(self, before: bytes) -> SourceError:
        return SourceError(
            self._plain.file.at(self.line + before.count(self._grammar.end)),
            "a quoted field starts here and is never closed properly",
            advice="Close the quote (a quote inside a quoted field is written twice) and run the job again.",
        )


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"
