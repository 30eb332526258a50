"""How the values of a column are written, and how the values of a property are compared."""

from __future__ import annotations

from enum import Enum

from attrs import evolve, field, frozen

from deltamark.domain.configuration.date_formats import InvalidDateFormat, parse_date_format
from deltamark.domain.fields import as_tuple
from deltamark.domain.values import DATES, NUMBERS, PropertyType, shown

SID = "SID"
"""The `Format` of texts that are security identifiers of Windows, also where they are written as binary data."""

TEXTS = (PropertyType.STRING, PropertyType.FOREIGN_KEY)


class ByteOrder(Enum):
    """The order of the bytes of a Guid that is written as binary data.

    Text with dashes has no such order.
    """

    LITTLE_ENDIAN = "LittleEndian"
    """As Active Directory, Windows and .NET store it: the first three groups are reversed."""
    BIG_ENDIAN = "BigEndian"
    """As RFC 9562 says: in the order of the text."""


class Comparison(Enum):
    """When two values of a property count as the same."""

    EXACT = "Exact"
    IGNORE_CASE = "IgnoreCase"
    """Without regard to letter case, the width of letters, and how letters with accents are composed."""
    DIRECTORY = "Directory"
    """Likewise, and as a directory compares names: without regard to blanks around separators and how characters are
    escaped; several blanks count as one."""


class CellType(Enum):
    """The types that a file may state for a column, whatever its mapping says about texts."""

    NUMBER = "number"
    DATE = "date"


@frozen(kw_only=True)
class ValueFormat:
    """How the values of a column are written.

    :param format: of dates, see `date_formats`; None for ISO 8601. Of texts: `SID`.
    :param decimal_separator: a point or a comma.
    :param thousands_separator: between groups of three digits; None if there is none. A blank stands for any white
        space.
    :param true_values: words for true besides ``true`` and ``1``, in any letter case; `false_values` likewise.
    :param null_values: texts that mean no value, compared exactly, without white space around them.
    :param trim: whether white space around texts is left out. Around values of other types it always is.
    """

    format: str | None = None
    decimal_separator: str = "."
    thousands_separator: str | None = None
    true_values: tuple[str, ...] = field(converter=as_tuple, default=())
    false_values: tuple[str, ...] = field(converter=as_tuple, default=())
    null_values: tuple[str, ...] = field(converter=as_tuple, default=())
    trim: bool = False
    byte_order: ByteOrder = ByteOrder.LITTLE_ENDIAN

    def in_cells_of(self, cells: CellType | None) -> ValueFormat:
        """The format for cells that the file itself says to be numbers or dates: these are not written otherwise."""
        if cells is CellType.NUMBER:
            return evolve(self, decimal_separator=".", thousands_separator=None)
        return self if cells is None else evolve(self, format=None)


AS_IT_IS = ValueFormat()
"""How values are written where a mapping says nothing."""


DECIMAL_SEPARATORS = (".", ",")
THOUSANDS_SEPARATORS = (",", ".", "'", " ")
THOUSANDS = "one of , . ' and a blank"


def format_problem(kind: PropertyType, text: str) -> str | None:
    """What is wrong with the `Format` of a property of a type, or None."""
    if kind in DATES:
        try:
            parse_date_format(text)
        except InvalidDateFormat as error:
            return f"cannot be understood: {error.reason}"
        return None
    if kind in TEXTS:
        return None if text == SID else f"has no effect on a property of type {kind.label}; only {SID} has one there"
    return f"has no effect on a property of type {kind.label}"


def option_problems(kind: PropertyType, written: ValueFormat, comparison: Comparison) -> list[str]:
    """What is wrong with the other options of a property of a type, each as a sentence about its attribute."""
    problems = []
    is_number = kind in NUMBERS
    if written.decimal_separator not in DECIMAL_SEPARATORS:
        problems.append(f"DecimalSeparator {shown(written.decimal_separator)} is not one of . and ,")
    if written.thousands_separator not in (None, *THOUSANDS_SEPARATORS):
        problems.append(f"ThousandsSeparator {shown(written.thousands_separator)} is not {THOUSANDS}")
    if written.decimal_separator != "." and not is_number:
        problems.append(f"DecimalSeparator has no effect on a property of type {kind.label}")
    if written.thousands_separator is not None and not is_number:
        problems.append(f"ThousandsSeparator has no effect on a property of type {kind.label}")
    if is_number and written.decimal_separator == written.thousands_separator:
        problems.append("DecimalSeparator and ThousandsSeparator are the same; say how both are written")
    if (written.true_values or written.false_values) and kind is not PropertyType.BOOL:
        problems.append(f"TrueValues and FalseValues have no effect on a property of type {kind.label}")
    true_words = {"true", "1"} | {word.lower() for word in written.true_values}
    false_words = {"false", "0"} | {word.lower() for word in written.false_values}
    problems += [
        f'"{word}" would be both true and false; remove it from TrueValues or FalseValues'
        for word in sorted(true_words & false_words)
    ]
    if written.byte_order is not ByteOrder.LITTLE_ENDIAN and kind is not PropertyType.GUID:
        problems.append(f"ByteOrder has no effect on a property of type {kind.label}")
    if comparison is not Comparison.EXACT and kind not in TEXTS:
        problems.append(f"Comparison has no effect on a property of type {kind.label}")
    if written.trim and kind not in TEXTS:
        problems.append(
            f"Trim has no effect on a property of type {kind.label}, around whose values blanks never count"
        )
    return problems
