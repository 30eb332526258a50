"""When a job is due: the firings of its cron expression, also where clocks are changed.

The fields are read by `cronsim`, on a clock that is never changed; what a change of the clock means is decided here,
for five fields and for six alike, by the rule of Debian's cron. A time of day that does not exist fires once, right
after the gap; one that exists twice fires once, at the first. What follows the clock instead of naming a time of day
(its minute or hour begins with ``*``) goes by the time that really passes: nothing in the gap, twice where it is twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim, CronSimError

from deltamark.domain.configuration.cron_fields import shape_problem

_SECOND = timedelta(seconds=1)
_SOME_HOURS = timedelta(hours=6)
"""No zone changes its clock twice in that time."""

_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)


def cron_problem(expression: str) -> str | None:
    """What is wrong with a cron expression, as the end of a sentence that begins with it, or None."""
    problem = shape_problem(expression)
    if problem is not None:
        return problem
    try:
        fires = next_firing(expression, _SOME_DAY, UTC) is not None
    except CronSimError:  # the library knows at once that no month has such a day
        fires = False
    return None if fires else "never fires: there is no such day in fifty years"


def next_firing(expression: str, after: datetime, zone: tzinfo) -> datetime | None:
    """The first firing later than a time, in UTC; None where there is none in fifty years.

    A day must fit both the field of the day and that of the weekday.

    :param expression: one without a `cron_problem`.
    :param after: a time in any zone.
    :param zone: whose clock the expression speaks of.
    """
    after = after.astimezone(UTC).replace(microsecond=0)
    minute, hour = expression.split()[-5:-3]
    if minute.startswith("*") or hour.startswith("*"):
        return _by_passing_time(expression, after, zone)
    return _by_time_of_day(expression, after, zone)


def _by_time_of_day(expression: str, after: datetime, zone: tzinfo) -> datetime | None:
    for wall in _firings(expression, _wall(after, zone)):
        instant = _instant(wall, zone)
        if instant > after:
            return instant
    return None


def _by_passing_time(expression: str, after: datetime, zone: tzinfo) -> datetime | None:
    """Goes on from one change of the clock to the next; between them the clock shows the time that passes."""
    at, wall = after, _wall(after, zone)
    found = next(_firings(expression, wall), None)
    while found is not None:
        due = at + (found - wall)
        change = _first_change(at, due, zone)
        if change is None:
            return due
        at, wall = change, _wall(change, zone)
        found = next(_firings(expression, wall - _SECOND), None)
    return None


def _firings(expression: str, wall: datetime) -> CronSim:
    """The firings on a clock that is never changed, after a time that it shows."""
    firings = CronSim(expression.replace("?", "*"), wall)
    firings.day_and = True
    return firings


def _wall(instant: datetime, zone: tzinfo) -> datetime:
    """What a clock shows at an instant."""
    return instant.astimezone(zone).replace(tzinfo=None)


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """When a clock first shows a time; where it never does, when it jumps over it."""
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
