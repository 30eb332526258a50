"""The kinds of attribute values: what is accepted, and what it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from deltamark.domain.configuration.entity_model import PropertyRef
from deltamark.domain.configuration.names import (
    entity_type_problem,
    identifier_problem,
    normalized,
    property_problem,
    table_problem,
)
from deltamark.domain.suggestions import nearest
from deltamark.domain.values import PropertyType

NUMBER = re.compile(r"-?[0-9]{1,10}\Z")
LARGEST_COUNT = 2**31 - 1

ENCODINGS = {
    "utf8": "utf-8",
    "utf16": "utf-16",
    "utf16le": "utf-16",
    "windows1252": "windows-1252",
    "cp1252": "windows-1252",
    "1252": "windows-1252",
}
"""Spellings without blanks, hyphens and underscores, in lower case."""

DELIMITERS = {";": ";", ",": ",", "|": "|", "\t": "\t", "\\t": "\t", "tab": "\t"}


class Unacceptable(ValueError):
    """A value that its kind does not accept; `reason` ends the sentence '`Attribute` "value" …'."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Parse: TypeAlias = Callable[[str], Any]
Spell: TypeAlias = Callable[[Any], str]


@frozen
class Kind:
    """A kind of attribute value.

    `parse` turns the text of an attribute into the value of the domain, or raises `Unacceptable`.
    `spell` is its inverse: the text that is read back as a value; of several, the one that the reference shows.
    `described` is the kind in a phrase, for messages and for the reference.
    """

    described: str
    parse: Parse
    spell: Spell = str


def _boolean(text: str) -> bool:
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    guess = nearest(text, ("true", "false"))
    raise Unacceptable("is not a Boolean; write true, false, 1 or 0" + (f" (did you mean {guess}?)" if guess else ""))


def _spelled_boolean(value: bool) -> str:
    return "true" if value else "false"


def whole_number(lowest: int, highest: int) -> Kind:
    """A whole number in ASCII digits, without blanks and separators."""
    described = f"a whole number from {lowest} to {highest}"

    def parse(text: str) -> int:
        if not NUMBER.match(text) or not lowest <= int(text) <= highest:
            raise Unacceptable(f"is not {described}")
        return int(text)

    return Kind(described, parse)


def choice(options: Mapping[str, Any], numbers: Mapping[str, Any] | None = None) -> Kind:
    """One of several names, or the number of one."""
    by_number = numbers or {}
    number_of = {id(value): number for number, value in by_number.items()}
    listed = ", ".join(
        f"{name} ({number_of[id(value)]})" if id(value) in number_of else name for name, value in options.items()
    )
    described = f"one of {listed}"

    def parse(text: str) -> Any:
        if text in options:
            return options[text]
        if text in by_number:
            return by_number[text]
        guess = nearest(text, options)
        raise Unacceptable(f"is not {described}" + (f"; did you mean {guess}?" if guess else ""))

    def spell(value: Any) -> str:
        return next((name for name, meant in options.items() if meant == value), str(value))

    return Kind(described, parse, spell)


def numbered(*pairs: tuple[int, str, Any]) -> Kind:
    """One of several values that have a number and a name each."""
    return choice({name: value for _, name, value in pairs}, {str(number): value for number, _, value in pairs})


def _checked(problem_of: Callable[[str], str | None]) -> Parse:
    def parse(text: str) -> str:
        name = normalized(text)
        problem = problem_of(name)
        if problem is not None:
            raise Unacceptable(problem)
        return name

    return parse


def _text(text: str) -> str:
    if not text.strip():
        raise Unacceptable("is empty")
    return text


def _reference(text: str) -> str:
    return normalized(_text(text))


def _property_reference(text: str) -> PropertyRef:
    entity_type, colon, name = text.partition(":")
    if not (entity_type and colon and name) or ":" in name:
        raise Unacceptable("is not of the form EntityType:Property")
    return PropertyRef(normalized(entity_type), normalized(name))


def _function(text: str) -> str:
    module, colon, name = text.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise Unacceptable("is not of the form package.module:function")
    return text


def _encoding(text: str) -> str:
    try:
        return ENCODINGS[re.sub("[-_ ]", "", text).lower()]
    except KeyError:
        raise Unacceptable("is not one of utf-8, utf-16, windows-1252") from None


def _spelled_delimiter(value: str) -> str:
    return "tab" if value == "\t" else value


def _delimiter(text: str) -> str:
    try:
        return DELIMITERS[text]
    except KeyError:
        raise Unacceptable("is not one of ; , | and tab") from None


BOOLEAN = Kind("a Boolean (true, false, 1 or 0)", _boolean, _spelled_boolean)
COUNT = whole_number(0, LARGEST_COUNT)
PERCENTAGE = whole_number(0, 100)
PRIORITY = whole_number(-LARGEST_COUNT, LARGEST_COUNT)
LEVEL = whole_number(-1, LARGEST_COUNT)
CONFIDENCE = whole_number(0, 150)
COLUMN_INDEX = whole_number(-1, LARGEST_COUNT)
TEXT = Kind("a text", _text)
IDENTIFIER = Kind("an identifier", _checked(identifier_problem))
ENTITY_TYPE_NAME = Kind("the identifier of an entity type", _checked(entity_type_problem))
PROPERTY_NAME = Kind("letters, digits and _, not beginning with a digit", _checked(property_problem))
TABLE = Kind("a file name without folder and ending", _checked(table_problem))
REFERENCE = Kind("the identifier of something that is configured", _reference)
PROPERTY_REFERENCE = Kind("EntityType:Property", _property_reference)
FUNCTION_NAME = Kind("package.module:function", _function)
ENCODING = Kind("one of utf-8, utf-16, windows-1252", _encoding)
DELIMITER = Kind("one of ; , | and tab", _delimiter, _spelled_delimiter)
PROPERTY_TYPE = numbered(*((member.number, member.label, member) for member in PropertyType))
