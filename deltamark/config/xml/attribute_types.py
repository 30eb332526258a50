"""The types of attributes: which texts are accepted, and which values they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import evolve, frozen

from deltamark.domain.configuration.entity_model import PropertyRef
from deltamark.domain.configuration.names import (
    entity_type_problem,
    identifier_problem,
    normalized,
    property_problem,
    table_problem,
)
from deltamark.domain.configuration.text_files import DELIMITER as DELIMITER_SIGN
from deltamark.domain.configuration.text_files import SEPARATOR as SEPARATOR_SIGN
from deltamark.domain.configuration.text_files import is_delimiter, is_separator
from deltamark.domain.configuration.value_formats import THOUSANDS, ByteOrder, Comparison
from deltamark.domain.suggestions import nearest
from deltamark.domain.values import PropertyType

NUMBER = re.compile(r"-?[0-9]{1,10}\Z")
LARGEST_COUNT = 2**31 - 1

ENCODINGS = {
    "utf8": "utf-8",
    "utf16": "utf-16",
    "utf16le": "utf-16",
    "utf16be": "utf-16-be",
    "windows1252": "windows-1252",
    "cp1252": "windows-1252",
    "1252": "windows-1252",
}
"""Names without spaces, hyphens and underscores, in lower case."""

THOUSANDS_SEPARATORS = {",": ",", ".": ".", "'": "'", "\u2019": "'", " ": " ", "\u00a0": " ", "\u202f": " "}
INSIDE_A_FUNCTION = "<locals>"
"""Precedes the name of a function that was defined inside another one."""

UNREADABLE = "⟪unreadable⟫"
"""Takes the place of a name or text that cannot be read, so that the rest can be judged."""

DELIMITERS = {"\\t": "\t", "tab": "\t"}
"""Other spelling -> delimiter."""


class InvalidValue(ValueError):
    """A value that an attribute type does not accept.

    `reason` ends the sentence '`Attribute` "value" …'. `meant` holds the value that was probably meant, if one is near.
    """

    def __init__(self, reason: str, *meant: Any) -> None:
        super().__init__(reason)
        self.reason = reason
        self.meant = meant


Parse: TypeAlias = Callable[[str], Any]
FormatValue: TypeAlias = Callable[[Any], str]


@frozen
class AttributeType:
    """A type of attribute values.

    `parse` converts the text of an attribute to a value of the domain, or raises `InvalidValue`. `format` is its
    inverse: if several texts stand for a value, it returns the one that the reference shows. `described` is a phrase
    for messages and for the reference. `readings` are the values that a text which cannot be read may have meant: what
    is a fault with each of them is no consequence of that text. Without any, the attribute counts as left out.

    What an editor may know of the accepted texts: `texts`, all of them where they can be listed (`in_any_case`: in any
    letter case, with blanks around them), or `limits`, the least and the greatest of whole numbers. Where neither is
    stated, every text but an empty one may be right.
    """

    described: str
    parse: Parse
    format: FormatValue = str
    readings: tuple[Any, ...] = ()
    texts: tuple[str, ...] = ()
    in_any_case: bool = False
    limits: tuple[int, int] | None = None


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _parse_boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in _BOOLEANS:
        return _BOOLEANS[word]
    guess = nearest(word, ("true", "false"))
    advice = f" (did you mean {guess}?)" if guess else ""
    raise InvalidValue(f"is not a Boolean; write true, false, 1 or 0{advice}", *([guess == "true"] if guess else []))


def _format_boolean(value: bool) -> str:
    return "true" if value else "false"


def whole_number(lowest: int, highest: int, readings: tuple[int, ...] = ()) -> AttributeType:
    """A whole number in ASCII digits, without spaces and separators."""
    described = f"a whole number from {lowest} to {highest}"

    def parse(text: str) -> int:
        if not NUMBER.match(text) or not lowest <= int(text) <= highest:
            raise InvalidValue(f"is not {described}")
        return int(text)

    return AttributeType(described, parse, readings=readings, limits=(lowest, highest))


def choice(options: Mapping[str, Any], numbers: Mapping[str, Any] | None = None) -> AttributeType:
    """One of several names, or its number."""
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
        advice = f"; did you mean {guess}?" if guess else ""
        raise InvalidValue(f"is not {described}{advice}", *([options[guess]] if guess else []))

    def format_value(value: Any) -> str:
        return next((name for name, option in options.items() if option == value), str(value))

    return AttributeType(described, parse, format_value, readings=tuple(options.values()), texts=(*options, *by_number))


def numbered(*pairs: tuple[int | None, str, Any]) -> AttributeType:
    """One of several values, each with a name and a number, if it has one."""
    by_number = {str(number): value for number, _, value in pairs if number is not None}
    return choice({name: value for _, name, value in pairs}, by_number)


def _parse_name(problem_of: Callable[[str], str | None]) -> Parse:
    def parse(text: str) -> str:
        name = normalized(text)
        problem = problem_of(name)
        if problem is not None:
            raise InvalidValue(problem)
        return name

    return parse


def _parse_text(text: str) -> str:
    if not text.strip():
        raise InvalidValue("is empty")
    return text


def _parse_reference(text: str) -> str:
    return normalized(_parse_text(text))


def _parse_property_reference(text: str) -> PropertyRef:
    entity_type, colon, name = text.partition(":")
    if not (entity_type and colon and name) or ":" in name:
        raise InvalidValue("is not of the form EntityType:Property")
    return PropertyRef(normalized(entity_type), normalized(name))


def _parse_function(text: str) -> str:
    module, colon, name = text.partition(":")
    parts = (*module.split("."), *(part for part in name.split(".") if part != INSIDE_A_FUNCTION))
    if not colon or not all(part.isidentifier() for part in parts):
        raise InvalidValue("is not of the form package.module:function")
    return text


def _parse_encoding(text: str) -> str:
    try:
        return ENCODINGS[re.sub("[-_ ]", "", text).lower()]
    except KeyError:
        raise InvalidValue("is not one of utf-8, utf-16, windows-1252") from None


def _format_delimiter(value: str) -> str:
    return "tab" if value == "\t" else value


def _parse_delimiter(text: str) -> str:
    delimiter = DELIMITERS.get(text, text)
    if not is_delimiter(delimiter):
        raise InvalidValue(f"is not {DELIMITER_SIGN}")
    return delimiter


def _parse_thousands_separator(text: str) -> str:
    if text not in THOUSANDS_SEPARATORS:
        raise InvalidValue(f"is not {THOUSANDS}")
    return THOUSANDS_SEPARATORS[text]


def _parse_separator(text: str) -> str:
    if not is_separator(text):
        raise InvalidValue(f"is not {SEPARATOR_SIGN}")
    return text


def _parse_words(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split("|"))
    if not all(words):
        raise InvalidValue("is not a list of texts with | between them")
    return words


BOOLEAN = AttributeType(
    "a Boolean (true, false, 1 or 0)",
    _parse_boolean,
    _format_boolean,
    readings=(False, True),
    texts=tuple(_BOOLEANS),
    in_any_case=True,
)
COUNT = whole_number(0, LARGEST_COUNT)
PERCENTAGE = whole_number(0, 100)
PRIORITY = whole_number(-LARGEST_COUNT, LARGEST_COUNT)
LEVEL = whole_number(-1, LARGEST_COUNT, readings=(-1, LARGEST_COUNT))
CONFIDENCE = whole_number(0, 150)
COLUMN_INDEX = whole_number(-1, LARGEST_COUNT)
TEXT = AttributeType("a text", _parse_text, readings=(UNREADABLE,))
IDENTIFIER = AttributeType("an identifier", _parse_name(identifier_problem), readings=(UNREADABLE,))
ENTITY_TYPE_NAME = AttributeType(
    "the identifier of an entity type", _parse_name(entity_type_problem), readings=(UNREADABLE,)
)
PROPERTY_NAME = AttributeType(
    "letters, digits and _, not beginning with a digit", _parse_name(property_problem), readings=(UNREADABLE,)
)
TABLE = AttributeType("a file name without folder and ending", _parse_name(table_problem), readings=(UNREADABLE,))
REFERENCE = AttributeType("the identifier of something that is configured", _parse_reference, readings=(UNREADABLE,))
PROPERTY_REFERENCE = AttributeType(
    "EntityType:Property", _parse_property_reference, readings=(PropertyRef(UNREADABLE, UNREADABLE),)
)
FUNCTION_NAME = AttributeType("package.module:function", _parse_function, readings=(UNREADABLE,))
ENCODING = AttributeType("one of utf-8, utf-16, windows-1252", _parse_encoding)
DELIMITER = AttributeType(DELIMITER_SIGN, _parse_delimiter, _format_delimiter)
DECIMAL_SEPARATOR = choice({".": ".", ",": ","})
THOUSANDS_SEPARATOR = AttributeType(THOUSANDS, _parse_thousands_separator, texts=tuple(THOUSANDS_SEPARATORS))
WORDS = AttributeType("texts with | between them", _parse_words, "|".join)
COMPARISON = choice({comparison.value: comparison for comparison in Comparison})
BYTE_ORDER = choice({order.value: order for order in ByteOrder})
PROPERTY_TYPE = evolve(
    numbered(*((member.number, member.label, member) for member in PropertyType)),
    readings=(
        PropertyType.STRING,
        PropertyType.INT64,
        PropertyType.DOUBLE,
        PropertyType.DECIMAL,
        PropertyType.DATE_TIME,
        PropertyType.DATE,
        PropertyType.BOOL,
        PropertyType.GUID,
    ),
)
SEPARATOR = AttributeType("a sign such as ; or |", _parse_separator)
SKIPPED_LINES = whole_number(0, 1_000)
