"""SQL for dates in the formats of .NET, in time zones with Windows or IANA names.

The zones are those of DuckDB (ICU). The Windows names are those of CLDR, as the package tzlocal has them.
"""

from __future__ import annotations

import re

from tzlocal.windows_tz import tz_win, win_tz

from deltamark.domain.configuration.date_formats import (
    PATTERN_TOKENS,
    DateFormat,
    InvalidDateFormat,
    parse_date_format,
)
from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import BLANKS, in_ascii
from deltamark.infrastructure.duckdb.dates import pattern_expression

LONGEST_PATTERN = 100
MOST_MINUTES = 100 * 366 * 24 * 60

_STRFTIME = {
    "yyyy": "%Y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "M": "%-m",
    "dddd": "%A",
    "ddd": "%a",
    "dd": "%d",
    "d": "%-d",
    "HH": "%H",
    "H": "%-H",
    "hh": "%I",
    "h": "%-I",
    "mm": "%M",
    "m": "%-M",
    "ss": "%S",
    "s": "%-S",
    "tt": "%p",
}


def time_zone(name: str) -> str:
    """The IANA name of a time zone.

    :param name: a Windows name ("Romance Standard Time") or an IANA name ("Europe/Paris").
    :raises ExpressionRefused: if there is no such zone.
    """
    if name in win_tz:
        return win_tz[name]
    if name in tz_win or name == "UTC":
        return name
    raise ExpressionRefused(f"names the time zone {shown(name)}, which does not exist{hint(name, _zones_like(name))}")


def _zones_like(name: str) -> list[str]:
    """The names to suggest: those of Windows contain blanks, those of IANA do not."""
    return list(win_tz) if " " in name.strip() else [zone for zone in tz_win if zone[:1] == name[:1].upper()]


def minute_count(text: str) -> int:
    """A number of minutes, which may be negative.

    :raises ExpressionRefused: if it is no whole number, or more than a hundred years.
    """
    if not re.fullmatch(r"[+-]?\d{1,9}", text.strip()) or abs(int(text)) > MOST_MINUTES:
        raise ExpressionRefused(f"adds {shown(text)} minutes; write a whole number up to {MOST_MINUTES}")
    return int(text)


def parse_instant(text: str, pattern: str, zone: str | None, minutes: int = 0) -> str:
    """SQL for the instant (UTC) of a text.

    NULL if the text is not written like the pattern, if there is no such date, or if it is not in the years 0001 to
    9999 of UTC. A local time that is skipped when clocks change is moved forward by as much; one that occurs twice is
    the second one, in standard time.

    :param zone: the IANA name of the zone of the text; None for UTC.
    :param minutes: are added to the instant.
    """
    date_format = _parse_pattern(pattern)
    names = date_format.names
    group = {name: rf"\{number}" for number, name in enumerate(names, 1)}
    year = group.get("year") or f"@{group['short_year']}"
    hour, half = (group["short_hour"], f" {group['half']}") if "half" in group else (group.get("hour", "00"), "")
    clock = ":".join((hour, group.get("minute", "00"), group.get("second", "00")))
    month, month_sign = (group["month"], "%m") if "month" in group else (group["month_name"], "%b")
    rewritten = f"{year}-{month}-{group['day']} {clock}.{group.get('fraction', '0')}{half}"
    # If nothing matches, the # stays in front of the text, which is then no date.
    expression = pattern_expression(date_format)
    sql = f"regexp_replace('#' || trim({text}, {in_ascii(BLANKS)}), '^#(?:{expression})$', '{rewritten}')"
    if "short_year" in group:
        sql = rf"regexp_replace(regexp_replace({sql}, '^@([0-4])', '20\1'), '^@([5-9])', '19\1')"
    if "half" in group:
        sql = rf"regexp_replace({sql}, '([AaPp])\.?([Mm])\.?$', '\1\2')"
    if month_sign == "%b":
        sql = rf"regexp_replace({sql}, '^([0-9]+-[A-Za-z]{{3}})[a-z.]*', '\1', 'i')"
    digits = f"regexp_replace({sql}, '(\\.[0-9]{{6}})[0-9]+', '\1')" if "fraction" in group else sql
    sql = f"try_strptime({digits}, '%Y-{month_sign}-%d {'%I' if half else '%H'}:%M:%S.%f{' %p' if half else ''}')"
    if zone is not None and zone != "UTC":
        sql = f"timezone('UTC', timezone({literal(zone)}, {sql}))"
    if minutes:
        sql = f"({sql} + to_minutes({minutes}))"
    return f"list_extract(list_filter([{sql}], lambda instant: year(instant) BETWEEN 1 AND 9999), 1)"


def _parse_pattern(pattern: str) -> DateFormat:
    _check_length(pattern)
    try:
        date_format = parse_date_format(pattern)
    except InvalidDateFormat as e:
        raise _invalid(pattern, e.reason) from e
    if not date_format.parts:
        raise _invalid(pattern, "it must say year, month and day")
    if "offset" in date_format.names:
        raise _invalid(pattern, "the time zone is a parameter of its own, so that z and K have no meaning")
    return date_format


def _invalid(pattern: str, problem: str) -> ExpressionRefused:
    return ExpressionRefused(
        f"writes dates as {shown(pattern)}, which cannot be understood: {problem}; "
        "write something like dd/MM/yyyy HH:mm"
    )


def _check_length(pattern: str) -> None:
    if len(pattern) > LONGEST_PATTERN:
        raise ExpressionRefused(f"holds a format of more than {LONGEST_PATTERN} characters")


def format_instant(instant: str, pattern: str, zone: str) -> str:
    """SQL for the text of an instant (UTC) in a zone.

    Names of months and days are English.

    :raises ExpressionRefused: if the pattern is invalid.
    """
    _check_length(pattern)
    local = instant if zone == "UTC" else f"timezone({literal(zone)}, timezone('UTC', {instant}))"
    parts, plain = [], ""
    for token in PATTERN_TOKENS.finditer(pattern):
        quoted, escaped, field, letter, other = token.groups()
        if field is not None and re.fullmatch("f{1,6}", field):
            parts += [*_formatted(local, plain), f"left(strftime({local}, '%f'), {len(field)})"]
            plain = ""
        elif field is not None:
            plain += _field(field, pattern)
        elif letter is not None and letter not in "TZ":
            raise _not_understood(letter, pattern)
        else:
            plain_text = next(text for text in (quoted, escaped, letter, other) if text is not None)
            plain += plain_text.replace("%", "%%")
    return f"({' || '.join([*parts, *_formatted(local, plain)]) or literal('')})"


def _formatted(local: str, pattern: str) -> list[str]:
    return [f"strftime({local}, {literal(pattern)})"] if pattern else []


def _field(field: str, pattern: str) -> str:
    if field not in _STRFTIME:
        raise _not_understood(field, pattern)
    return _STRFTIME[field]


def _not_understood(sign: str, pattern: str) -> ExpressionRefused:
    return _invalid(pattern, f"{sign} has no meaning")
