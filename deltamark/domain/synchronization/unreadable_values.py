"""Why a value of an extract cannot be read: what is wrong with it, and what is expected."""

from __future__ import annotations

import base64
import binascii
import re
from calendar import monthrange
from collections.abc import Mapping

from deltamark.domain.configuration.date_formats import (
    FILE_TIME,
    GENERALIZED_TIME,
    DateField,
    DateFormat,
    InvalidDateFormat,
    parse_date_format,
)
from deltamark.domain.configuration.value_formats import TEXTS, ValueFormat
from deltamark.domain.values import DATES, INTEGER_RANGES, MOST_DIGITS, NUMBERS, PropertyType

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_ISO_EXPECTED = "yyyy-MM-dd, alone or with a time as in 2026-11-24T08:15:30Z"
_DAY_EXPECTED = "yyyy-MM-dd, alone or with the time 00:00"
_GENERALIZED_EXPECTED = "yyyyMMddHHmmss with Z or an offset, as in 20261124081530Z"
_SHORTENED = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?[eE]\+?[0-9]+")


def reason_unreadable(text: str, kind: PropertyType, written: ValueFormat) -> str:
    """The reason why a text is not a value of a type, with what is expected.

    :param written: how the mapping says that values are written.
    """
    value = text.strip()
    if kind in DATES:
        return _date_reason(value, kind, written)
    if kind in NUMBERS:
        return _number_reason(value, kind, written)
    if kind is PropertyType.BOOL:
        return _boolean_reason(written)
    if kind is PropertyType.GUID:
        return _guid_reason(value)
    if kind in TEXTS:
        return "the value is not a security identifier; expected is S-1-… or its bytes in base64 or hexadecimal"
    return f"the value is not {kind.described}"


def _date_reason(value: str, kind: PropertyType, written: ValueFormat) -> str:
    date_format = _parsed(written.format)
    expected = _expected(date_format, kind)
    if written.format == FILE_TIME:
        return _file_time_reason(value, kind)
    if _SHORTENED.fullmatch(value):
        return f"{_LOST_DIGITS}; expected is {expected}"
    fields = _fields(value, date_format)
    if fields is None:
        instead = "" if date_format else ", or a Format of the mapping that says how it is written"
        return f"the date is not written as expected: {expected}{instead}"
    problem = _date_problem(fields, kind, date_format)
    if problem is None and kind is PropertyType.DATE:
        return f"{_HAS_TIME}; {_WITHOUT_TIME}"
    return f"{problem or 'the date is not written as expected'}; expected is {expected}"


def _parsed(text: str | None) -> DateFormat | None:
    try:
        return parse_date_format(text) if text else None
    except InvalidDateFormat:  # refused before any value is read
        return None


def _expected(date_format: DateFormat | None, kind: PropertyType) -> str:
    if date_format is None:
        return _DAY_EXPECTED if kind is PropertyType.DATE else _ISO_EXPECTED
    return _GENERALIZED_EXPECTED if date_format.text == GENERALIZED_TIME else date_format.text


_HAS_TIME = "the date has a time of day"
_WITHOUT_TIME = "a Date has none: declare the property as DateTime, or export the day alone"
_LOST_DIGITS = "the value is a shortened number, as spreadsheets write it: its last digits are lost"


def _file_time_reason(value: str, kind: PropertyType) -> str:
    expected = "expected are the digits of a count of 100 nanoseconds since 1601"
    if _SHORTENED.fullmatch(value):
        return f"{_LOST_DIGITS}; {expected}; format the column as text there"
    if re.fullmatch(r"-[0-9]+", value):
        return f"a file time is not negative; {expected}"
    if kind is PropertyType.DATE and re.fullmatch(r"[0-9]{1,19}(?:\.0*)?", value):
        return f"{_HAS_TIME}; {_WITHOUT_TIME}"
    return f"the value is not a file time; {expected}"


_ISO_FIELDS = re.compile(
    r"(?P<year>[0-9]+)-(?P<month>[0-9]+)-(?P<day>[0-9]+)"
    r"(?:[Tt\s]+(?P<hour>[0-9]+):(?P<minute>[0-9]+)(?::(?P<second>[0-9]+)(?:[.,](?P<fraction>[0-9]*))?)?"
    r"\s*(?P<offset>[Zz]|[+-][0-9:]*)?)?"
)
_BASIC_FIELDS = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    r"(?:[Tt]?(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})?(?P<second>[0-9]{2})?(?:[.,](?P<fraction>[0-9]*))?"
    r"(?P<offset>[Zz]|[+-][0-9:]*)?)?"
)


