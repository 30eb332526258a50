"""The types and formats that values may have, by what they look like, and which of them is proposed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product

from attrs import evolve, frozen

from deltamark.domain.configuration.date_formats import FILE_TIME, DateField, parse_date_format
from deltamark.domain.configuration.value_formats import AS_IT_IS, ValueFormat
from deltamark.domain.messages import how_many
from deltamark.domain.proposal.names import is_code, is_date_name, is_flag_name
from deltamark.domain.proposal.profile import ColumnProfile, Reading, TriedReading
from deltamark.domain.values import DATES, PropertyType, shown

NULL_WORDS = (
    "n/a",
    "N/A",
    "#N/A",
    "NULL",
    "null",
    "(null)",
    "None",
    "none",
    "nil",
    "NaN",
    "nan",
    "-",
    "--",
    "?",
    r"\N",
)
"""Words that mean nothing in a column whose other values have a type."""

NULL_WORDS_OF_TEXTS = ("NULL", "(null)", "#N/A", r"\N")
"""Those that mean nothing in a column of texts too."""

_WORDS = (
    ("yes", "no"), ("y", "n"), ("t", "f"), ("on", "off"), ("ja", "nein"), ("j", "n"), ("wahr", "falsch"),
    ("oui", "non"), ("o", "n"), ("vrai", "faux"), ("si", "no"), ("sí", "no"), ("sì", "no"), ("sim", "não"),
    ("tak", "nie"), ("ano", "ne"), ("igen", "nem"), ("da", "nu"), ("да", "нет"), ("x", ""),
    ("active", "inactive"), ("enabled", "disabled"),
)  # fmt: skip
_DAYS = (
    "dd.MM.yyyy", "d.M.yyyy", "dd/MM/yyyy", "MM/dd/yyyy", "d/M/yyyy", "M/d/yyyy", "dd-MM-yyyy", "MM-dd-yyyy",
    "d-M-yyyy", "yyyy/MM/dd", "yyyy/M/d", "yyyy.MM.dd", "dd.MM.yy", "dd/MM/yy", "MM/dd/yy", "d.M.yy", "d/M/yy",
    "M/d/yy", "dd-MMM-yyyy", "d-MMM-yyyy", "dd-MMM-yy", "dd MMM yyyy", "d MMM yyyy", "MMM dd, yyyy", "MMM d, yyyy",
)  # fmt: skip
_TIMES = ("", " HH:mm", " HH:mm:ss", " H:mm", " H:mm:ss", " h:mm tt", " h:mm:ss tt", " HH:mm:ss.fff")
_SIGNS = {
    "yyyy": r"\d{4}", "yy": r"\d{2}", "MMM": r"[A-Za-z]{3,9}\.?", "MM": r"\d{2}", "M": r"\d{1,2}", "dd": r"\d{2}",
    "d": r"\d{1,2}", "HH": r"\d{2}", "H": r"\d{1,2}", "h": r"\d{1,2}", "mm": r"\d{2}", "ss": r"\d{2}", "fff": r"\d{3}",
    "tt": r"[AaPp]\.?[Mm]\.?",
}  # fmt: skip

_WHOLE = re.compile(r"[+-]?\d+")
_PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?|\d{14}(\.\d+)?Z|\d{8}T\d{4,6}Z?")
_BASIC = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_FILE_TIME = re.compile(r"1[0-3]\d{16}|0|9223372036854775807")
_GUID = re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")
_GROUPED = {
    (",", "."): re.compile(r"[+-]?\d{1,3}(\.\d{3})*(,\d*)?|[+-]?\d+,\d*"),
    (".", ","): re.compile(r"[+-]?\d{1,3}(,\d{3})*(\.\d*)?|[+-]?\d+\.\d*"),
    (",", " "): re.compile(r"[+-]?\d{1,3}([\s\u00a0\u202f]\d{3})*(,\d*)?|[+-]?\d+,\d*"),
    (".", "'"): re.compile(r"[+-]?\d{1,3}(['\u2019]\d{3})*(\.\d*)?|[+-]?\d+\.\d*"),
    (",", None): re.compile(r"[+-]?\d+(,\d*)?"),
}
_LIKELY = 0.9
_MOST_EXCEPTIONS = 0.02


def candidates(name: str, sample: Sequence[str]) -> list[Reading]:
    """The readings that most of some values allow by their look, the likeliest first; texts are not among them.

    :param name: of the column.
    """
    values = [value for value in sample if value not in NULL_WORDS]
    if not values:
        return []
    return list(dict.fromkeys(_candidates(name, values)))


def _candidates(name: str, values: Sequence[str]) -> Iterator[Reading]:
    yield from _booleans(name, values)
    if _most(values, _GUID):
        yield Reading(kind=PropertyType.GUID)
    yield from _dates(name, values)
    if is_code(name) or any(_has_leading_zero(value) for value in values):
        return
    if _most(values, _WHOLE):
        yield Reading(kind=PropertyType.INT32)
        yield Reading(kind=PropertyType.INT64)
    if _most(values, _PLAIN):
        yield Reading(kind=PropertyType.DECIMAL)
        yield Reading(kind=PropertyType.DOUBLE)
        return
    for (point, group), pattern in _GROUPED.items():
        if _most(values, pattern):
            written = ValueFormat(decimal_separator=point, thousands_separator=group)
            yield Reading(kind=PropertyType.DECIMAL, written=written)


def _booleans(name: str, values: Sequence[str]) -> Iterator[Reading]:
    words = {value.lower() for value in values}
    if words <= {"true", "false"} or (words == {"0", "1"} and is_flag_name(name)):
        yield Reading(kind=PropertyType.BOOL)
    for true, false in _WORDS:
        if words == {true, false}:
            yield Reading(
                kind=PropertyType.BOOL, written=ValueFormat(true_values=(true,), false_values=(false,) if false else ())
            )


def _dates(name: str, values: Sequence[str]) -> Iterator[Reading]:
    formats: list[str | None] = []
    if _most(values, _ISO) or (_most(values, _BASIC) and (is_date_name(name) or len(values) > 2)):
        formats.append(None)
    if _most(values, _FILE_TIME) and any(len(value) == 18 for value in values):
        formats.append(FILE_TIME)
    if any(not value.isdigit() for value in values):
        formats += [text for text, pattern in _date_patterns() if _most(values, pattern)]
    for text in formats:
        written = AS_IT_IS if text is None else ValueFormat(format=text)
        has_time = text is not None and (text == FILE_TIME or "H" in text or "h" in text)
        if not has_time:
            yield Reading(kind=PropertyType.DATE, written=written)
        if text is None or has_time:
            yield Reading(kind=PropertyType.DATE_TIME, written=written)


@cache
def _date_patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((day + time, _look(day + time)) for time, day in product(_TIMES, _DAYS))


def _look(text: str) -> re.Pattern[str]:
    parts = parse_date_format(text).parts
    return re.compile(
        "".join(
            _SIGNS[part.sign] if isinstance(part, DateField) else r"\s+" if part == " " else re.escape(part)
            for part in parts
        )
    )


def _most(values: Sequence[str], pattern: re.Pattern[str]) -> bool:
    return sum(pattern.fullmatch(value) is not None for value in values) >= _LIKELY * len(values)


def _has_leading_zero(value: str) -> bool:
    digits = value.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()


@frozen(kw_only=True)
class Choice:
    """The reading that is proposed for a column.

    :param why: what was guessed, as a clause; empty where the values leave no doubt.
    :param is_unsure: whether a person must look at it.
    """

    reading: Reading
    why: str = ""
    is_unsure: bool = False


def chosen_reading(column: ColumnProfile, month_first: bool | None) -> Choice:
    """The reading of a column: the first that every value allows, or else text.

    :param month_first: whether other columns have the month before the day; None if they do not show it.
    """
    whole = [tried.reading for tried in column.readings if tried.unreadable == 0 and column.filled_but_null_words]
    if not whole:
        return _text(column)
    reading = whole[0]
    rivals = [other for other in whole if reading.kind in DATES and _is_rival(reading, other)]
    choice = Choice(reading=reading)
    if rivals:
        choice = _between(reading, rivals, month_first)
    elif reading.kind is PropertyType.DECIMAL and _may_be_grouped(column, reading):
        sign = reading.written.thousands_separator
        choice = Choice(
            reading=reading,
            why=f'"{sign}" is taken to separate thousands, as in {shown(column.sample[0])}',
            is_unsure=True,
        )
    if column.null_words:
        words = "|".join(column.null_words)
        written = evolve(choice.reading.written, null_values=column.null_words)
        why = f"{words} is taken to mean no value"
        choice = evolve(
            choice,
            reading=evolve(choice.reading, written=written),
            why=f"{choice.why}; {why}" if choice.why else why,
        )
    return choice


def _text(column: ColumnProfile) -> Choice:
    nothing = tuple(word for word in column.null_words if word in NULL_WORDS_OF_TEXTS)
    written = ValueFormat(null_values=nothing, trim=column.padded > 0)
    reasons = []
    if nothing:
        reasons.append(f"{'|'.join(nothing)} is taken to mean no value")
    if column.padded:
        reasons.append(f"{how_many(column.padded, 'value')} with blanks around")
    near = _nearly(column)
    if near is not None:
        kind, form = near.reading.kind.label, near.reading.written.format
        reasons.append(
            f"all but {how_many(near.unreadable, 'value')} could be {kind}{f' {form}' if form else ''}, but line "
            f"{near.line} has {shown(near.example, 30)}: kept as text"
        )
    return Choice(reading=Reading(written=written), why="; ".join(reasons), is_unsure=near is not None)


def _nearly(column: ColumnProfile) -> TriedReading | None:
    """The reading that all but a few values allow."""
    count = column.filled_but_null_words
    near = [
        tried for tried in column.readings if 0 < tried.unreadable <= max(1, _MOST_EXCEPTIONS * count) and count > 4
    ]
    return min(near, key=lambda tried: tried.unreadable, default=None)


def _is_rival(reading: Reading, other: Reading) -> bool:
    """Whether two formats are the same but for the order of day and month."""
    forms = [str(one.written.format) for one in (reading, other)]
    return other.kind is reading.kind and _is_month_first(forms[0]) != _is_month_first(forms[1])


def _is_month_first(text: str) -> bool:
    return text.startswith("M")


def _between(reading: Reading, rivals: Sequence[Reading], month_first: bool | None) -> Choice:
    options = [reading, *rivals]
    if month_first is not None:
        fitting = [option for option in options if _is_month_first(str(option.written.format)) == month_first]
        which = "month" if month_first else "day"
        if fitting:
            return Choice(reading=fitting[0], why=f"the {which} first, as in other columns")
    day_first = next(option for option in options if not _is_month_first(str(option.written.format)))
    other = next(option for option in options if option is not day_first)
    return Choice(
        reading=day_first,
        why=f"{day_first.written.format} and {other.written.format} both fit every value; day before month is taken",
        is_unsure=True,
    )


def shows_month_first(columns: Iterable[ColumnProfile]) -> bool | None:
    """Whether columns with dates have the month before the day; None if none shows it, or if they differ."""
    shown_orders = set()
    for column in columns:
        whole = [tried.reading for tried in column.readings if tried.unreadable == 0]
        forms = [str(reading.written.format) for reading in whole if reading.kind in DATES and reading.written.format]
        numeric = {_is_month_first(form) for form in forms if "MMM" not in form and not form.startswith("yyyy")}
        if len(numeric) == 1 and any("/" in form or "-" in form for form in forms):
            shown_orders |= numeric
    return shown_orders.pop() if len(shown_orders) == 1 else None


def _may_be_grouped(column: ColumnProfile, reading: Reading) -> bool:
    """Whether a sign that is taken to separate thousands might be the decimal one."""
    sign, point = reading.written.thousands_separator, reading.written.decimal_separator
    if sign not in (",", ".") or any(point in value for value in column.sample):
        return False
    return all(value.count(sign) <= 1 for value in column.sample)
