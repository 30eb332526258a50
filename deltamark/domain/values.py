"""Property types and the values of properties.

A value is a JSON scalar. Types that JSON does not have are stored as text in a canonical form, so that equal values
are equal texts: a date as ISO 8601 in UTC, a Guid in lower case, binary data as base64. Numbers are stored as
numbers, those of a Double with a fraction or an exponent: ``3435`` in an extract is stored as ``3435.0``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | None
"""The value of a property: text, number, Boolean or nothing (null)."""

Values: TypeAlias = Mapping[str, Value]
"""Property identifier -> value. A property without a value is absent, never null."""


class PropertyType(Enum):
    """The types of properties, with the numbers that configurations may use for them."""

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

    def __init__(self, number: int, label: str, described: str) -> None:
        self.number = number
        self.label = label
        self.described = described
        """The type as part of a sentence: '"12x" is not {described}'."""

    @classmethod
    def named(cls, text: str) -> PropertyType | None:
        """The type with that name or number, or None."""
        for member in cls:
            if text in (member.label, str(member.number)):
                return member
        return None


INTEGER_RANGES: Mapping[PropertyType, tuple[int, int]] = {
    PropertyType.BYTE: (0, 2**8 - 1),
    PropertyType.INT16: (-(2**15), 2**15 - 1),
    PropertyType.INT32: (-(2**31), 2**31 - 1),
    PropertyType.INT64: (-(2**63), 2**63 - 1),
}
"""The least and the greatest value of the types of whole numbers."""


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
