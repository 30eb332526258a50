"""Times as people read and write them: always with their zone, and exact enough to be given back as a moment."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo

from deltamark.interfaces.cli.rendering import Column

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
    zoned = moment.astimezone(zone_of_times())
    return zoned.isoformat(timespec=timespec).replace("+00:00", "Z")


def time_column(name: str, title: str | None = None) -> Column:
    """The column of a table for a time of the documents."""
    return Column(title or name, lambda document: shown_time(document.get(name)))


def zone_of_times() -> tzinfo | None:
    """The zone in which times are shown; None for that of this machine."""
    return UTC if _is_utc.get() else None
