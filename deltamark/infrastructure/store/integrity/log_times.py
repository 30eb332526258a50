"""When the log grew, for those who read all of it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from deltamark.domain.history.changes import Position
from deltamark.infrastructure.store.database import Database


class LogMoments:
    """When the log grew: all events of one transaction have one time.

    `time` is that of the positions beyond `low` and up to `high`: the transaction that was asked for last. Streams are
    read one after the other, so the two newest are remembered.
    """

    def __init__(self, database: Database) -> None:
        self._positions, self._times = array("q"), array("q")
        for position, at in database.rows("SELECT position, at FROM moments ORDER BY position"):
            self._positions.append(position)
            self._times.append(at)
        self.low, self.high, self.time = 0, -1, 0
        self._before = (0, -1, 0)

    @property
    def newest(self) -> Position:
        """How far it is on record that the log grew."""
        return self._positions[-1] if self._positions else 0

    @property
    def newest_time(self) -> int:
        """The newest time on record."""
        return max(self._times, default=0)

    def at(self, position: Position) -> int | None:
        """When the log grew to and beyond a position; None where that is not on record."""
        if not self.low < position <= self.high:
            self._swap()
        if not self.low < position <= self.high:
            found = bisect_left(self._positions, position)
            if found == len(self._positions):
                return None
            self.low = self._positions[found - 1] if found else 0
            self.high, self.time = self._positions[found], self._times[found]
        return self.time

    def _swap(self) -> None:
        (self.low, self.high, self.time), self._before = self._before, (self.low, self.high, self.time)

    def problem(self, position: Position, at: object) -> str:
        """The words for an event that has another time."""
        when = self.at(position)
        known = "it is not on record when it was written" if when is None else f"it was written at {when}"
        return f"the event at position {position} says that it happened at {at}, but {known}"

    def backwards(self) -> Iterator[Position]:
        """The positions at which the time is not later than before."""
        for n in range(1, len(self._times)):
            if self._times[n] <= self._times[n - 1]:
                yield self._positions[n]
