"""What a scheduler tells while it is at work."""

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
    `TROUBLE`: something went wrong, and the scheduler goes on.
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
    """Something that a scheduler tells.

    :param due_at: when the job is due, or was.
    :param late: whether that time had been missed.
    :param state: how the run ended.
    :param words: what a person should know.
    """

    kind: NoticeKind
    at: datetime
    job: str | None = None
    due_at: datetime | None = None
    late: bool = False
    run: int | None = None
    state: TaskState | None = None
    words: str = ""


Told = Callable[[Notice], None]
"""Is told what a scheduler does."""


class Telling:
    """Gives notices their time; tells of trouble once as long as it stays the same."""

    def __init__(self, told: Told, clock: Clock) -> None:
        self._told = told
        self._clock = clock
        self._troubles: dict[str | None, str] = {}

    def tell(
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
        """Tells something."""
        at = self._clock()
        self._told(Notice(kind=kind, at=at, job=job, due_at=due_at, late=late, run=run, state=state, words=words))

    def trouble(
        self,
        words: str,
        job: str | None = None,
        due_at: datetime | None = None,
        *,
        kind: NoticeKind = NoticeKind.TROUBLE,
    ) -> None:
        """Tells of trouble with a job, or with none in particular."""
        if self._troubles.get(job) != words:
            self._troubles[job] = words
            self.tell(kind, job, due_at, words=words)

    def trouble_is_over(self, job: str | None = None) -> None:
        """The next trouble is news, also if it is the same."""
        self._troubles.pop(job, None)
