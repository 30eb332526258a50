"""The grammar of CSV (RFC 4180), as regular expressions over bytes.

They are made for one delimiter and one line end.

Stricter than most readers where they guess: a quote opens a field only as its very first character, and after
the closing quote only a delimiter or the end of the row may follow. Any other quote in an unquoted field is an
ordinary character.

Only classes of characters are repeated possessively: other possessive repetitions match wrongly in Python 3.11.0 to
3.11.4 (https://github.com/python/cpython/issues/106052). Groups are repeated inside atomic groups, and a limited number
of times, so that the regular expression engine needs little memory.
"""

from __future__ import annotations

import codecs
import re

from attrs import frozen

MARK = codecs.BOM_UTF8
"""A byte order mark. No row of the regular expressions starts with one: it is left there by files that were joined."""

_MOST_ROWS = 2_000
_MOST_QUOTES = 1_000
"""Repetitions in one match; `Grammar.row_at` reads a row with more doubled quotes in a field."""


class UnclosedQuote(Exception):
    """A quoted field is never closed, or is closed in a later line where no field can end.

    :param position: where the field starts.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(position)


@frozen
class Row:
    """A row of the text.

    :param fields: the values, unquoted.
    :param end: the position after its line end.
    :param flaw: why it is unreadable, a clause, or None.
    """

    fields: tuple[bytes, ...]
    end: int
    flaw: str | None


class Grammar:
    """The regular expressions for rows of `columns` fields.

    :param delimiter: one ASCII character.
    :param end: ``b"\\n"``, which also matches CRLF, or ``b"\\r"``.
    """

    def __init__(self, delimiter: bytes, end: bytes, columns: int) -> None:
        mark = re.escape(delimiter)
        self.end = end
        self.delimiter = delimiter
        self.row_end = rb"\r?\n" if end == b"\n" else rb"\r"
        plain = rb'[^"\r\n' + mark + rb"]*+"
        closed = rb"(?=[\r\n" + mark + rb"])"

        def row(excluded: bytes) -> bytes:
            inside = rb'[^"' + excluded + rb"]*+"
            quotes = rb'(?:""' + inside + rb"){0," + str(_MOST_QUOTES).encode() + rb"}"
            cell = rb'(?:"(?>' + inside + quotes + rb')"' + closed + rb"|" + plain + rb")"
            more = rb"(?:" + mark + cell + rb"){" + str(columns - 1).encode() + rb"}" if columns > 1 else b""
            return rb"(?!" + self.row_end + rb"|" + MARK + rb")" + cell + more + self.row_end

        self.rows_of_one_line = re.compile(rb"(?>(?:" + row(end) + rb"){0," + str(_MOST_ROWS).encode() + rb"})")
        self.row_of_many_lines = re.compile(row(b""))
        self.blank_line = re.compile(self.row_end)
        self._doubled = re.compile(rb'(?>(?:[^"]*+""){1,' + str(_MOST_QUOTES).encode() + rb"})")
        self._stop = re.compile(rb"[\n" + mark + rb"]|\r\n" if end == b"\n" else rb"[\r\n" + mark + rb"]")

    def row_at(self, text: bytes, position: int, *, is_all: bool) -> Row | None:
        """The row that starts at a position, of any number of fields, well formed or not.

        :param is_all: whether nothing follows `text`. If something does, None means that the row goes on there.
        :raises UnclosedQuote: if a quoted field has no proper end.
        """
        fields: list[bytes] = []
        flaw: str | None = None
        while True:
            quoted = text.startswith(b'"', position)
            stop = self._quoted_end(text, position) if quoted else self._unquoted_end(text, position)
            if stop is None or (stop == len(text) and not is_all):
                if is_all:
                    raise UnclosedQuote(position)
                return None
            start, position, value = position, stop, text[position:stop]
            if quoted:
                rest = self._unquoted_end(text, position)
                if rest > position:
                    if self.end in value:
                        raise UnclosedQuote(start)
                    flaw = flaw or "text follows a closing quote"
                    position = rest
                value = value[1:-1].replace(b'""', b'"')
            else:
                flaw = flaw or _flaw_of(value)
            fields.append(value)
            if text.startswith(self.delimiter, position):
                position += 1
                continue
            end = self.blank_line.match(text, position)
            return Row(tuple(fields), end.end(), flaw) if end else None

    def _quoted_end(self, text: bytes, position: int) -> int | None:
        """The position after the closing quote of the field that starts here.

        None if there is none.
        """
        position += 1
        while doubled := self._doubled.match(text, position):
            position = doubled.end()
        closing = text.find(b'"', position)
        return closing + 1 if closing >= 0 else None

    def _unquoted_end(self, text: bytes, position: int) -> int:
        """The position of the next delimiter, row end or end of the text."""
        stop = self._stop.search(text, position)
        return stop.start() if stop else len(text)


def _flaw_of(unquoted: bytes) -> str | None:
    if b"\r" in unquoted:
        return "there is a carriage return outside quotes"
    if unquoted[:1] in (b" ", b"\t") and unquoted.lstrip(b" \t").startswith(b'"'):
        return "there is a blank before an opening quote"
    return None
