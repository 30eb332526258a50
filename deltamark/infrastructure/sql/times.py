"""Marks that lie before others by an overlap, where a database writes times as ISO 8601 does."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.domain.configuration.packages import overlap_of
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.reader import Mark

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:([ T])(\d\d:\d\d(?::\d\d)?)(\.\d+)?(Z|[+-]\d\d:?\d\d)?)?\Z")


def earlier_mark(mark: Mark, overlap: str, *, is_number: bool, is_time: bool) -> Mark:
    """A value that lies before another one, in the same notation.

    :raises SourceUnreachable: if the overlap does not fit it.
    """
    step = overlap_of(overlap)
    if isinstance(step, int) and is_number:
        return Mark(text=str(int(mark.text) - step), type=mark.type)
    if isinstance(step, timedelta) and is_time:
        match = _TIME.match(mark.text)
        if match is not None:
            return Mark(text=_before(match, step), type=mark.type)
    raise SourceUnreachable(
        f"the watermark is {shown(mark.text)}, of which no Overlap {shown(overlap)} can be taken",
        "Write a time, such as 00:10:00, where it is a time as ISO 8601, and a number where it is a number.",
    )


def is_time(text: str) -> bool:
    """Whether a text is a day with a time of day, in ISO 8601."""
    match = _TIME.match(text)
    return match is not None and match[2] is not None


def _before(match: re.Match[str], step: timedelta) -> str:
    """A time in the notation of another one, which lies before that; that itself where none is."""
    day, separator, time, fraction, zone = match.groups()
    try:
        if separator is None:
            return (date.fromisoformat(day) - timedelta(days=-(-step // timedelta(days=1)))).isoformat()
        moment = datetime.fromisoformat(f"{day}T{time}") - step
    except (ValueError, OverflowError):  # 0000-00-00, and what is near it
        return match[0]
    return f"{moment.date()}{separator}{moment.time().isoformat()[: len(time)]}{fraction or ''}{zone or ''}"
