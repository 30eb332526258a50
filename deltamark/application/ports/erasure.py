"""The port to erasure: making unreadable, for good, what a resource was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from attrs import frozen

from deltamark.domain.history.changes import Position
from deltamark.domain.runs.run import ResourceErased


@frozen(kw_only=True)
class Emptied:
    """How many changes were emptied, of which streams, and their positions, each range with its first and last."""

    count: int
    streams: tuple[int, ...]
    ranges: tuple[tuple[Position, Position], ...]


class ErasureReading(Protocol):
    """What was erased, and what would be."""

    def erasures(self) -> list[ResourceErased]:
        """What is on record of all erasures, oldest first."""
        ...

    def erased_between(self, after: Position, until: Position, run: int | None = None) -> dict[int, int]:
        """The run of each erasure that emptied changes between two positions -> how many of them the log still holds.

        :param after: exclusive.
        :param until: inclusive.
        :param run: counts only changes that this run had made.
        """
        ...

    def to_erase(self, stream: int) -> tuple[int, int]:
        """How many changes the log holds of a resource and its links, and how many links it ever had."""
        ...

    def runs_that_name(self, key: str) -> list[int]:
        """The runs whose records hold a key as a text of its own, or quoted in a message."""
        ...


class ErasureWriting(Protocol):
    """Erasing, in the transaction that puts it on record."""

    def erase(self, stream: int, build: Callable[[str, int, datetime, Emptied], ResourceErased], run: int) -> Emptied:
        """Empties all changes of a resource and its links, and drops whatever else is stored of them.

        The resource must be live no more, and every change must be flagged.

        :param build: makes the event that goes on record, with the stream and version of the run, the time, and what
            was emptied.
        """
        ...
