"""The port to schedules: what a store keeps of them, so that every due time is handled once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class Schedule:
    """How far the schedule of a job was handled.

    :param timing: the expression and the time zone that this is true of; with others the job is seen anew.
    :param handled_to: every time up to there at which the job was due was handled, or was before it was first seen.
    :param run: the run that was started last by the schedule; None before the first.
    """

    job: str
    timing: str
    handled_to: datetime
    run: int | None = None


class ScheduleReading(Protocol):
    """What can be asked about schedules."""

    def schedules(self) -> list[Schedule]:
        """All that a scheduler has seen, by job."""
        ...


class ScheduleWriting(Protocol):
    """What schedulers put down."""

    def put_schedule(self, schedule: Schedule) -> None:
        """Takes the place of what was known of that job."""
        ...

    def forget_schedules(self, jobs: Sequence[str]) -> None:
        """Forgets these jobs: should they come again, they are seen for the first time."""
        ...
