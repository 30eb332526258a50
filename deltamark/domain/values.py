"""Property types and the values that a resource holds.

A value is a JSON scalar. What JSON has no type for is kept as text in one canonical spelling, so that equal
values are equal texts: a date as ISO 8601 in UTC, a Guid in lower case, binary data as base64. Numbers are
numbers: ``3435`` and ``3435.0`` in a Double property are the same value.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | None
"""What a property holds: text, number, Boolean or nothing (null)."""

Values: TypeAlias = Mapping[str, Value]
"""Property identifier -> value. A property without a value is absent, never null."""


class PropertyType(Enum):
    """The types of a property, with the numbers that configurations may use instead of the names."""

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
        """The type in a sentence: '"12x" is not {described}'."""

    @classmethod
    def named(cls, text: str) -> PropertyType | None:
        """The type of that name or number, or None if there is none."""
        for member in cls:
            if text in (member.label, str(member.number)):
                return member
        return None


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are equal as typed values.

    ``True`` is not ``1``; ``1`` and ``1.0`` are the same number; ``-0.0`` and ``0.0`` too.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def shown(value: object, limit: int = 80) -> str:
    """A value as a message quotes it: one line, at most `limit` characters, control characters escaped."""
    text = value if isinstance(value, str) else str(value)
    return f'"{escaped(text[:limit])}"' + ("…" if len(text) > limit else "")


def escaped(text: str) -> str:
    """A text on one line, its control characters escaped."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"
