"""The place of a program that reads the log, kept in the store."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve, frozen

from deltamark.domain.errors import ConsumerMoved, UsageError
from deltamark.domain.history.changes import Horizon, Position
from deltamark.domain.values import shown

_LONGEST_NAME = 200


@frozen(kw_only=True)
class ConsumerPlace:
    """How far a program has read the log.

    :param position: it has acknowledged every change up to there; 0 is before the first.
    :param began_at: when the place was made, UTC.
    :param moved_at: when it was last moved, UTC.
    :param moves: how often it was moved.
    """

    name: str
    position: Position
    began_at: datetime
    moved_at: datetime
    moves: int = 0

    def refuse_if_moved(self, stored: ConsumerPlace | None) -> None:
        """Refuses a place that is not, or no longer, what the store has.

        :raises ConsumerMoved: if the consumer was moved, removed or made anew.
        """
        if stored is None:
            raise ConsumerMoved(self.name, known=self.position, stored=None)
        if (stored.began_at, stored.moves) != (self.began_at, self.moves):
            raise ConsumerMoved(self.name, known=self.position, stored=stored.position)

    def forwards(self, position: Position, now: datetime) -> ConsumerPlace:
        """The place after changes up to a position were acknowledged.

        :raises UsageError: if it lies before the present one.
        """
        if position < self.position:
            raise UsageError(
                f"consumer {self.name} is at position {self.position}: {position} lies before it. Acknowledging only "
                "moves it forwards. Reset it to read changes again."
            )
        return self.moved(position, now)

    def moved(self, position: Position, now: datetime) -> ConsumerPlace:
        """The place at another position."""
        return evolve(self, position=position, moved_at=now, moves=self.moves + 1)


@frozen(kw_only=True)
class ConsumerStatus:
    """A consumer, and what it has still to read.

    :param behind: how many changes of the log lie beyond its place.
    :param waiting_since: the time of the oldest of them, UTC; None where there is none.
    :param gap: the highest horizon beyond its place: changes that it has not read were discarded.
    """

    place: ConsumerPlace
    behind: int
    waiting_since: datetime | None
    gap: Horizon | None

    @property
    def name(self) -> str:
        """The name of the consumer."""
        return self.place.name

    @property
    def position(self) -> Position:
        """It has acknowledged every change up to there."""
        return self.place.position


def checked_name(name: str) -> str:
    """The name of a consumer, which must be a line of 1 to 200 characters.

    :raises UsageError: if it is something else.
    """
    if not name.strip() or name != name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"{shown(name)} is no name of a consumer. Give it 1 to {_LONGEST_NAME} printable characters, without "
            "spaces around them."
        )
    return name
