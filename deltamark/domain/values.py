"""Property types and the values of properties.

A value is a JSON scalar. Types that JSON does not have are stored as text in a canonical form, so that equal values
are equal texts: a date with time as ISO 8601 in UTC, a date as ``2026-11-24``, a Guid in lower case, binary data as
base64, a Decimal as its shortest digits (``1.5`` for ``1.50``), because programs read numbers of JSON as doubles. Other
numbers are stored as numbers, those of a Double with a fraction or an exponent: ``3435`` in an extract is stored as
``3435.0``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | None
"""The value of a property: text, number, Boolean or nothing (null)."""

Values: TypeAlias = Mapping[str, Value]
"""Property identifier -> value. A property without a value is absent, never null."""


class PropertyType(Enum):
    """The types of properties, with the numbers that configurations may use for them, if they have one."""

    STRING = (0, "String", "a text")
    BYTES = (1, "Bytes", "base64 data")
    INT32 = (2, "Int32", "a whole number from -2147483648 to 2147483647")
    INT64 = (3, "Int64", "a whole number from -9223372036854775808 to 9223372036854775807")
    DATE_TIME = (4, "DateTime", "a date")
    BOOL = (5, "Bool", "a Boolean (true, false, 1 or 0)")
    GUID = (6, "Guid", "a Guid")
    DOUBLE = (7, "Double", "a number")
    BINARY = (8, "Binary", "base64 data")
    BYTE = (9, "Byte", "a whole number from 0 to 255")
    INT16 = (10, "Int16", "a whole number from -32768 to 32767")
    FOREIGN_KEY = (12, "ForeignKey", "a reference")
    DECIMAL = (None, "Decimal", "a decimal number of at most 38 digits")
    DATE = (None, "Date", "a date without time")

    def __init__(self, number: int | None, label: str, described: str) -> None:
        self.number = number
        self.label = label
        self.described = described
        """The type as part of a sentence: '"12x" is not {described}'."""

    @classmethod
    def named(cls, text: str) -> PropertyType | None:
        """The type with that name or number, or None."""
        for member in cls:
            if text == member.label or (member.number is not None and text == str(member.number)):
                return member
        return None


INTEGER_RANGES: Mapping[PropertyType, tuple[int, int]] = {
    PropertyType.BYTE: (0, 2**8 - 1),
    PropertyType.INT16: (-(2**15), 2**15 - 1),
    PropertyType.INT32: (-(2**31), 2**31 - 1),
    PropertyType.INT64: (-(2**63), 2**63 - 1),
}
"""The least and the greatest value of the types of whole numbers."""

NUMBERS = frozenset({PropertyType.DOUBLE, PropertyType.DECIMAL, *INTEGER_RANGES})
"""The types of numbers."""

DATES = frozenset({PropertyType.DATE_TIME, PropertyType.DATE})
"""The types of dates, with a time and without."""

MOST_DIGITS = 38
"""The most digits of a Decimal, before and after its point together, as most databases hold them."""


def canonical_decimal(number: Decimal | int) -> str:
    """The text in which a Decimal is stored: its shortest digits, without an exponent."""
    text = f"{Decimal(number):f}"
    shortest = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if shortest in ("-0", "") else shortest


def digit_count(decimal: str) -> int:
    """How many digits a stored Decimal has, of which there may be `MOST_DIGITS`; a zero before the point is none."""
    whole, _, fraction = decimal.lstrip("-").partition(".")
    return len(whole.lstrip("0")) + len(fraction)


def has_type(value: Value, kind: PropertyType) -> bool:
    """Whether a stored value is one of a type. A value that is nothing has every type."""
    if value is None:
        return True
    if kind in INTEGER_RANGES:
        least, greatest = INTEGER_RANGES[kind]
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= greatest
    if kind is PropertyType.BOOL:
        return isinstance(value, bool)
    if kind is PropertyType.DOUBLE:
        return isinstance(value, float)
    if not isinstance(value, str) or (kind in _FORMS and not _FORMS[kind].fullmatch(value)):
        return False
    if kind is PropertyType.DECIMAL:
        return digit_count(value) <= MOST_DIGITS
    return kind not in DATES or _is_in_the_calendar(value)


def _is_in_the_calendar(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


CANONICAL_DECIMAL = r"(-?[1-9][0-9]*(\.[0-9]*[1-9])?|-?0\.[0-9]*[1-9]|0)"
"""A regular expression for the texts in which Decimals are stored, but for the number of their digits."""

_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_FORMS = {
    PropertyType.BYTES: _BASE64,
    PropertyType.BINARY: _BASE64,
    PropertyType.DATE_TIME: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z"),
    PropertyType.DATE: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    PropertyType.GUID: re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    PropertyType.DECIMAL: re.compile(CANONICAL_DECIMAL),
}
"""The texts in which values of other types than a text are stored."""


def same_value(left: Value, right: Value) -> bool:
    """Whether two values are equal, and of one type.

    ``True`` is not ``1``, and ``1`` of an Int32 is not ``1.0`` of a Double; ``-0.0`` and ``0.0`` are the same number.
    """
    return type(left) is type(right) and left == right


def shown(value: object, limit: int = 80) -> str:
    """Quotes a value for a message, on one line of at most `limit` characters, escaped."""
    text = value if isinstance(value, str) else str(value)
    return f'"{escaped(text[:limit])}"' + ("…" if len(text) > limit else "")


def escaped(text: str) -> str:
    """Returns a text on one line, with characters escaped that control a terminal or cannot be seen."""
    return text if is_visible(text) else "".join(map(_escaped, text))


def is_visible(text: str) -> bool:
    """Whether a text has no character that controls a terminal, changes the direction of text or cannot be seen."""
    return text.isprintable() and (text.isascii() or _UNSEEN.search(text) is None)


_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
"""Fillers, joiners and blanks that count as letters, marks or signs. What `str.isprintable` denies is unseen too."""


def _escaped(char: str) -> str:
    if is_visible(char):
        return char
    if ord(char) < 0x100:
        return f"\\x{ord(char):02x}"
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
