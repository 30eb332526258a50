"""Counts over a whole text file, by searching its bytes in bulk: no loop over its lines."""

from __future__ import annotations

import codecs
import os

import numpy as np
import pyarrow as pa
from attrs import define, evolve

from deltamark.domain.errors import SourceError
from deltamark.infrastructure.extracts.copies import Copies
from deltamark.infrastructure.extracts.csv.grammar import MARK
from deltamark.infrastructure.extracts.decode import CHUNK, PlainText

_BLOCK = 512 << 10
_LINE_FEED = ord("\n")


@define(kw_only=True)
class TextShape:
    """Counts over all bytes of a text.

    :param line_feeds: the number of LF, those of CRLF included.
    :param returns: the number of CR, those of CRLF included.
    :param pairs: the number of CRLF.
    :param has_quotes: whether a double quote occurs anywhere.
    :param has_marks: whether a byte order mark occurs anywhere but at the beginning.
    :param longest: an upper bound for the length of a line, in bytes.
    """

    line_feeds: int = 0
    returns: int = 0
    pairs: int = 0
    has_quotes: bool = False
    has_marks: bool = False
    longest: int = 0

    @property
    def ends_with_return(self) -> bool:
        """Whether rows end with a lone CR, because the file has no LF at all."""
        return self.line_feeds == 0 and self.returns > 0

    @property
    def is_uniform(self) -> bool:
        """Whether all rows end alike, with LF or with CRLF, and there is no other CR."""
        return self.returns == 0 or self.returns == self.pairs == self.line_feeds


def inspect_text(plain: PlainText) -> TextShape:
    """Counts a text, and checks that it is valid UTF-8 without NUL and ends with a line end.

    :raises SourceError: with the line where it is not.
    """
    shape, last, open_length = TextShape(), b"", 0
    before = pending = b""
    with plain.path.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK):
            pending = _check_text(chunk, pending, shape, plain)
            if b"\r" in chunk or last == b"\r":
                shape.returns += chunk.count(b"\r")
                shape.pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            shape.line_feeds += int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == _LINE_FEED))
            shape.has_quotes = shape.has_quotes or b'"' in chunk
            shape.has_marks = shape.has_marks or _has_mark(chunk, before)
            before = chunk[1 - len(MARK) :]
            open_length = _measure_lines(chunk, open_length, shape)
            last = chunk[-1:]
    _check_end(last, pending, shape, plain)
    return shape


def _check_text(chunk: bytes, pending: bytes, shape: TextShape, plain: PlainText) -> bytes:
    """Checks one chunk; returns its end, where a character goes on in the next one.

    :param pending: such an end of the chunk before.
    """
    nul = chunk.find(b"\0")
    if nul >= 0:
        raise SourceError(
            plain.file.at(_line_number(shape, chunk[:nul])),
            "there is a NUL byte: this is not text in UTF-8",
            advice='If it is UTF-16, state Encoding="utf-16" on the mapping; else export it again.',
        )
    if not pending and chunk.isascii():
        return b""
    text = pending + chunk
    size = _whole_characters(text)
    if _is_utf8(text, size):
        return text[size:]
    try:
        consumed = codecs.utf_8_decode(text, "strict", False)[1]
    except UnicodeDecodeError as error:
        raise _undecodable(
            error.object, error.start, _line_number(shape, error.object[: error.start]), plain
        ) from error
    return text[consumed:]


def _whole_characters(text: bytes) -> int:
    """The size of a text without a last character of which bytes are missing."""
    for back in range(1, min(4, len(text) + 1)):
        byte = text[-back]
        if byte >= 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(text) - back if size > back else len(text)
        if byte < 0x80:
            break
    return len(text)


def _is_utf8(text: bytes, size: int) -> bool:
    """Whether the first bytes are UTF-8; decoding them would tell where they are not, and takes ten times as long."""
    ends = pa.py_buffer(np.array([0, size], np.int32))
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(text)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _has_mark(chunk: bytes, before: bytes) -> bool:
    """Whether a byte order mark is in a chunk, or begins in the bytes `before` it; not one that begins the text."""
    if MARK[:1] not in chunk and not before:  # to look for one byte is many times as fast
        return False
    return MARK in before + chunk if before else chunk.rfind(MARK) > 0


def _undecodable(text: bytes, start: int, line: int, plain: PlainText) -> SourceError:
    try:
        text[start : start + 200].decode("cp1252")
        advice = 'State Encoding="windows-1252" on the mapping if that is what it is, or export it as UTF-8.'
    except UnicodeDecodeError:
        advice = "Export the file again, as UTF-8."
    return SourceError(plain.file.at(line), "there are bytes that are not UTF-8", advice=advice)


def _line_number(shape: TextShape, before: bytes) -> int:
    feeds = shape.line_feeds + before.count(b"\n")
    return (feeds or shape.returns + before.count(b"\r")) + 1


def _measure_lines(chunk: bytes, open_length: int, shape: TextShape) -> int:
    """Raises `shape.longest` to a bound for the lines in this chunk.

    Returns the length of the line still open.

    A line longer than two blocks covers a whole block, so only blocks without a line end are measured.
    """
    end = b"\r" if shape.ends_with_return else b"\n"
    for start in range(0, len(chunk), _BLOCK):
        size = min(_BLOCK, len(chunk) - start)
        if chunk.find(end, start, start + size) >= 0:
            shape.longest = max(shape.longest, open_length + size)
            open_length = size
        else:
            open_length += size
            shape.longest = max(shape.longest, open_length)
    return open_length


def _check_end(last: bytes, pending: bytes, shape: TextShape, plain: PlainText) -> None:
    if pending:
        raise cut_off(plain, shape.line_feeds + 1)
    if last != (b"\r" if shape.ends_with_return else b"\n"):
        line = (shape.returns if shape.ends_with_return else shape.line_feeds) + 1
        raise cut_off(plain, line)


def without_end_sign(plain: PlainText, copies: Copies) -> PlainText:
    """The text without the end-of-file signs (0x1A) that old programs write behind the last row.

    The sign shows that the file is whole, also where the last row has no line end. Elsewhere it is an ordinary
    character: in the last cell, if a line end follows.

    :param copies: gives the file for a copy without them, if there are any.
    """
    with plain.path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _MOST_SIGNS))
        tail = stream.read()
        sign = tail.find(b"\x1a", len(tail.rstrip(b"\x1a\r\n")))
        is_line = tail[:sign].endswith((b"\r", b"\n"))
        if sign < 0 or not (is_line or tail.endswith(b"\x1a")):
            return plain
        stream.seek(0)
        rest = size - len(tail) + sign
        copy = copies.new()
        head = last = b""
        with copy.open("wb") as target:
            while rest and (chunk := stream.read(min(CHUNK, rest))):
                target.write(chunk)
                rest -= len(chunk)
                head, last = head or chunk, chunk[-1:]
            if last and last not in b"\r\n":
                target.write(b"\r" if b"\r" in head and b"\n" not in head else b"\n")
    return evolve(plain, path=copy)


_MOST_SIGNS = 64 << 10


def cut_off(plain: PlainText, line: int, more: str = "its last row has no line end") -> SourceError:
    """The error for a file that ends in the middle."""
    return SourceError(
        plain.file.at(line), f"the file looks cut off: {more}", advice="Copy or export it again, to its end."
    )