def _fields(value: str, date_format: DateFormat | None) -> Mapping[str, str] | None:
    """The parts of a date that is written about as expected, or None."""
    if date_format is None or not date_format.parts:
        is_count = value.isdigit() and len(value) not in (8, 12, 14)
        match = None if is_count else _BASIC_FIELDS.fullmatch(value)
        if match is None and date_format is None:
            match = _ISO_FIELDS.fullmatch(value)
    else:
        around = zip(("", *date_format.parts[:-1]), date_format.parts, (*date_format.parts[1:], ""), strict=True)
        pattern = "".join(_loosely(part, joined=_is_digits(one) or _is_digits(other)) for one, part, other in around)
        match = re.fullmatch(pattern, value)
    return None if match is None else {name: text for name, text in match.groupdict().items() if text}


def _is_digits(part: DateField | str) -> bool:
    """Whether a part is written in digits, or in words that may hold some."""
    return isinstance(part, DateField) and part.name not in ("month_name", "offset")


def _loosely(part: DateField | str, *, joined: bool) -> str:
    """What a part looks like, with any number of digits.

    :param joined: whether other digits may precede or follow it. They can only be told apart by their number.
    """
    if isinstance(part, str):
        return r"\s+" if part.isspace() else re.escape(part)
    signs = {"month_name": r"[^\W\d_]+\.?", "half": r"[\w.]+", "offset": r"(?:[Zz]|[+-][0-9:]+)?"}
    is_counted = len(part.sign) > 2 if part.name == "fraction" else joined and len(part.sign) > 1
    digits = f"[0-9]{{{len(part.sign)}}}" if is_counted else "[0-9]+?"
    return f"(?P<{part.name}>{signs.get(part.name, digits)})"


def _date_problem(fields: Mapping[str, str], kind: PropertyType, date_format: DateFormat | None) -> str | None:
    return _day_problem(fields) or _time_problem(fields) or _digits_problem(fields, kind, date_format)


def _day_problem(fields: Mapping[str, str]) -> str | None:
    year = int(fields.get("year", "2000"))
    if year > 9999:
        return "the date is beyond the year 9999"
    if year == 0:
        return "there is no year 0"
    if "month_name" in fields:
        name = fields["month_name"].rstrip(".").lower()
        numbers = [number for number, month in enumerate(_MONTHS, 1) if month.lower()[:3] == name[:3]]
        if not numbers:
            return f"no month is called {fields['month_name']} in English"
        month = numbers[0]
    else:
        month = int(fields["month"])
    day = int(fields["day"])
    if not 1 <= month <= 12:
        swapped = "; day and month may be exchanged" if 12 < month <= 31 and 1 <= day <= 12 else ""
        return f"there is no month {month}{swapped}"
    if len(fields.get("year", "2000")) < 4:
        return None
    days = monthrange(_full_year(fields, year), month)[1]
    if not 1 <= day <= days:
        return f"there is no such day: {_MONTHS[month - 1]} {_full_year(fields, year)} has {days} days"
    return None


def _full_year(fields: Mapping[str, str], year: int) -> int:
    if "short_year" not in fields:
        return year
    short = int(fields["short_year"][-2:])
    return short + (2000 if short < 50 else 1900)


def _time_problem(fields: Mapping[str, str]) -> str | None:
    hour, minute, second = (int(fields.get(name, "0")) for name in ("hour", "minute", "second"))
    if "short_hour" in fields and not 1 <= int(fields["short_hour"]) <= 12:
        return "there is no such time of day: with AM or PM the hour is 1 to 12"
    if hour > 24 or (hour == 24 and (minute or second)):
        return f"there is no such time of day: the hour is {hour}"
    if minute > 59:
        return f"there is no such time of day: the minute is {minute}"
    if second > 59:
        return f"there is no such time of day: the second is {second}"
    return None


def _digits_problem(fields: Mapping[str, str], kind: PropertyType, date_format: DateFormat | None) -> str | None:
    """What keeps a day that exists from being read."""
    if len(fields.get("fraction", "")) > 9:
        return "the second has more than 9 digits after its point"
    if date_format is not None:
        for part in date_format.parts:
            if isinstance(part, DateField) and part.name in fields and part.name not in _WORDS:
                digits = len(fields[part.name])
                if len(part.sign) > 1 and digits != len(part.sign):
                    return f"the {part.name.removeprefix('short_')} has {_digits(digits)}, not {len(part.sign)}"
    else:
        for name, expected in (("year", 4), ("month", 2), ("day", 2), ("hour", 2), ("minute", 2), ("second", 2)):
            if name in fields and len(fields[name]) != expected:
                return f"the {name} has {_digits(len(fields[name]))}, not {expected}"
    if fields.get("offset", "Z") not in ("Z", "z"):
        year = int(fields.get("year", "2000"))
        if kind is PropertyType.DATE and _OFFSET.fullmatch(fields["offset"]):
            return None
        if year in (1, 9999) and _OFFSET.fullmatch(fields["offset"]):
            return f"in UTC the date is {'before the year 1' if year == 1 else 'beyond the year 9999'}"
        return f"{fields['offset']} is not an offset from UTC such as +01:00"
    return None


