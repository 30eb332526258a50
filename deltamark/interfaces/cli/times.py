"""Times as people read and write them: always with their zone, and exact enough to be given back as a moment."""

from __future__ import annotations

import re
from contextvars import ContextVar
from datetime import UTC, date, datetime, time, timedelta

from deltamark.interfaces.cli.rendering import Column

_FRACTION = re.compile(r"[.,](\d+)")
_DIGITS = 6
"""Digits of the fraction of a second that are stored: microseconds."""

_is_utc: ContextVar[bool] = ContextVar("whether times are shown in UTC", default=False)


def show_in_utc(is_asked: bool) -> None:
    """Shows times in UTC from now on, or else in the zone of this machine: that of TZ, or of the system."""
    _is_utc.set(is_asked)


def shown_time(at: datetime | str | None, timespec: str = "microseconds") -> str:
    """A time in ISO 8601 with its zone, in one word; empty for None.

    Two moments of a store never look the same, also where the clocks are set back: each has its offset.

    :param at: a time with its zone.
    :param timespec: as that of `datetime.isoformat`.
    """
    if at is None:
        return ""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    zoned = moment.astimezone(UTC if _is_utc.get() else None)
    return zoned.isoformat(timespec=timespec).replace("+00:00", "Z")


def time_column(name: str, title: str | None = None) -> Column:
    """The column of a table for a time of the documents."""
    return Column(title or name, lambda document: shown_time(document.get(name)))


def written_moment(text: str) -> datetime:
    """The moment that a text means, which names a time in ISO 8601.

    A time means the end of what it names: without a fraction, of its second; with one, of its last digit. So a time
    that was cut off when it was shown includes the change that it was shown for.

    :raises ValueError: if it is no time.
    """
    moment = datetime.fromisoformat(text)
    fraction = _FRACTION.search(text)
    digits = len(fraction.group(1)) if fraction else 0
    return moment + timedelta(microseconds=10 ** (_DIGITS - digits) - 1 if digits < _DIGITS else 0)


def end_of_day(day: date | None) -> datetime:
    """The end of a day in the zone in which times are shown; None is yesterday. Of the present day, the present time.

    :raises OverflowError: for a day at the end of the calendar.
    """
    zone = UTC if _is_utc.get() else None
    now = datetime.now(UTC).astimezone(zone)
    day = now.date() - timedelta(days=1) if day is None else day
    midnight = datetime.combine(day + timedelta(days=1), time())
    following = midnight.replace(tzinfo=UTC) if zone else midnight.astimezone()
    return now if day == now.date() else following - timedelta(microseconds=1)


def with_a_zone(moment: datetime) -> list[str]:
    """A time without a zone, as it may be meant: in UTC, and in the zone of this machine where that is another one."""
    candidates = [moment.replace(tzinfo=UTC), moment.astimezone(), moment.replace(fold=1).astimezone()]
    return list(dict.fromkeys(candidate.isoformat().replace("+00:00", "Z") for candidate in candidates))
