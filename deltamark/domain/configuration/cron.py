"""Cron expressions: what they may say, and when they fire, also where clocks are changed.

An expression has six fields (second minute hour day month weekday) or five (without the second). `cronsim` reads the
fields on a clock that is never changed. What a change of the clock means is decided here, by the rule of Debian's
cron, for five fields and for six:

- A time of day that does not exist fires once, right after the gap; one that exists twice fires once, at the first.
- An expression whose minute or hour begins with ``*`` follows the time that really passes: it does not fire in the
  gap, and fires in both passes of an hour that exists twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from attrs import frozen
from cronsim import CronSim, CronSimError

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

_SECOND = timedelta(seconds=1)
_SOME_HOURS = timedelta(hours=6)
"""No zone changes its clock twice in that time."""

_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)


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


class _InvalidField(ValueError):
    pass


def cron_problem(expression: str) -> str | None:
    """What is wrong with a cron expression, as the end of '"expression" …', or None."""
    if len(expression) > LONGEST:
        return f"is longer than {LONGEST} characters"
    try:
        _values(expression)
    except _InvalidField as error:
        return str(error)
    try:
        fires = next_firing(expression, _SOME_DAY, UTC) is not None
    except CronSimError:  # raised at once where no month has such a day
        fires = False
    return None if fires else "never fires: there is no such day in fifty years"


def fires_more_than_hourly(expression: str) -> bool:
    """Whether a valid expression names more than one moment of an hour."""
    values = _values(expression)
    return len(values["second"]) * len(values["minute"]) > 1


def firings_a_minute(expression: str) -> int:
    """How many seconds of a minute a valid expression names."""
    return len(_values(expression)["second"])


def fires_each_minute_of_some_hours(expression: str) -> bool:
    """Whether a valid expression names each minute, but not each hour."""
    values = _values(expression)
    return len(values["minute"]) == 60 and len(values["hour"]) < 24


def next_firing(expression: str, after: datetime, zone: tzinfo) -> datetime | None:
    """The first firing later than a time, in UTC, or None if there is none in fifty years.

    A day must match both the day field and the weekday field.

    :param expression: one without a `cron_problem`.
    :param after: a time in any zone.
    :param zone: the zone of the clock that the expression refers to.
    """
    after = after.astimezone(UTC).replace(microsecond=0)
    minute, hour = expression.split()[-5:-3]
    if minute.startswith("*") or hour.startswith("*"):
        return _next_by_elapsed_time(expression, after, zone)
    return _next_by_time_of_day(expression, after, zone)


def _next_by_time_of_day(expression: str, after: datetime, zone: tzinfo) -> datetime | None:
    for wall in _firings(expression, _wall(after, zone)):
        instant = _instant(wall, zone)
        if instant > after:
            return instant
    return None


def _next_by_elapsed_time(expression: str, after: datetime, zone: tzinfo) -> datetime | None:
    """Goes from one change of the clock to the next: in between, the clock is regular."""
    at, wall = after, _wall(after, zone)
    firing = next(_firings(expression, wall), None)
    while firing is not None:
        due = at + (firing - wall)
        change = _first_change(at, due, zone)
        if change is None:
            return due
        at, wall = change, _wall(change, zone)
        firing = next(_firings(expression, wall - _SECOND), None)
    return None


def _firings(expression: str, wall: datetime) -> CronSim:
    """The firings after a time, on a clock that is never changed."""
    firings = CronSim(expression.replace("?", "*"), wall)
    firings.day_and = True
    return firings


def _wall(instant: datetime, zone: tzinfo) -> datetime:
    """What a clock shows at an instant."""
    return instant.astimezone(zone).replace(tzinfo=None)


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """When a clock first shows a time.

    For a time in a gap, when the clock skips it.
    """
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    gap = _wall(instant, zone) - wall
    return _change(instant - gap, instant, zone) if gap else instant


def _first_change(begin: datetime, end: datetime, zone: tzinfo) -> datetime | None:
    """The first instant in `begin` < instant <= `end` at which the clock was changed."""
    while begin < end:
        near = min(begin + _SOME_HOURS, end)
        if _offset(near, zone) != _offset(begin, zone):
            return _change(begin, near, zone)
        begin = near
    return None


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The instant between two at which the clock was changed."""
    offset = _offset(before, zone)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        before, after = (middle, after) if _offset(middle, zone) == offset else (before, middle)
    return after


def _offset(instant: datetime, zone: tzinfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _values(expression: str) -> dict[str, set[int]]:
    """The values that each field names.

    Empty for a field of days that depend on the month.
    """
    texts = expression.split()
    if len(texts) not in (5, 6):
        raise _InvalidField(
            f"has {len(texts)} fields; it needs six (second minute hour day month weekday), or five without the second"
        )
    if len(texts) == 5:
        texts = ["0", *texts]
    return {
        field.name: set().union(*(_values_of_part(part, field) for part in text.split(",")))
        for field, text in zip(FIELDS, texts, strict=True)
    }


def _values_of_part(part: str, field: _Field) -> set[int]:
    if field.special is not None and field.special.match(part.upper()):
        _check_special(part, field)
        return set()
    match = PART.match(part)
    if match is None or (match["first"] in ANY_DAY and match["last"]):
        raise _InvalidField(f"has {shown(part)} in the field of the {field.name}, which is not understood")
    if match["first"] == "?" and field.name not in ("day", "weekday"):
        raise _InvalidField(f'has "?" in the field of the {field.name}; it is allowed for the day and the weekday only')
    step = int(match["step"] or 1)
    if step == 0 or step > field.highest:
        raise _InvalidField(
            f"has the step {match['step']} in the field of the {field.name}; it must be 1 to {field.highest}"
        )
    if match["first"] in ANY_DAY:
        return set(range(field.lowest, field.highest + 1, step))
    first = _number(match["first"], field)
    open_end = field.highest if match["step"] else first
    last = _number(match["last"], field) if match["last"] else open_end
    if first > last:
        raise _InvalidField(f"has {shown(part)} in the field of the {field.name}, whose end is before its beginning")
    return set(range(first, last + 1, step))


def _check_special(part: str, field: _Field) -> None:
    """Checks the numbers in `L` and `#`.

    Which days they mean depends on the month.
    """
    for number in re.findall(r"[0-9]+|[A-Za-z]{3}", part.partition("#")[0]):
        _number(number, field)


def _number(text: str, field: _Field) -> int:
    number = int(text) if text.isdigit() else field.names.get(text.upper())
    if number is None:
        raise _InvalidField(f"has {shown(text)} in the field of the {field.name}, which is not a {field.name}")
    if not field.lowest <= number <= field.highest:
        raise _InvalidField(
            f"has {number} in the field of the {field.name}; it must be {field.lowest} to {field.highest}"
        )
    return number
