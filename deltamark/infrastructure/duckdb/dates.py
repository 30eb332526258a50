"""SQL that reads dates: ISO 8601, generalized time of LDAP, file times, and the date patterns of .NET.

A date is read as an instant, or as a day: the one that is written, whatever the offset. A day has no time, so NULL if
a time other than midnight is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from deltamark.domain.configuration.date_formats import DateField, DateFormat

_MICROSECONDS_FROM_1601 = 11_644_473_600_000_000
FIRST_FILE_TIME_AFTER_9999 = 2_650_467_744_000_000_000

_BLANK = r"[\s\p{Z}]"
"""Any kind of white space, in a regular expression."""

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOUR, _SIXTY = "(?:[01][0-9]|2[0-4])", "[0-5][0-9]"
_OFFSET_DIGITS = "[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
_FRACTION = "(?:[.,][0-9]{1,9})?"
_OFFSET = f"(?:[Zz]|{_OFFSET_DIGITS})"

_TIME = rf"{_HOUR}:{_SIXTY}(?::{_SIXTY}(?:\.[0-9]{{1,9}})?)?"
_WITHOUT_ZONE = f"{_DAY}(?:[T ]{_TIME})?"
_WITH_ZONE = f"{_DAY}[T ]{_TIME}(?:Z|{_OFFSET_DIGITS})"
"""ISO 8601 as most programs write it, and as DuckDB reads it."""

_BASIC = f"[0-9]{{8}}(?:[Tt]{_HOUR}{_SIXTY}(?:{_SIXTY}{_FRACTION})?{_OFFSET}?)?"
_EXTENDED = f"{_DAY}(?:[Tt]|{_BLANK}+){_HOUR}:{_SIXTY}(?::{_SIXTY}{_FRACTION})?(?:{_BLANK}*{_OFFSET})?"
_GENERALIZED_SECONDS = f"[0-9]{{8}}{_HOUR}(?:{_SIXTY}(?:{_SIXTY}{_FRACTION})?)?{_OFFSET}"
_OTHER_SPELLINGS = f"{_EXTENDED}|{_BASIC}|{_GENERALIZED_SECONDS}"

_GENERALIZED = f"[0-9]{{8}}{_HOUR}(?:{_SIXTY}(?:{_SIXTY})?)?{_FRACTION}{_OFFSET}"
_PARTS = (
    "^([0-9]{4})-?([0-9]{2})-?([0-9]{2})"
    f"(?:(?:[Tt]|{_BLANK}+)?([0-9]{{2}})(?::?([0-9]{{2}}))?(?::?([0-9]{{2}}))?(?:[.,]([0-9]+))?)?{_BLANK}*([Zz]|[+-].+)?$"
)
_PART_NAMES = ("year", "month", "day", "hour", "minute", "second", "fraction", "offset")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAME = (
    "(?i:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)\.?"
)

_EXPRESSIONS = {
    "yyyy": "[0-9]{4}",
    "yy": "[0-9]{2}",
    "MMMM": _MONTH_NAME,
    "MMM": _MONTH_NAME,
    "MM": "[0-9]{2}",
    "M": "[0-9]{1,2}",
    "dd": "[0-9]{2}",
    "d": "[0-9]{1,2}",
    "HH": "[0-9]{2}",
    "H": "[0-9]{1,2}",
    "hh": "(?:0[1-9]|1[0-2])",
    "h": "(?:0?[1-9]|1[0-2])",
    "mm": "[0-9]{2}",
    "m": "[0-9]{1,2}",
    "ss": "[0-9]{2}",
    "s": "[0-9]{1,2}",
    "tt": r"[AaPp]\.?[Mm]\.?",
    **{"f" * digits: f"[0-9]{{{digits}}}" for digits in range(1, 10)},
    "zzz": _OFFSET,
    "zz": _OFFSET,
    "z": r"(?:[Zz]|[+-][0-9]{1,2})",
    "K": f"{_OFFSET}?",
}
"""Sign of a pattern -> the regular expression of its values, without groups."""


def iso_instant(cell: str) -> str:
    """SQL for a date in ISO 8601 or generalized time.

    There may be one to nine digits of a second, after a point or comma, which are cut to microseconds; an hour 24 at
    the end of a day; and an offset with or without minutes. Without a zone it is UTC.

    NULL if the text is no such date, or not in the years 0001 to 9999 of UTC.
    """
    # Two spellings are read as they are, because that takes half the time.
    instant = (
        f"case when regexp_full_match({cell}, '{_WITHOUT_ZONE}') then try_cast({cell} as timestamp) "
        f"when regexp_full_match({cell}, '{_WITH_ZONE}') then {_zoned(cell)} "
        f"when regexp_full_match({cell}, '{_OTHER_SPELLINGS}') then {_zoned(_respelled(cell))} end"
    )
    return f"list_extract(list_transform([{instant}], lambda p: {canonical_instant('p')}), 1)"


def iso_day(cell: str) -> str:
    """SQL for the day of a date that `iso_instant` reads; NULL if it has a time other than midnight."""
    written = f"regexp_extract({_respelled(cell)}, '^.{{19}}(?:\\.[0-9]+)?')"
    instant = (
        f"case when regexp_full_match({cell}, '{_DAY}') then try_cast({cell} as timestamp) "
        f"when regexp_full_match({cell}, '{_OTHER_SPELLINGS}') then try_cast({written} as timestamp) end"
    )
    return f"list_extract(list_transform([{instant}], lambda p: {canonical_day('p')}), 1)"


def _zoned(text: str) -> str:
    return f"make_timestamp(epoch_us(try_cast({text} as timestamptz)))"


def _respelled(cell: str) -> str:
    """SQL for a date in another spelling as one with ``-``, ``:`` and an offset."""
    text = f"upper(replace({cell}, ',', '.'))"
    text = rf"regexp_replace({text}, '^([0-9]{{4}})-?([0-9]{{2}})-?([0-9]{{2}})(?:T|{_BLANK}+)?', '\1-\2-\3 ')"
    text = rf"regexp_replace({text}, '^(.{{11}})([0-9]{{2}}):?([0-9]{{2}})?:?([0-9]{{2}})?', '\1\2:\3:\4')"
    text = f"regexp_replace({text}, ' $', ' 00:00:00')"
    text = rf"regexp_replace(replace({text}, '::', ':00:'), ':([^0-9]|$)', ':00\1')"
    text = rf"regexp_replace({text}, '{_BLANK}+([Z+-])', '\1')"
    return rf"regexp_replace({text}, '^(.{{19}}(?:\.[0-9]+)?)$', '\1Z')"


def generalized_time(cell: str, *, is_day: bool = False) -> str:
    """SQL for a generalized time of LDAP, with or without minutes, seconds and a fraction of the last part.

    NULL if the text is none.
    """
    return _date_of_parts(cell, _GENERALIZED, _PARTS, _PART_NAMES, is_day=is_day)


def filetime(cell: str, *, is_day: bool = False) -> str:
    """SQL for a count of 100 ns since 1601-01-01 UTC, as Active Directory writes it.

    It is rounded down to microseconds.
    """
    ticks = f"try_cast(regexp_replace({cell}, '\\.0*$', '') as bigint)"
    instant = f"make_timestamp({ticks} // 10 - {_MICROSECONDS_FROM_1601})"
    canonical = canonical_day(instant) if is_day else canonical_instant(instant)
    return f"case when regexp_full_match({cell}, '[0-9]+(\\.0*)?') then {canonical} end"


def is_never(cell: str) -> str:
    """SQL for whether a file time means never: 0, or a count that leads beyond the year 9999."""
    digits = f"ltrim(regexp_extract({cell}, '^([0-9]+)(\\.0*)?$', 1), '0')"
    beyond = f"coalesce(try_cast({digits} as hugeint) >= {FIRST_FILE_TIME_AFTER_9999}, length({digits}) > 19)"
    return f"regexp_full_match({cell}, '0+(\\.0*)?') or (regexp_full_match({cell}, '[0-9]+(\\.0*)?') and {beyond})"


def patterned_date(cell: str, date_format: DateFormat, *, is_day: bool = False) -> str:
    """SQL for a date that is written in a pattern, such as ``yyyy-MM-dd HH:mm:ss``; in UTC if it has no offset.

    A year of two digits is in 1950 to 2049. Blanks in the pattern stand for white space of any kind and length.

    NULL if the text is not written so, or if there is no such date.
    """
    names = date_format.names
    expression = pattern_expression(date_format)
    return _date_of_parts(cell, expression, f"^(?:{expression})$", names, is_day=is_day)


def pattern_expression(date_format: DateFormat) -> str:
    """The regular expression of a pattern, with a group for each of its fields.

    Its quotes are doubled for an SQL text.
    """
    parts = []
    for part in date_format.parts:
        if isinstance(part, DateField):
            parts.append(f"({_EXPRESSIONS[part.sign]})")
        elif part.isspace():
            if parts[-1:] != [f"{_BLANK}+"]:
                parts.append(f"{_BLANK}+")
        else:
            parts.append(re.escape(part).replace("'", "''"))
    return "".join(parts)


def canonical_instant(instant: str) -> str:
    """SQL for the canonical text of a timestamp in UTC.

    NULL if it is not in the years 0001 to 9999.

    Repeats `instant`, which may be long, as rarely as possible, because a query is planned anew for every extract.
    """
    text = f"replace(strftime({instant}, '%Y-%m-%dT%H:%M:%S.%f'), '.000000', '') || 'Z'"
    return f"case when year({instant}) between 1 and 9999 then {text} end"


def canonical_day(instant: str) -> str:
    """SQL for the canonical text of a day.

    NULL if the timestamp is not its beginning, or not in the years 0001 to 9999.
    """
    is_day = f"year({instant}) between 1 and 9999 and {instant} = date_trunc('day', {instant})"
    return f"case when {is_day} then strftime({instant}, '%Y-%m-%d') end"


def _date_of_parts(cell: str, accepted: str, expression: str, names: Sequence[str], *, is_day: bool) -> str:
    """SQL for the canonical text of a date, from the groups of a regular expression.

    :param accepted: what the whole text must match.
    :param expression: matches the same texts, with a group for each of `names`.
    """
    listed = ", ".join(f"'{name}'" for name in names)
    parts = f"regexp_extract({cell}, '{expression}', [{listed}])"
    instant = f"list_transform([{parts}], lambda p: {_timestamp(names, is_day=is_day)})"
    text = canonical_day("p") if is_day else canonical_instant("p")
    canonical = f"list_extract(list_transform({instant}, lambda p: {text}), 1)"
    return f"case when regexp_full_match({cell}, '{accepted}') then {canonical} end"


def _timestamp(names: Sequence[str], *, is_day: bool) -> str:
    """SQL for the instant of a structure `p` with the parts of a date as texts, which may be empty.

    :param is_day: whether an offset does not matter.
    """

    def part(name: str) -> str:
        return f"coalesce(nullif(p.{name}, ''), '00')" if name in names else "'00'"

    second = part("second")
    if "fraction" in names:
        fraction = "left(p.fraction || '0', 6)"
        second += (
            f" || '.' || {fraction}"
            if names != _PART_NAMES
            else (f" || case when p.second = '' then '' else '.' || {fraction} end")
        )
    text = f"{_year(names)} || '-' || {_month(names)} || '-' || p.day || ' ' || {_hour(names, part('hour'))}"
    result = f"try_cast({text} || ':' || {part('minute')} || ':' || {second} as timestamp)"
    if names == _PART_NAMES:
        result = f"{result} + to_microseconds({_FRACTION_OF_MORE})"
    return f"({result} - to_minutes({_OFFSET_MINUTES}))" if "offset" in names and not is_day else result


_FRACTION_OF_MORE = (
    "case when p.fraction = '' or p.second <> '' then 0 else rpad(p.fraction, 9, '0')::bigint "
    "* case when p.minute = '' then 3600 else 60 end // 1000 end"
)
"""Microseconds of a fraction of an hour or a minute, where nothing smaller is written."""

_OFFSET_MINUTES = (
    "case when lower(p.offset) in ('', 'z') then 0 else case when p.offset like '-%' then -1 else 1 end * "
    "(60 * regexp_extract(p.offset, '^.([0-9]{1,2})', 1)::integer + "
    "coalesce(try_cast(regexp_extract(p.offset, '^.[0-9]{2}:?([0-9]{2})$', 1) as integer), 0)) end"
)


def _year(names: Sequence[str]) -> str:
    if "year" in names:
        return "p.year"
    return "case when p.short_year < '50' then '20' else '19' end || p.short_year"


def _month(names: Sequence[str]) -> str:
    if "month" in names:
        return "p.month"
    months = ", ".join(f"'{month}'" for month in _MONTHS)
    return f"list_position([{months}], lower(left(p.month_name, 3)))"


def _hour(names: Sequence[str], hour: str) -> str:
    if "short_hour" not in names:
        return hour
    return "(p.short_hour::integer % 12 + case when lower(p.half) like 'p%' then 12 else 0 end)"
