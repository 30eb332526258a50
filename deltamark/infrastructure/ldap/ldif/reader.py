"""Reads the records of an LDIF file (RFC 2849), strictly, in portions: memory does not grow with the file."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

from deltamark.domain.values import shown

Attributes = dict[str, list[bytes]]
"""Values by the name of their attribute with its options, in lower case."""

END_MARK = "# end"
"""The beginning of a comment in the last line, with the number of records: a file that lacks its end is noticed."""

LARGEST_RECORD = 256 << 20
"""In bytes."""

_NAME = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)(?:;[A-Za-z0-9=*-]+)*")
_END = re.compile(rb"# end (?:([0-9]{1,18})|count=[0-9]+ .*)")
_CHANGE = re.compile(rb"^(?:changetype|control) *:", re.IGNORECASE | re.MULTILINE)
_MARK = b"\xef\xbb\xbf"
_LONGEST_EXCERPT = 60
_DN = "dn"
_IS_CHANGE = "this record is a change (changetype), and not an entry; files of changes are named by ChangeFiles"
_NO_ATTRIBUTE = "the record has a name and no attribute"
TWO_NAMES = "the record has two names: a blank line before the next one is missing"
_NOT_PLAIN = (b":  ", b": :", b": <", b"\n#", b"\n\n\n")
"""What single records are looked at for. It may be inside of values, too."""


class LdifError(Exception):
    """A file that is no LDIF as RFC 2849 has it.

    :param line: where.
    :param reason: what is wrong, a clause.
    """

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(f"line {line}: {reason}")


class LdifReader:
    """Reads one file once.

    :param blocks: its bytes, in portions of any size.
    :param wanted: the attributes that are given, in lower case and without options; None for all. Others are checked.
    """

    def __init__(self, blocks: Iterable[bytes], wanted: Iterable[str] | None = None) -> None:
        self._blocks = blocks
        self._wanted = None if wanted is None else frozenset(wanted)
        self._names: dict[bytes, str] = {}
        self._portion = b""
        self._first_line = 1
        self._number = 0
        self._piece = b""
        self._records = 0
        self._is_ended = False

    @property
    def line(self) -> int:
        """The first line of the record that was given last."""
        return self._line_of(0)

    @property
    def records(self) -> int:
        """The number of records that were given."""
        return self._records

    def entries(self) -> Iterator[tuple[bytes, Attributes]]:
        """Yields the distinguished name and the attributes of each record of a file of content.

        :raises LdifError: with the line, for a file that is anything else.
        """
        names = self._names
        for portion in self._portions():
            self._portion = portion
            text = self._unfolded()
            if not _is_plain(text) or self._records == 0 or self._is_ended:
                for lines in self._lines_of_pieces(text):
                    yield self._entry(lines)
                continue
            for self._number, piece in enumerate(text.split(b"\n\n")):
                rest = iter(piece.split(b"\n"))
                first = next(rest)
                if first[:4] != b"dn: ":
                    self._piece = piece
                    yield self._counted(self._entry(piece.split(b"\n")))
                    continue
                attributes: Attributes = {}
                for line in rest:
                    name, colon, value = line.partition(b": ")
                    key = names.get(name)
                    if key is None or not colon:
                        self._piece = piece
                        key, value = self.attribute(line)
                    if key in attributes:
                        attributes[key].append(value)
                    elif key:
                        attributes[key] = [value]
                if not attributes and b"\n" not in piece:
                    self._piece = piece
                    self.fail(0, _NO_ATTRIBUTE)
                if _DN in attributes:
                    self._piece = piece
                    self.fail_in(first, TWO_NAMES)
                self._records += 1
                yield first[4:], attributes
            self._first_line += self._portion.count(b"\n") + 2

    def pieces(self) -> Iterator[list[bytes]]:
        """Yields the lines of each record: unfolded, without comments."""
        for portion in self._portions():
            self._portion = portion
            yield from self._lines_of_pieces(self._unfolded())

    def _counted(self, entry: tuple[bytes, Attributes]) -> tuple[bytes, Attributes]:
        self._records += 1
        return entry

    def _unfolded(self) -> bytes:
        text = self._portion
        if text[:1] == b" ":
            self._fail_at(text, 0, "it goes on a blank line")
        if b"\n " in text:
            if b"\n\n " in text:
                self._fail_at(text, text.index(b"\n\n ") + 2, "it goes on a blank line")
            text = text.replace(b"\n ", b"")
        return text

    def _lines_of_pieces(self, text: bytes) -> Iterator[list[bytes]]:
        """Yields the lines of each record of a portion, and counts them."""
        has_comments = text[:1] == b"#" or b"\n#" in text
        is_text = text.isascii() or _is_utf8(text)
        for self._number, self._piece in enumerate(text.split(b"\n\n")):
            piece = self._piece.strip(b"\n")
            if not piece:
                continue
            if not is_text:
                self._check_text(piece)
            lines = piece.split(b"\n")
            if has_comments:
                lines = self._without_comments(lines)
            if (
                self._records == 0
                and lines
                and lines[0][:8].lower() == b"version:"
                and lines.pop(0)[8:].strip(b" ") != b"1"
            ):
                self.fail(0, "the version is not 1")
            if not lines:
                continue
            if self._is_ended:
                self.fail(0, "a record follows the comment that says where the file ends")
            self._records += 1
            yield lines
        self._first_line += self._portion.count(b"\n") + 2

    def _entry(self, lines: list[bytes]) -> tuple[bytes, Attributes]:
        attributes: Attributes = {}
        if len(lines) < 2:
            self.fail(0, _NO_ATTRIBUTE)
        if lines[0][:3].lower() != b"dn:":
            self.fail_in(lines[0], "the record does not begin with dn:")
        for line in lines:
            key, value = self.attribute(line)
            if key in attributes:
                attributes[key].append(value)
            elif key:
                attributes[key] = [value]
        names = attributes.pop(_DN)
        if len(names) > 1:
            self.fail_in(lines[0], TWO_NAMES)
        return names[0], attributes

    def attribute(self, line: bytes) -> tuple[str, bytes]:
        """The attribute of a line in lower case, empty where it is not wanted, and its value."""
        name, colon, value = line.partition(b":")
        key = self._names.get(name)
        if key is None or not colon:
            key = self._new_name(name, line)
        return key, self.value(value, line)

    def name(self, name: bytes, line: bytes) -> str:
        """An attribute in lower case, empty where it is not wanted.

        :param line: where it is named.
        """
        key = self._names.get(name)
        return self._new_name(name, line) if key is None else key

    def value(self, value: bytes, line: bytes) -> bytes:
        """The value behind the first colon of a line."""
        first = value[:1]
        if first == b":":
            try:
                return binascii.a2b_base64(value[1:].strip(b" "), strict_mode=True)
            except ValueError:
                self.fail_in(line, "the value is no base64")
        if first == b"<":
            self.fail_in(line, "a value is named by a URL, and URLs are never followed")
        value = value.lstrip(b" ")
        if value[:1] in (b":", b"<"):
            self.fail_in(line, f"a value that begins with {value[:1].decode()} must be in base64")
        return value

    def _new_name(self, name: bytes, line: bytes) -> str:
        """The attribute in lower case; empty where it is not wanted."""
        if name == line or not _NAME.fullmatch(name):
            if _CHANGE.search(self._piece):
                raise LdifError(self.line, _IS_CHANGE)
            what = "is no attribute with a colon" if name == line else "has no name of an attribute before its colon"
            self.fail_in(line, f"the line {what} ({shown(line[:_LONGEST_EXCERPT].decode('utf-8', 'replace'))})")
        key = name.decode().lower()
        base, *options = key.split(";")
        if base in ("changetype", "control"):
            raise LdifError(self.line, _IS_CHANGE)
        if any(option.startswith("range=") for option in options):
            self.fail_in(line, f"{shown(key)} holds a part of the values only; export all of them")
        known = key if self._wanted is None or key == _DN or base in self._wanted else ""
        self._names[name] = known
        return known

    def _without_comments(self, lines: list[bytes]) -> list[bytes]:
        for line in lines:
            if end := _END.fullmatch(line):
                count = self._records + any(other[:1] != b"#" for other in lines)
                if end[1] is not None and int(end[1]) != count:
                    self.fail_in(line, f"the file ends here with {int(end[1]):,} records, and {count:,} are there")
                self._is_ended = True
        return [line for line in lines if line[:1] != b"#"]

    def _check_text(self, piece: bytes) -> None:
        try:
            piece.decode()
        except UnicodeDecodeError as error:
            lines = piece[: error.start].count(b"\n")
            self.fail(lines, "it is not text in UTF-8; such values must be in base64")

    def _portions(self) -> Iterator[bytes]:
        """The file in portions of whole records, their line ends as line feeds, without the last blank line."""
        rest, seen, is_first = b"", 0, True
        for block in self._blocks:
            if is_first:
                block, is_first = block.removeprefix(_MARK), False
            data = rest + block
            data = self._checked(data, max(0, seen - 1), at_end=False)
            end = data.rfind(b"\n\n", max(0, seen - 1))
            if end < 0:
                if len(data) > LARGEST_RECORD:
                    raise LdifError(self._first_line, f"the record has more than {LARGEST_RECORD:,} bytes")
                rest, seen = data, len(data)
                continue
            yield data[:end]
            rest = data[end + 2 :]
            seen = len(rest)
        if not rest:
            return
        rest = self._checked(rest, 0, at_end=True)
        if not rest.endswith(b"\n"):
            self._fail_at(rest, len(rest) - 1, "the last line does not end: the file was cut off")
        if rest.startswith(b" "):
            self._fail_at(rest, 0, "it goes on a blank line")
        yield rest[:-1]

    def _checked(self, data: bytes, start: int, *, at_end: bool) -> bytes:
        """Line ends as line feeds; a return at the end of a portion waits for what follows."""
        if data.find(b"\0", start) >= 0:
            self._fail_at(data, data.index(b"\0", start), "it has a character NUL")
        if data.find(b"\r", start) < 0:
            return data
        data = data[:start] + data[start:].replace(b"\r\n", b"\n")
        at = data.find(b"\r", start)
        if at >= 0 and (at_end or at < len(data) - 1):
            self._fail_at(data, at, "a carriage return stands alone")
        return data

    def _line_of(self, logical: int) -> int:
        """The line in the file of a line of the record, counted without folds."""
        before = self._portion.split(b"\n\n", self._number)
        line = self._first_line + sum(part.count(b"\n") + 2 for part in before[:-1])
        piece = before[-1].split(b"\n\n", 1)[0]
        stripped = piece.lstrip(b"\n")
        line += len(piece) - len(stripped)
        for text in stripped.split(b"\n"):
            if text[:1] != b" ":
                logical -= 1
            if logical < 0:
                break
            line += 1
        return line

    def fail(self, logical: int, reason: str) -> NoReturn:
        """Refuses the file for a line of this record, counted without folds.

        :raises LdifError: always.
        """
        raise LdifError(self._line_of(logical), reason)

    def fail_in(self, line: bytes, reason: str) -> NoReturn:
        """Refuses the file for a line of this record.

        :raises LdifError: always.
        """
        lines = self._piece.strip(b"\n").split(b"\n")
        self.fail(lines.index(line) if line in lines else 0, reason)

    def _fail_at(self, data: bytes, at: int, reason: str) -> NoReturn:
        raise LdifError(self._first_line + data.count(b"\n", 0, at), reason)


def _is_plain(text: bytes) -> bool:
    is_odd = not text or text[:1] in (b"#", b"\n") or text[-1:] == b"\n" or any(sign in text for sign in _NOT_PLAIN)
    return not is_odd and text.isascii()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
