"""Writes any configuration as XML, with the same tables that the reader uses.

Defaults are left out. What XML cannot express is refused by name: a file that is read back as something else would
be worse than none.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from deltamark.config.xml.attribute_types import InvalidValue
from deltamark.config.xml.elements import LANGUAGES, PYTHON_VALUE, Attribute, Element, Parts
from deltamark.config.xml.safety import refusal
from deltamark.config.xml.schema import ROOT
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import ConfigurationError, Fault, UsageError
from deltamark.domain.location import Location
from deltamark.domain.proposal.proposal import Section
from deltamark.domain.validation.field_types import type_faults
from deltamark.domain.validation.validate import in_file_order
from deltamark.domain.values import shown

_COLUMN = "connection_column"
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
WIDTH = 120
INDENT = "  "

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
"""Tabs and line ends are escaped, because a parser turns them into spaces in attributes."""


def configuration_xml(configuration: Configuration) -> str:
    """Returns a configuration as XML, for one file in UTF-8.

    Reading it gives an equal configuration. Attributes with default values are left out. Within each kind of element,
    the order is that of the configuration, so that equal configurations give equal texts. A task or job without a
    display name, which XML requires, gets its identifier as name. Comments and the original files are not part of a
    configuration and are lost. The configuration may have faults.

    :raises ConfigurationError: with everything that XML cannot express: control characters, empty texts, values that
        only Python can have, and more than the 1 MiB that is read from one file.
    :raises UsageError: for anything but a `Configuration`.
    """
    if not isinstance(configuration, Configuration):
        raise UsageError(f"only a Configuration can be written as XML, not {type(configuration).__name__}.")
    faults = type_faults(configuration)
    if faults:
        raise ConfigurationError(in_file_order(faults))
    text = xml_of(configuration, leaves_out_columns=True)
    fault = refusal(text.encode(), "the exported configuration")
    if fault is not None:
        raise ConfigurationError([fault])
    return text


def xml_of(configuration: Configuration, *, keeps_python_values: bool = False, leaves_out_columns: bool = False) -> str:
    """Returns a configuration without faults of types as XML, of any size.

    :param keeps_python_values: whether values that only Python can express are written too, in attributes that no file
        may have.
    :param leaves_out_columns: whether a column that has the name of its property is left out. Stores keep it, so that
        the digests of what they have kept so far stay the same.
    :raises ConfigurationError: with everything that XML cannot express.
    """
    writer = _Writer(keeps_python_values, leaves_out_columns)
    parts = ROOT.parts_of(ROOT, configuration)
    assert parts is not None, "the root element can represent any configuration"
    text = DECLARATION + "".join(writer.lines_of(parts, ""))
    if writer.faults:
        raise ConfigurationError(in_file_order(writer.faults))
    return text


def commented_xml(sections: Iterable[Section], *, comment: str, schema: str) -> str:
    """Returns the parts of a proposed configuration as XML for one file, in their order, with their comments.

    :param comment: what the file is about.
    :param schema: where its schema is, as the root element names it.
    :raises ConfigurationError: with everything that XML cannot express.
    """
    names = f'xmlns:xsi="{_INSTANCE}"\n                   xsi:noNamespaceSchemaLocation="{schema}"'
    lines = [*_comment(comment, ""), f"<{ROOT.name} {names}>\n"]
    writer = _Writer(leaves_out_columns=True)
    for section in sections:
        lines += ["\n", *(_comment(section.comment, INDENT) if section.comment else ())]
        writer.comments.update(section.comments)
        for item in section.items:
            lines += writer.lines_of_item(item)
    if writer.faults:
        raise ConfigurationError(in_file_order(writer.faults))
    return DECLARATION + "".join(lines) + f"\n</{ROOT.name}>\n"


_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"


def _comment(text: str, indent: str) -> list[str]:
    """A comment in lines. Two hyphens, which would end it, are written as one."""
    plain = NOT_IN_XML.sub("?", re.sub("-{2,}", "-", text)).rstrip("-")
    lines = textwrap.wrap(plain, WIDTH - len(indent) - len("<!--  -->"), break_long_words=False)
    inside = f"\n{indent}     ".join(lines)
    return [f"{indent}<!-- {inside} -->\n"]


@frozen
class _Writer:
    """Writes elements as the schema describes them, and collects what cannot be written."""

    keeps_python_values: bool = False
    leaves_out_columns: bool = False
    faults: list[Fault] = field(factory=list)
    comments: dict[int, str] = field(factory=dict)
    """The comments of objects, by their `id`."""

    def lines_of_item(self, item: object) -> Iterator[str]:
        """Yields the lines of an object that a configuration holds."""
        for child in ROOT.children:
            parts = child.parts_of(child, item)
            if parts is not None:
                yield from self.lines_of(parts, INDENT)
                return

    def lines_of(self, parts: Parts, indent: str) -> Iterator[str]:
        """Yields the lines of an element and of everything in it."""
        element = parts.element
        opening = _opening_tag(element.name, self._attributes(parts), indent)
        inside = list(self._children(parts, indent + INDENT))
        if inside:
            yield f"{opening}>\n"
            yield from inside
            yield f"{indent}</{element.name}>\n"
        else:
            yield f"{opening} />\n"

    def _children(self, parts: Parts, indent: str) -> Iterator[str]:
        is_root = parts.element is ROOT
        for into in dict.fromkeys(child.into for child in parts.element.children):
            items = parts.children.get(into, [])
            if is_root and items:
                yield "\n"
            for item in items:
                child_parts = self._child_parts(parts, into, item)
                if id(item) in self.comments:
                    yield from _comment(self.comments[id(item)], indent)
                if child_parts is not None:
                    yield from self.lines_of(child_parts, indent)

    def _child_parts(self, parent: Parts, into: str, item: Any) -> Parts | None:
        """The parts of an object, for the element that represents it in its parent."""
        for child in parent.element.children:
            parts = child.parts_of(child, item) if child.into == into else None
            if parts is not None:
                return parts
        name = shown(getattr(item, "identifier", type(item).__name__))
        self._refuse(
            getattr(item, "location", None) or parent.location,
            f"{type(item).__name__} {name}: `{parent.element.name}` has no element for it; only Python can express "
            "this",
        )
        return None

    def _attributes(self, parts: Parts) -> list[tuple[str, str]]:
        values = {**parts.values, **parts.thresholds}
        written: list[tuple[str, str]] = []
        for attribute in parts.element.attributes:
            if attribute.field in values:
                value = values.pop(attribute.field)
                if self.leaves_out_columns and attribute.field == _COLUMN and value == parts.values.get("identifier"):
                    continue
                faults = len(self.faults)
                written.append((attribute.name, self._text(parts, attribute, value)))
                if self.keeps_python_values and len(self.faults) > faults:
                    del self.faults[faults:]
                    written[-1] = self._python_value(parts, str(attribute.field), value)
            elif attribute.required and not any(a.field == attribute.field for a in _before(parts.element, attribute)):
                self._refuse(parts.location, f"{_label(parts)} needs the attribute `{attribute.name}`")
        for name, value in values.items():
            if self.keeps_python_values:
                written.append(self._python_value(parts, name, value))
            else:
                self._refuse_value(parts, name, value)
        faults = len(self.faults)
        names = self._names(parts)
        if self.keeps_python_values and len(self.faults) > faults:
            del self.faults[faults:]
            names = [self._python_value(parts, "display_names", dict(sorted(parts.display_names.items())))]
        return written + names

    def _python_value(self, parts: Parts, name: str, value: Any) -> tuple[str, str]:
        """The attribute for a value that only Python can express."""
        try:
            return PYTHON_VALUE + name, json.dumps(value)
        except (TypeError, ValueError):
            self._refuse_value(parts, name, value)
            return PYTHON_VALUE + name, ""

    def _refuse_value(self, parts: Parts, name: str, value: Any) -> None:
        self._refuse(
            parts.location,
            f"{_label(parts)} has {name} = {shown(value)}, for which XML has no attribute; only Python can express "
            "this",
        )

    def _text(self, parts: Parts, attribute: Attribute, value: Any) -> str:
        """The text of an attribute. Refuses a value that would not be read back as it is."""
        text = attribute.type.format(value)
        where = f"{_label(parts)}: `{attribute.name}`, {shown(text)},"
        try:
            read = attribute.type.parse(text)
        except InvalidValue as error:
            self._refuse(parts.location, f"{where} {error.reason}")
        else:
            if not isinstance(value, type(read)):
                types = f"is of type {type(value).__name__} and would be read as {type(read).__name__}"
                self._refuse(parts.location, f"{where} {types}")
            elif read != value:
                self._refuse(parts.location, f"{where} would be read as {shown(read)}; write it like that")
            self._check_characters(parts, attribute.name, text)
        return text

    def _names(self, parts: Parts) -> list[tuple[str, str]]:
        names: Mapping[Any, Any] = parts.display_names
        if parts.element.needs_name and 1 not in names:
            names = {1: parts.values["identifier"], **names}
        numbers = {number: name for name, number in LANGUAGES.items()} if parts.element.names else {}
        written = []
        for number, text in sorted(names.items()):
            attribute = numbers.get(number)
            if attribute is None:
                self._refuse(parts.location, f"{_label(parts)} has a display name in language {number}; give 1 to 16")
            elif not isinstance(text, str) or not text.strip():
                self._refuse(parts.location, f"{_label(parts)}: `{attribute}`, {shown(text)}, is empty or not a text")
            else:
                self._check_characters(parts, attribute, text)
                written.append((attribute, text))
        return written

    def _check_characters(self, parts: Parts, name: str, text: str) -> None:
        match = NOT_IN_XML.search(text)
        if match:
            character = f"U+{ord(match.group()):04X}"
            self._refuse(
                parts.location,
                f"{_label(parts)}: `{name}` contains {character} at character {match.start() + 1}, which XML cannot "
                "contain; remove it",
            )

    def _refuse(self, location: Location | None, message: str) -> None:
        self.faults.append(Fault(location, message))


def _before(element: Element, attribute: Attribute) -> tuple[Attribute, ...]:
    return element.attributes[: element.attributes.index(attribute)]


def _label(parts: Parts) -> str:
    """The element as messages name it."""
    names = (parts.values.get(name) for name in ("identifier", "resource_type", "task", "parent", "entity_type"))
    name = next((name for name in names if name), None)
    return f"`{parts.element.name}`" + (f" {shown(name)}" if name else "")


def _opening_tag(name: str, attributes: list[tuple[str, str]], indent: str) -> str:
    """Returns the opening tag without its end, with its attributes wrapped into lines."""
    lines = [f"{indent}<{name}"]
    for attribute, value in attributes:
        assignment = f'{attribute}="{value.translate(ESCAPES)}"'
        if len(lines[-1]) + len(assignment) + len("  />") > WIDTH and len(lines[-1].strip()) > len(name) + 1:
            lines.append(f"{indent}{INDENT * 2}{assignment}")
        else:
            lines[-1] += f" {assignment}"
    return "\n".join(lines)
