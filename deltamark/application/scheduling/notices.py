"""Notices: what a scheduler reports while it is at work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum

from attrs import frozen

from deltamark.application.ports.store import Clock
from deltamark.domain.configuration.jobs import TaskState


class NoticeKind(Enum):
    """What a notice is about.

    `LEADS`: it starts jobs; `WAITS`: another scheduler does. `NEXT`: when a job is due. `STARTED`, `ENDED`: a run.
    `REFUSED`: a job that is due cannot start yet, and is tried again. `RELOADED`: the configuration was loaded again.
    `TROUBLE`: something went wrong, and the scheduler continues.
    """

    LEADS = "leads"
    WAITS = "waits"
    NEXT = "next"
    STARTED = "started"
    ENDED = "ended"
    REFUSED = "refused"
    RELOADED = "reloaded"
    TROUBLE = "trouble"


@frozen(kw_only=True)
class Notice:
    """Something that a scheduler reports.

    :param due_at: when the job is due, or was.
    :param late: whether that time was missed.
    :param state: how the run ended.
    :param words: the message for a person.
    """

    kind: NoticeKind
    at: datetime
    job: str | None = None
    due_at: datetime | None = None
    late: bool = False
    run: int | None = None
    state: TaskState | None = None
    words: str = ""


ReceiveNotice = Callable[[Notice], None]
"""Receives the notices of a scheduler."""


class Notices:
    """Gives notices their time, and reports the same trouble only once until it is over."""

    def __init__(self, receive: ReceiveNotice, clock: Clock) -> None:
        self._receive = receive
        self._clock = clock
        self._troubles: dict[str | None, str] = {}

    def add(
        self,
        kind: NoticeKind,
        job: str | None = None,
        due_at: datetime | None = None,
        *,
        late: bool = False,
        run: int | None = None,
        state: TaskState | None = None,
        words: str = "",
    ) -> None:
        """Reports something."""
        at = self._clock()
        self._receive(Notice(kind=kind, at=at, job=job, due_at=due_at, late=late, run=run, state=state, words=words))

    def add_trouble(
        self,
        words: str,
        job: str | None = None,
        due_at: datetime | None = None,
        *,
        kind: NoticeKind = NoticeKind.TROUBLE,
    ) -> None:
        """Reports trouble with a job, or with none in particular, unless it is known."""
        if self._troubles.get(job) != words:
            self._troubles[job] = words
            self.add(kind, job, due_at, words=words)

    def clear_trouble(self, job: str | None = None) -> None:
        """Forgets the last trouble: the next one is reported, even if it is the same."""
        self._troubles.pop(job, None)
