"""The shape of a cron expression: which fields it has and which values they may take.

Six fields (second minute hour day month weekday) or five (without seconds). When it fires next is said by `cron`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from deltamark.domain.values import shown

LONGEST = 200
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
ANY_DAY = ("*", "?")

PART = re.compile(
    r"(?P<first>\*|\?|[0-9]{1,3}|[A-Za-z]{3})(?:-(?P<last>[0-9]{1,3}|[A-Za-z]{3}))?(?:/(?P<step>[0-9]{1,3}))?\Z"
)
LAST_DAY = re.compile(r"LW?\Z")
LAST_OR_NTH_WEEKDAY = re.compile(r"(?:[0-7]L|(?:[0-7]|[A-Z]{3})#[1-5])\Z")


@frozen
class _Field:
    name: str
    lowest: int
    highest: int
    names: Mapping[str, int] = {}
    special: re.Pattern[str] | None = None


FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31, special=LAST_DAY),
    _Field("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    _Field("weekday", 0, 7, {name: number for number, name in enumerate(WEEKDAYS)}, LAST_OR_NTH_WEEKDAY),
)


class _Wrong(ValueError):
    pass


def shape_problem(expression: str) -> str | None:
    """What is wrong with the shape of a cron expression, as the end of a sentence that begins with it, or None."""
    if len(expression) > LONGEST:
        return f"is longer than {LONGEST} characters"
    try:
        _values(expression)
    except _Wrong as wrong:
        return str(wrong)
    return None


def fires_more_than_hourly(expression: str) -> bool:
    """Whether an expression of the right shape names more than one moment of an hour."""
    values = _values(expression)
    return len(values["second"]) * len(values["minute"]) > 1


def _values(expression: str) -> dict[str, set[int]]:
    fields = expression.split()
    if len(fields) not in (5, 6):
        raise _Wrong(
            f"has {len(fields)} fields; it needs six (second minute hour day month weekday), or five without the second"
        )
    if len(fields) == 5:
        fields = ["0", *fields]
    return {
        field.name: set().union(*(_of_part(part, field) for part in text.split(",")))
        for field, text in zip(FIELDS, fields, strict=True)
    }


def _of_part(part: str, field: _Field) -> set[int]:
    if field.special is not None and field.special.match(part.upper()):
        return _of_special(part, field)
    match = PART.match(part)
    if match is None or (match["first"] in ANY_DAY and match["last"]):
        raise _Wrong(f"has {shown(part)} in the field of the {field.name}, which is not understood")
    if match["first"] == "?" and field.name not in ("day", "weekday"):
        raise _Wrong(f'has "?" in the field of the {field.name}; it stands for a day or a weekday only')
    step = int(match["step"] or 1)
    if step == 0 or step > field.highest:
        raise _Wrong(f"has the step {match['step']} in the field of the {field.name}")
    if match["first"] in ANY_DAY:
        return set(range(field.lowest, field.highest + 1, step))
    first = _number(match["first"], field)
    open_end = field.highest if match["step"] else first
    last = _number(match["last"], field) if match["last"] else open_end
    if first > last:
        raise _Wrong(f"has {shown(part)} in the field of the {field.name}, which runs backwards")
    return set(range(first, last + 1, step))


def _of_special(part: str, field: _Field) -> set[int]:
    """`L` and `#` depend on the month: the numbers in them are checked, the days stay open."""
    for number in re.findall(r"[0-9]+|[A-Za-z]{3}", part.partition("#")[0]):
        _number(number, field)
    return set()


def _number(text: str, field: _Field) -> int:
    number = int(text) if text.isdigit() else field.names.get(text.upper())
    if number is None:
        raise _Wrong(f"has {shown(text)} in the field of the {field.name}, which is not a {field.name}")
    if not field.lowest <= number <= field.highest:
        raise _Wrong(f"has {number} in the field of the {field.name}; it may be {field.lowest} to {field.highest}")
    return number
