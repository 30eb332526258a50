"""A dead letter: a change that a sink refused for good, and what was decided about it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import evolve, frozen

from deltamark.domain.history.changes import Position


class LetterState(Enum):
    """What became of a change that a sink refused.

    ``STOPPING``: with it the sink said that it takes no more changes at all; ``RELEASED``: that was lifted, and its
    deliveries go on with this change.
    """

    OPEN = "open"
    STOPPING = "stopping"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    RELEASED = "released"


@frozen(kw_only=True)
class DeadLetter:
    """A change that a sink refused for good. Its values are in the log alone.

    :param part: for a gap, what is missing; empty for a change.
    :param refused_at: when the sink refused it first, UTC.
    :param tries: how often it was sent.
    :param problem: the last answer, a clause.
    :param decided_at: when it was delivered, dropped or released, UTC; None before.
    :param decided_by: who did that; empty before.
    :param reason: why it was dropped.
    """

    sink: str
    position: Position
    part: str = ""
    state: LetterState = LetterState.OPEN
    refused_at: datetime
    tries: int = 1
    problem: str
    decided_at: datetime | None = None
    decided_by: str = ""
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nothing was decided yet."""
        return self.state in (LetterState.OPEN, LetterState.STOPPING)

    def refused_again(self, problem: str, *, stopping: bool = False) -> DeadLetter:
        """The same after another try."""
        state = LetterState.STOPPING if stopping else LetterState.OPEN
        return evolve(
            self, state=state, problem=problem, tries=self.tries + 1, decided_at=None, decided_by="", reason=""
        )

    def decided(self, state: LetterState, at: datetime, by: str, reason: str = "") -> DeadLetter:
        """The same after it was delivered or dropped."""
        return evolve(self, state=state, decided_at=at, decided_by=by, reason=reason)
