"""When the log grew, kept in memory for checks of the whole log."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from deltamark.domain.history.changes import Position
from deltamark.infrastructure.store.database import Database


class LogMoments:
    """When the log grew. All events of one transaction have one time.

    `time` belongs to the positions above `low` and up to `high`: the transaction that was asked for last. Streams are
    read one after the other, so the two transactions asked for last are remembered.
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
        """The newest recorded position."""
        return self._positions[-1] if self._positions else 0

    @property
    def newest_time(self) -> int:
        """The newest recorded time."""
        return max(self._times, default=0)

    def at(self, position: Position) -> int | None:
        """Returns the time of the transaction that wrote a position, or None if it is not recorded."""
        if not self.low < position <= self.high:
            self._swap()
        if not self.low < position <= self.high:
            index = bisect_left(self._positions, position)
            if index == len(self._positions):
                return None
            self.low = self._positions[index - 1] if index else 0
            self.high, self.time = self._positions[index], self._times[index]
        return self.time

    def _swap(self) -> None:
        (self.low, self.high, self.time), self._before = self._before, (self.low, self.high, self.time)

    def problem(self, position: Position, at: object) -> str:
        """Describes an event whose time differs from that of its transaction."""
        when = self.at(position)
        known = "the time of its transaction is not recorded" if when is None else f"its transaction is of {when}"
        return f"the event at position {position} has the time {at}, but {known}"

    def backwards(self) -> Iterator[Position]:
        """Yields the positions whose time is not later than the time before."""
        for n in range(1, len(self._times)):
            if self._times[n] <= self._times[n - 1]:
                yield self._positions[n]
