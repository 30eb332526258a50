"""Refuses dangerous files before lxml parses them.

Options of an XML parser are not a policy: with entities switched off, lxml drops their text silently, still expands
those in attributes, accepts a DOCTYPE, and takes minutes for an element with many attributes. The check here reads
the bytes once with expat, and opens no file and no connection.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import NoReturn
from xml.parsers import expat

from deltamark.config.files import LARGEST_FILE
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.values import shown

ROOT_TAG = re.compile(rb"[^\s/>]+")
DEEPEST = 64
MOST_ATTRIBUTES = 64
MOST_ELEMENTS = 50_000
LONGEST_TEXT = 64 * 1024
LONGEST_NAME = 1000

XINCLUDE = "http://www.w3.org/2001/XInclude"
SEPARATOR = " "
"""Separates namespace and name in the names that expat reports; neither can contain a space."""

WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"<\0": "UTF-16",
    b"\0<": "UTF-16",
}
"""The first bytes of files in wide encodings, with and without a byte order mark."""

ADVICE = {
    expat.errors.XML_ERROR_NO_ELEMENTS: "the file contains no element; it needs the root `ConfigurationFile`",
    expat.errors.XML_ERROR_INVALID_TOKEN: (
        "this is not well-formed XML; in values, write &amp; for & and &lt; for <, and put every value in quotes"
    ),
    expat.errors.XML_ERROR_DUPLICATE_ATTRIBUTE: "the element has the same attribute twice; keep one",
    expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT: (
        "there is more after the end of the root element; a file has one root, `ConfigurationFile`"
    ),
    expat.errors.XML_ERROR_MISPLACED_XML_PI: (
        "the XML declaration must be at the very beginning of the file; remove what is before it"
    ),
    expat.errors.XML_ERROR_UNDEFINED_ENTITY: (
        "this entity is not defined in XML; only &amp; &lt; &gt; &quot; &apos; and &#…; are allowed"
    ),
    expat.errors.XML_ERROR_BAD_CHAR_REF: "this character reference is for no character that XML allows; remove it",
    expat.errors.XML_ERROR_UNBOUND_PREFIX: (
        "this namespace prefix is not declared; remove it or declare it with xmlns:…"
    ),
}


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def refusal(data: bytes, file: str) -> Fault | None:
    """Returns why a file must not be parsed, with line and column, or None if it may be.

    Takes time in proportion to the size of the data, which is limited.
    """
    return check(data, file)[0]


def check(data: bytes, file: str) -> tuple[Fault | None, Sequence[int], bytes | None]:
    """Returns the `refusal` of a file, the first line of each element, and what precedes the refusal.

    The lines are in document order; lxml knows only the line in which the tag of an element ends, which may be some
    lines below. What precedes is a file with the complete elements before the place where the XML is not well-formed;
    None if there is none, or if the file is refused for another reason.
    """
    fault = _encoding_fault(data, file)
    if fault is not None:
        return fault, (), None
    scanner = _Scanner(file)
    fault = scanner.scan(data)
    return fault, scanner.lines, scanner.complete(data) if fault is not None else None


def _encoding_fault(data: bytes, file: str) -> Fault | None:
    if len(data) > LARGEST_FILE:
        return Fault(Location(file), "the file is larger than 1 MiB; split it into several files of one folder")
    for start, encoding in WIDE.items():
        if data.startswith(start):
            return Fault(Location(file, 1, "1"), f"the file is written in {encoding}; save it as UTF-8")
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        return Fault(Location(file, 1), "the file is empty; it needs the root element `ConfigurationFile`")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place(data, error.start, file)
        return Fault(place, f"the byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8")
    if b"\0" in data:
        return Fault(_place(data, data.index(b"\0"), file), "the file contains a NUL byte; remove it")
    return None


def _place(data: bytes, offset: int, file: str) -> Location:
    line_start = data.rfind(b"\n", 0, offset) + 1
    return Location(file, data.count(b"\n", 0, offset) + 1, str(offset - line_start + 1))


class _Scanner:
    """Scans a file once with expat, up to the first thing to refuse."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data = b""
        self.open: list[tuple[str, int]] = []
        self.text_size = 0
        self.lines: list[int] = []
        self.namespaces = 0
        self.root_tag = ""
        self.complete_to = 0
        """How many bytes the complete children of the root take, with what precedes them."""
        self.is_malformed = False
        self.parser = expat.ParserCreate("utf-8", SEPARATOR)
        self.parser.ordered_attributes = True
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self._declaration
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.EntityDeclHandler = self._entity
        self.parser.ProcessingInstructionHandler = self._instruction
        self.parser.StartNamespaceDeclHandler = self._namespace
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def scan(self, data: bytes) -> Fault | None:
        self.data = data
        try:
            self.parser.Parse(data, True)
        except _Refused as refusal:
            return refusal.fault
        except expat.ExpatError as error:
            self.is_malformed = True
            return Fault(Location(self.file, error.lineno, str(error.offset + 1)), self._explanation(error))
        return None

    def complete(self, data: bytes) -> bytes | None:
        """The file up to the last complete child of its root, closed there."""
        if not self.is_malformed or not self.complete_to:
            return None
        return data[: self.complete_to] + f"</{self.root_tag}>".encode()

    def _here(self) -> Location:
        return Location(self.file, self.parser.CurrentLineNumber, str(self.parser.CurrentColumnNumber + 1))

    def _explanation(self, error: expat.ExpatError) -> str:
        message = expat.errors.messages[error.code]
        if self.open and message in (
            expat.errors.XML_ERROR_TAG_MISMATCH,
            expat.errors.XML_ERROR_NO_ELEMENTS,
            expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        ):
            name, line = self.open[-1]
            return f"`{name}`, opened in line {line}, is not closed here; write `</{name}>` where it ends"
        return ADVICE.get(message, f"this is not well-formed XML ({message})")

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if version != "1.0":
            self._refuse(f'XML version {shown(version)} is not supported; write version="1.0"')
        if encoding is not None and encoding.lower() != "utf-8":
            self._refuse(
                f'the file declares the encoding {shown(encoding)}; save it as UTF-8 and write encoding="UTF-8"'
            )

    def _doctype(self, name: str, system: str | None, public: str | None, has_subset: bool) -> None:
        self._refuse("a DOCTYPE is not accepted in a configuration; remove it")

    def _entity(self, *_: object) -> None:
        self._refuse("entity declarations are not accepted in a configuration; write the text itself")

    def _instruction(self, target: str, data: str) -> None:
        self._refuse(f"the processing instruction {shown(target)} is not accepted; remove it")

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self.namespaces += 1
        if self.namespaces > MOST_ATTRIBUTES:
            self._refuse_attributes()
        self._check_value(prefix or "xmlns", uri or "")

    def _start(self, tag: str, attributes: list[str]) -> None:
        namespace, _, name = tag.rpartition(SEPARATOR)
        if namespace == XINCLUDE:
            self._refuse("XInclude is not accepted; put the file into the configuration folder instead")
        self._check_name(name)
        self.lines.append(self.parser.CurrentLineNumber)
        if len(self.lines) > MOST_ELEMENTS:
            self._refuse(f"the file contains more than {MOST_ELEMENTS:,} elements; split it into several files")
        if len(self.open) >= DEEPEST:
            self._refuse(f"elements are nested more than {DEEPEST} deep")
        if len(attributes) // 2 + self.namespaces > MOST_ATTRIBUTES:
            self._refuse_attributes()
        self.namespaces = 0
        for attribute, value in zip(attributes[::2], attributes[1::2], strict=True):
            self._check_name(attribute)
            self._check_value(attribute, value)
        if not self.open:
            start = self.parser.CurrentByteIndex
            self.root_tag = ROOT_TAG.match(self.data, start + 1).group().decode()  # type: ignore[union-attr]
        self.open.append((name, self.parser.CurrentLineNumber))
        self.text_size = 0

    def _end(self, tag: str) -> None:
        self.open.pop()
        if len(self.open) == 1:
            self.complete_to = self._index_after_end()
        self.text_size = 0

    def _index_after_end(self) -> int:
        """The index of the first byte after the tag that has just ended an element."""
        index: int = self.parser.CurrentByteIndex
        if self.data.startswith(b"</", index):
            return self.data.index(b">", index) + 1
        return index  # of an element without content, expat names the byte after it

    def _text(self, text: str) -> None:
        self.text_size += len(text.encode())
        if self.text_size > LONGEST_TEXT:
            self._refuse("there are more than 64 KB of text without an element in it; shorten it")

    def _check_name(self, name: str) -> None:
        if len(name) > LONGEST_NAME:
            self._refuse(f"the name {shown(name)} is longer than {LONGEST_NAME} characters")

    def _check_value(self, name: str, value: str) -> None:
        if len(value.encode()) > LONGEST_TEXT:
            self._refuse(f"the value of `{name}` is longer than 64 KB; shorten it")

    def _refuse_attributes(self) -> NoReturn:
        self._refuse(f"an element has more than {MOST_ATTRIBUTES} attributes")

    def _refuse(self, message: str) -> NoReturn:
        raise _Refused(Fault(self._here(), message))
