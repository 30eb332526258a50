"""The formats of dates in extracts: date patterns like those of .NET, and formats with a name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

FILE_TIME = "1601date"
"""A count of 100 nanoseconds since 1601, as Active Directory writes it."""

GENERALIZED_TIME = "GeneralizedTime"
"""What LDAP calls so (RFC 4517, 3.3.13), in all its spellings."""

NAMED_FORMATS = (FILE_TIME, GENERALIZED_TIME)

_FIELDS: Mapping[str, str] = {
    "yyyy": "year",
    "yy": "short_year",
    "MMMM": "month_name",
    "MMM": "month_name",
    "MM": "month",
    "M": "month",
    "dd": "day",
    "d": "day",
    "HH": "hour",
    "H": "hour",
    "hh": "short_hour",
    "h": "short_hour",
    "mm": "minute",
    "m": "minute",
    "ss": "second",
    "s": "second",
    "tt": "half",
    **{"f" * digits: "fraction" for digits in range(1, 10)},
    "zzz": "offset",
    "zz": "offset",
    "z": "offset",
    "K": "offset",
}
"""Sign -> what it says."""

PATTERN_TOKENS = re.compile(r"'([^']*)'|\\(.)|(y+|M+|d+|H+|h+|m+|s+|f+|t+|z+|K)|([A-Za-z])|(.)", re.DOTALL)
"""Quoted text, an escaped character, a field, another letter, any other character."""

_SAME: Mapping[str, str] = {"short_year": "year", "month_name": "month", "short_hour": "hour"}

_STRFTIME: Mapping[str, str] = {
    "%Y": "yyyy",
    "%y": "yy",
    "%m": "MM",
    "%d": "dd",
    "%H": "HH",
    "%I": "hh",
    "%M": "mm",
    "%S": "ss",
    "%p": "tt",
    "%b": "MMM",
    "%B": "MMMM",
    "%f": "ffffff",
    "%z": "zzz",
}
_ORACLE = (("YYYY", "yyyy"), ("YY", "yy"), ("HH24", "HH"), ("MI", "mm"), ("MON", "MMM"), ("DD", "dd"), ("SS", "ss"))


class InvalidDateFormat(ValueError):
    """A `Format` with which no date can be read.

    :ivar reason: the reason, as the end of a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@frozen
class DateField:
    """A part of a date in a pattern.

    :param sign: as written, such as ``yyyy``.
    :param name: year or short_year, month or month_name, day, hour, or short_hour and half, minute, second, fraction,
        offset.
    """

    sign: str
    name: str


@frozen
class DateFormat:
    """A format in which dates are written.

    :param text: as the mapping states it.
    :param parts: the fields of a pattern and the texts between them; none for a format with a name.
    """

    text: str
    parts: tuple[DateField | str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the fields say, in order."""
        return tuple(part.name for part in self.parts if isinstance(part, DateField))


def parse_date_format(text: str) -> DateFormat:
    """Reads the `Format` of a date.

    Literal are: text in single quotes, a character after a backslash, ``T``, ``Z``, and all characters that are not
    letters.

    :raises InvalidDateFormat: if letters have no meaning, a part is there twice, or year, month or day is missing.
    """
    if text in NAMED_FORMATS:
        return DateFormat(text)
    parts: list[DateField | str] = []
    for token in PATTERN_TOKENS.finditer(text):
        quoted, escaped, sign, letter, other = token.groups()
        if sign is not None:
            if sign not in _FIELDS:
                raise _invalid(text, f"{sign} has no meaning")
            parts.append(DateField(sign, _FIELDS[sign]))
        elif letter is not None and letter not in "TZ":
            raise _invalid(text, f"{letter} has no meaning")
        else:
            parts.append(next(plain for plain in (quoted, escaped, letter, other) if plain is not None))
    result = DateFormat(text, tuple(parts))
    _check(result)
    return result


def _check(date_format: DateFormat) -> None:
    text, names = date_format.text, date_format.names
    said: set[str] = set()
    for name in names:
        meaning = _SAME.get(name, name)
        if meaning in said:
            raise _invalid(text, f"it says the {meaning} twice")
        said.add(meaning)
    if not {"year", "month", "day"} <= said:
        minutes = "; mm is the minute, MM the month" if "minute" in said and "month" not in said else ""
        raise _invalid(text, f"it must say year, month and day{minutes}")
    if ("short_hour" in names) != ("half" in names):
        raise _invalid(text, "hh and tt belong together; HH counts to 23")


def _invalid(text: str, problem: str) -> InvalidDateFormat:
    suggestion = _suggestion(text)
    return InvalidDateFormat(problem + (f"; did you mean {suggestion}?" if suggestion else ""))


def _suggestion(text: str) -> str | None:
    """What a format in the spelling of another program probably means."""
    named = next((name for name in NAMED_FORMATS if name.lower() == text.strip().lower()), None)
    if named:
        return named
    if "%" in text:
        return _valid(re.sub("%.", lambda code: _STRFTIME.get(code.group(), code.group()), text), text)
    if re.search("[DY]", text):
        renamed = text
        for sign, meaning in _ORACLE:
            renamed = renamed.replace(sign, meaning)
        return _valid(renamed, text) or _valid(_month_before_day(renamed), text)
    return _valid(_month_before_day(text), text)


def _month_before_day(text: str) -> str:
    """The pattern with ``mm`` as the month where it stands between day and year, not after an hour."""
    return re.sub(r"(?<![Hh][:.])(?<![Hh])\bm{1,4}\b(?![:.]s)", lambda sign: sign.group().upper(), text, count=1)


def _valid(text: str, original: str) -> str | None:
    if text == original:
        return None
    parts = [
        _FIELDS.get(token.group(3) or "") for token in PATTERN_TOKENS.finditer(text) if token.group(3) or token.group(4)
    ]
    names = {_SAME.get(name, name) for name in parts if name}
    return text if None not in parts and {"year", "month", "day"} <= names else None