_WORDS = ("month_name", "half", "offset", "fraction")
_OFFSET = re.compile(r"[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2}")


def _digits(count: int) -> str:
    return "1 digit" if count == 1 else f"{count} digits"


def _number_reason(value: str, kind: PropertyType, written: ValueFormat) -> str:
    expected = kind.described
    if kind not in INTEGER_RANGES:
        example = f"12{written.decimal_separator}5"
        expected = f"a number with a decimal {_SIGNS[written.decimal_separator]}, such as {example}"
    problem = _separator_problem(value, written)
    if problem:
        return f"{problem}; expected is {expected}"
    whole = re.fullmatch(r"([+-]?[0-9]+)(?:[.,]0*)?", value)
    if kind in INTEGER_RANGES and whole:
        low, high = INTEGER_RANGES[kind]
        if len(whole.group(1)) > 30 or not low <= int(whole.group(1)) <= high:
            return f"the number does not fit into {kind.label}; expected is {expected}"
    if kind is PropertyType.DECIMAL and _is_number(value, written):
        return f"the number has more than {MOST_DIGITS} digits; expected is {expected}"
    if kind in INTEGER_RANGES and re.fullmatch(r"[+-]?[0-9]*[.,][0-9]+", value):
        return f"the number has a fraction; expected is {expected}"
    if _is_number(value, written):
        what = "has an exponent" if kind in INTEGER_RANGES else f"is too large for {kind.label}"
        return f"the number {what}; expected is {expected}"
    return f"the value is not a number; expected is {expected}"


def _is_number(value: str, written: ValueFormat) -> bool:
    """Whether a text is a number as the mapping says, perhaps with an exponent."""
    point, group = re.escape(written.decimal_separator), written.thousands_separator
    grouped = "" if group is None else rf"[0-9]{{1,3}}(?:{_GROUP_SIGNS.get(group, re.escape(group))}[0-9]{{3}})+|"
    number = rf"[+-]?(?:(?:{grouped}[0-9]+)(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    return re.fullmatch(number, value) is not None


_GROUP_SIGNS = {" ": r"\s", "'": "['\u2019]"}
_SIGNS = {",": "comma", ".": "point"}


def _separator_problem(value: str, written: ValueFormat) -> str | None:
    """What is said where only the separators of a number differ from those of the mapping."""
    separators = set(re.sub("[0-9+-]", "", value))
    if not separators or not re.fullmatch(
        r"[+-]?[0-9]{1,3}(?:[.,'’\s][0-9]{3})*(?:[.,][0-9]+)?|[+-]?[0-9]+[.,][0-9]+", value
    ):
        return None
    point, group = written.decimal_separator, written.thousands_separator
    other = "," if point == "." else "."
    if separators == {other} and value.count(other) == 1 and group != other:
        return f'the number has a decimal {_SIGNS[other]}, which DecimalSeparator="{other}" on the mapping would read'
    groups = next((sign for sign in value if not sign.isdigit() and sign not in "+-"), "")
    if groups and groups != group and groups != point:
        sign = " " if groups.isspace() else groups
        return f'the number has thousands separators, which ThousandsSeparator="{sign}" on the mapping would read'
    return None


def _boolean_reason(written: ValueFormat) -> str:
    words = ", ".join(("true", "1", *written.true_values, "false", "0", *written.false_values))
    instead = (
        ""
        if written.true_values and written.false_values
        else (", or what TrueValues and FalseValues of the mapping say")
    )
    return f"the value is not a Boolean; expected is one of {words}{instead}"


def _guid_reason(value: str) -> str:
    expected = (
        "expected is a Guid such as 6f9619ff-8b86-d011-b42d-00cf4fc964ff, or its 16 bytes in base64 or hexadecimal"
    )
    size = _bytes_of(value)
    if size is not None:
        return f"the value has {size} bytes, and a Guid has 16; {expected}"
    return f"the value is not a Guid; {expected}"


def _bytes_of(value: str) -> int | None:
    """How many bytes a binary value has, or None if it is not written as one."""
    digits = re.fullmatch(r"(?:[Xx]'|0[xX])([0-9A-Fa-f]+)'?|((?:\\[0-9A-Fa-f]{2})+)", value)
    if digits:
        return len((digits.group(1) or digits.group(2)).replace("\\", "")) // 2
    if not re.fullmatch(r"[A-Za-z0-9+/]{8,}={0,2}", value) or len(value) % 4:
        return None
    try:
        return len(base64.b64decode(value, validate=True))
    except binascii.Error:
        return None
