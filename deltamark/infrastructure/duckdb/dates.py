"""SQL that reads instants: ISO 8601, file times, and the date patterns of .NET."""

from __future__ import annotations

import re

from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_ZONE = r"(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])"
_ISO = f"{_DAY}([T ]{_TIME}{_ZONE}?)?"
_MICROSECONDS_FROM_1601 = 11_644_473_600_000_000

_FIELDS = {
    "yyyy": ("year", "[0-9]{4}"),
    "yy": ("short_year", "[0-9]{2}"),
    "MM": ("month", "[0-9]{2}"),
    "M": ("month", "[0-9]{1,2}"),
    "dd": ("day", "[0-9]{2}"),
    "d": ("day", "[0-9]{1,2}"),
    "HH": ("hour", "[0-9]{2}"),
    "H": ("hour", "[0-9]{1,2}"),
    "hh": ("short_hour", "(?:0[1-9]|1[0-2])"),
    "h": ("short_hour", "(?:0?[1-9]|1[0-2])"),
    "mm": ("minute", "[0-9]{2}"),
    "m": ("minute", "[0-9]{1,2}"),
    "ss": ("second", "[0-9]{2}"),
    "s": ("second", "[0-9]{1,2}"),
    "tt": ("half", "[AaPp][Mm]"),
    **{"f" * digits: ("fraction", f"[0-9]{{{digits}}}") for digits in range(1, 7)},
}
PATTERN_TOKENS = re.compile(r"'([^']*)'|\\(.)|(y+|M+|d+|H+|h+|m+|s+|f+|t+)|([A-Za-z])|(.)", re.DOTALL)
"""Quoted text, an escaped character, a field, another letter, any other character."""


def iso_instant(cell: str) -> str:
    """SQL for an ISO 8601 date, or date and time with ``T`` or a blank between.

    Without a zone it is UTC.

    NULL if the text is no such date, or not in the years 0001 to 9999 of UTC.
    """
    zone = rf"regexp_extract({cell}, ':.*([+-][0-9]{{2}}):?[0-9]{{2}}$', 1)"
    minutes = rf"regexp_extract({cell}, ':.*[+-][0-9]{{2}}:?([0-9]{{2}})$', 1)"
    local = rf"try_cast(regexp_replace({cell}, '(:.*?)(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$', '\1') as timestamp)"
    offset = (
        f"case when {zone} = '' then 0 "
        f"else 60 * {zone}::integer + case when {zone} like '-%' then -1 else 1 end * {minutes}::integer end"
    )
    instant = canonical_instant(f"({local} - to_minutes({offset}))")
    return f"case when regexp_full_match({cell}, '{_ISO}') then {instant} end"


def filetime(cell: str) -> str:
    """SQL for a count of 100 ns since 1601-01-01 UTC, as Active Directory writes it.

    It is rounded down to microseconds.
    """
    ticks = f"try_cast({cell} as bigint)"
    instant = f"make_timestamp({ticks} // 10 - {_MICROSECONDS_FROM_1601})"
    return f"case when regexp_full_match({cell}, '[0-9]+') then {canonical_instant(instant)} end"


def patterned_instant(cell: str, pattern: str, where: Location) -> str:
    """SQL for a date in UTC that is written like `pattern`, such as ``yyyy-MM-dd HH:mm:ss``.

    A year of two digits is in 1950 to 2049. Literal are: text in single quotes, a character after a backslash, ``T``,
    ``Z``, and all characters that are not letters.

    :raises SourceError: if letters have no meaning, or year, month or day is missing.
    """
    expression, names = parse_pattern(pattern, where)
    listed = ", ".join(f"'{name}'" for name in names)
    parts = f"regexp_extract({cell}, '^(?:{expression})$', [{listed}])"
    clock = _clock(parts, names)
    iso_text = (
        f"({_year(parts, names)} || '-' || {_two(parts, 'month')} || '-' || {_two(parts, 'day')} || 'T' || {clock})"
    )
    instant = canonical_instant(f"try_cast({iso_text} as timestamp)")
    return (
        f"case when regexp_full_match({cell}, '{expression}') and regexp_full_match({iso_text}, '{_DAY}T{_TIME}') "
        f"then {instant} end"
    )


def parse_pattern(pattern: str, where: Location) -> tuple[str, list[str]]:
    """A pattern as a regular expression, and the names of its groups.

    Its quotes are doubled for an SQL text.

    The names are year or short_year, month, day, hour, or short_hour and half, minute, second, fraction.

    :raises SourceError: if letters have no meaning, or year, month or day is missing.
    """
    expression, names = _expression(pattern, where)
    if not {"month", "day"} <= set(names) or not {"year", "short_year"} & set(names):
        raise _not_understood(pattern, "it must say year, month and day", where)
    if ("short_hour" in names) != ("half" in names):
        raise _not_understood(pattern, "hh and tt belong together; HH counts to 23", where)
    return expression, names


def canonical_instant(instant: str) -> str:
    """SQL for the canonical text of a timestamp in UTC.

    NULL if it is not in the years 0001 to 9999.

    Repeats `instant`, which may be long, as rarely as possible, because a query is planned anew for every extract.
    """
    text = f"replace(strftime({instant}, '%Y-%m-%dT%H:%M:%S.%f'), '.000000', '') || 'Z'"
    return f"case when year({instant}) between 1 and 9999 then {text} end"


def _expression(pattern: str, where: Location) -> tuple[str, list[str]]:
    parts: list[str] = []
    names: list[str] = []
    for token in PATTERN_TOKENS.finditer(pattern):
        quoted, escaped, field, letter, other = token.groups()
        if field is not None:
            if field not in _FIELDS:
                raise _not_understood(pattern, f"{field} has no meaning", where)
            name, expression = _FIELDS[field]
            if name in names:
                raise _not_understood(pattern, f"it says the {name.removeprefix('short_')} twice", where)
            names.append(name)
            parts.append(f"({expression})")
            continue
        if letter is not None and letter not in "TZ":
            raise _not_understood(pattern, f"{letter} has no meaning", where)
        plain = next(text for text in (quoted, escaped, letter, other) if text is not None)
        parts.append(re.escape(plain).replace("'", "''"))
    return "".join(parts), names


def _year(parts: str, names: list[str]) -> str:
    if "year" in names:
        return f"{parts}.year"
    return f"(case when {parts}.short_year < '50' then '20' else '19' end || {parts}.short_year)"


def _clock(parts: str, names: list[str]) -> str:
    hour = _two(parts, "hour") if "hour" in names else "'00'"
    if "short_hour" in names:
        shift = f"case when lower({parts}.half) = 'pm' then 12 else 0 end"
        hour = f"lpad(({parts}.short_hour::integer % 12 + {shift})::varchar, 2, '0')"
    minute = _two(parts, "minute") if "minute" in names else "'00'"
    second = _two(parts, "second") if "second" in names else "'00'"
    fraction = f" || '.' || {parts}.fraction" if "fraction" in names else ""
    return f"{hour} || ':' || {minute} || ':' || {second}{fraction}"


def _two(parts: str, name: str) -> str:
    return f"lpad({parts}.{name}, 2, '0')"


def _not_understood(pattern: str, problem: str, where: Location) -> SourceError:
    return SourceError(
        where,
        f"the mapping's Format cannot be understood: {problem}",
        value=pattern,
        advice="Say 1601date, or something like yyyy-MM-dd HH:mm:ss.",
    )
