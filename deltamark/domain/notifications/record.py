"""What a channel was told of, and what it has still to be told of."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from attrs import evolve, frozen

from deltamark.domain.history.changes import Position
from deltamark.domain.notifications.notification import Notification

_PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 720, 1440))
"""How long after each try that failed the next one is due. After the last, the notification has failed."""

KEPT = timedelta(days=90)
"""So long what was sent stays on record."""


class Delivery(Enum):
    """What became of a notification."""

    DUE = "due"
    SENT = "sent"
    FAILED = "failed"


@frozen(kw_only=True)
class ChannelPlace:
    """How far the log was read for a channel.

    :param position: of every run that ended up to there the channel was told, or has it on record.
    :param since: when the channel was first known, UTC.
    """

    name: str
    position: Position
    since: datetime


@frozen(kw_only=True)
class NotificationRecord:
    """A notification for a channel.

    :param tries: how often it was sent.
    :param noted_at: when it was put on record, UTC.
    :param tried_at: when it was sent last, UTC; None before.
    :param problem: why the last try failed, or who did not get it; a clause, empty where nothing is wrong.
    """

    channel: str
    notification: Notification
    delivery: Delivery = Delivery.DUE
    tries: int = 0
    noted_at: datetime
    tried_at: datetime | None = None
    problem: str = ""

    def is_due(self, now: datetime) -> bool:
        """Whether it is to be sent now."""
        if self.delivery is not Delivery.DUE:
            return False
        return self.tried_at is None or self.tries == 0 or now - self.tried_at >= _PAUSES[self.tries - 1]

    def sent(self, now: datetime, problem: str = "") -> NotificationRecord:
        """The same after the channel took it."""
        return evolve(self, delivery=Delivery.SENT, tries=self.tries + 1, tried_at=now, problem=problem)

    def not_sent(self, now: datetime, problem: str, *, for_good: bool) -> NotificationRecord:
        """The same after a try that failed.

        :param for_good: whether trying again would not help.
        """
        tries = self.tries + 1
        failed = for_good or tries > len(_PAUSES)
        delivery = Delivery.FAILED if failed else Delivery.DUE
        return evolve(self, delivery=delivery, tries=tries, tried_at=now, problem=problem)

    def again(self) -> NotificationRecord:
        """The same, due at once, after a person said so."""
        return evolve(self, delivery=Delivery.DUE, tries=0, tried_at=None)
