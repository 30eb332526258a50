"""The XML Schema of configuration files, for editors: made from the tables that the reader follows.

It knows the elements, their attributes and the texts that can be listed. What only the whole configuration shows, such
as a name that nothing has, is left to the reader, and so is the text between elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from deltamark.config.xml.attribute_types import AttributeType
from deltamark.config.xml.elements import LANGUAGES, Attribute, Element
from deltamark.config.xml.schema import ROOT

FILE_NAME = "deltamark.xsd"
"""The name under which a workspace keeps its schema, beside `deltamark.toml`."""

_NAME_TYPE = "displayName"
_NAMED = f'simpleType name="{_NAME_TYPE}"'
_NOT_BLANK = [r'<xs:pattern value="[\s\S]*\S[\s\S]*"/>']


def configuration_schema() -> str:
    """Returns the schema of a configuration file, in UTF-8: no namespace, elements in any order."""
    types = _Types()
    root = types.element(ROOT)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified">',
        *(f"  {line}" for line in (root, *types.definitions(), *_text_type(_NOT_BLANK, _NAMED))),
        "</xs:schema>",
    ]
    return "\n".join(lines) + "\n"


class _Types:
    """The types of elements, each defined once, under a name of its own."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._waiting: list[Element] = []

    def element(self, element: Element, parent: Element | None = None) -> str:
        """The declaration of an element."""
        if id(element) not in self._names:
            is_taken = element.name in self._names.values()
            self._names[id(element)] = f"{parent.name}.{element.name}" if is_taken and parent else element.name
            self._waiting.append(element)
        return f"<xs:element name={quoteattr(element.name)} type={quoteattr(self._names[id(element)])}/>"

    def definitions(self) -> Iterator[str]:
        """The lines of all types, those of the elements inside others included."""
        while self._waiting:
            element = self._waiting.pop(0)
            inside: list[str] = []
            if element.children:
                children = [self.element(child, element) for child in element.children]
                inside += _block('choice minOccurs="0" maxOccurs="unbounded"', children)
            for attribute in element.attributes:
                inside += _attribute(element, attribute)
            if element.names:
                inside += [_display_name(name, element) for name in LANGUAGES]
            yield from _block(f"complexType name={quoteattr(self._names[id(element)])}", inside)


def _block(start: str, inside: Iterable[str]) -> list[str]:
    """The lines of an element of the schema and of what is inside it."""
    return [f"<xs:{start}>", *(f"  {line}" for line in inside), f"</xs:{start.partition(' ')[0]}>"]


def _attribute(element: Element, attribute: Attribute) -> list[str]:
    spellings = [other for other in element.attributes if other.field == attribute.field is not None]
    use = ' use="required"' if attribute.required and len(spellings) <= 1 else ""
    text = f"<xs:documentation>{escape(_described(element, attribute))}</xs:documentation>"
    return _block(
        f"attribute name={quoteattr(attribute.name)}{use}",
        [f"<xs:annotation>{text}</xs:annotation>", *_simple_type(attribute.type)],
    )


def _described(element: Element, attribute: Attribute) -> str:
    text = attribute.type.described[:1].upper() + attribute.type.described[1:]
    default = element.default(attribute)
    if default is None or isinstance(default, tuple):
        return f"{text}."
    return f"{text}. Default: {attribute.type.format(default)}."


def _simple_type(kind: AttributeType) -> list[str]:
    if kind.limits is not None:
        least, greatest = kind.limits
        facets = [
            '<xs:pattern value="-?[0-9]{1,10}"/>',
            f'<xs:minInclusive value="{least}"/>',
            f'<xs:maxInclusive value="{greatest}"/>',
        ]
        return _block("simpleType", _block('restriction base="xs:integer"', facets))
    if kind.texts and kind.in_any_case:
        # The enumeration is what an editor offers, the pattern what is right besides.
        pattern = quoteattr(rf"\s*({_caseless(kind.texts)})\s*")
        return _block(
            "simpleType",
            _block("union", [*_text_type(_listed(kind.texts)), *_text_type([f"<xs:pattern value={pattern}/>"])]),
        )
    return _text_type(_listed(kind.texts) if kind.texts else ['<xs:minLength value="1"/>'])


def _text_type(facets: list[str], start: str = "simpleType") -> list[str]:
    return _block(start, _block('restriction base="xs:string"', facets))


def _listed(texts: tuple[str, ...]) -> list[str]:
    # A parser makes a blank of a tab in an attribute; `\\t` and `tab` stand for it.
    return [f"<xs:enumeration value={quoteattr(text)}/>" for text in texts if text != "\t"]


def _caseless(texts: tuple[str, ...]) -> str:
    return "|".join("".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in text) for text in texts)


def _display_name(name: str, element: Element) -> str:
    use = ' use="required"' if element.needs_name and LANGUAGES[name] == 1 else ""
    return f'<xs:attribute name="{name}" type="{_NAME_TYPE}"{use}/>'
