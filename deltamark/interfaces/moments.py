"""Moments as people write them: on the command line, in addresses and in forms."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import RunMoment, When
from deltamark.domain.values import shown

LAST_RUN = "run:last"
YESTERDAY = "yesterday"
_RUN = re.compile(r"run:([1-9][0-9]{0,17})\Z")
_POSITION = re.compile(r"[0-9]{1,18}\Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_FRACTION = re.compile(r"[.,](\d+)")
_DIGITS = 6
"""Digits of the fraction of a second that are stored: microseconds."""


def moment_named(text: str, *, zone: tzinfo | None = UTC, is_zone_meant: bool = False) -> When:
    """The moment that a text names: a position, a time, a day, `yesterday`, `run:N` or `run:last`.

    A time without a fraction means the end of its second, a day its end.

    :param zone: that of days; None for the zone of this machine.
    :param is_zone_meant: whether a time without a zone is of it, too; otherwise it is refused.
    :raises UsageError: if it names none.
    """
    if run := _RUN.match(text):
        return RunMoment(int(run[1]))
    if text == LAST_RUN:
        return RunMoment(None)
    if _POSITION.match(text):
        return int(text)
    if text == YESTERDAY or _DAY.match(text):
        try:
            return end_of_day(None if text == YESTERDAY else date.fromisoformat(text), zone)
        except (ValueError, OverflowError):
            raise UsageError(f"{shown(text)} is no day. Write one that was, such as 2026-11-24.") from None
    try:
        moment = written_moment(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{shown(text)} is no moment. Write a position (42), a time (2026-11-24T08:15:30Z), a day "
            "(2026-11-24, yesterday) or the end of a run (run:7, run:last)."
        ) from None
    if moment.tzinfo is not None:
        return moment
    if is_zone_meant:
        return moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()
    utc, *local = _with_a_zone(datetime.fromisoformat(text))
    here = f", or {' or '.join(local)} for the time of this machine" if local and zone is None else ""
    raise UsageError(f"{shown(text)} has no time zone. Write {utc} for UTC{here}.")


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


def end_of_day(day: date | None, zone: tzinfo | None) -> datetime:
    """The end of a day in a zone, or in that of this machine; None is yesterday. Of the present day, the present time.

    :raises OverflowError: for a day at the end of the calendar.
    """
    now = datetime.now(UTC).astimezone(zone)
    day = now.date() - timedelta(days=1) if day is None else day
    midnight = datetime.combine(day + timedelta(days=1), time())
    following = midnight.replace(tzinfo=zone) if zone else midnight.astimezone()
    return now if day == now.date() else following - timedelta(microseconds=1)


def _with_a_zone(moment: datetime) -> list[str]:
    """A time without a zone, as it may be meant: in UTC, and in the zone of this machine where that is another one."""
    candidates = [moment.replace(tzinfo=UTC), moment.astimezone(), moment.replace(fold=1).astimezone()]
    return list(dict.fromkeys(candidate.isoformat().replace("+00:00", "Z") for candidate in candidates))
