"""What a use case asks of a store about the changes that it may discard, and about the space that they leave."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from deltamark.domain.history.changes import Position
from deltamark.domain.retention.retention import Outgoing


@frozen(kw_only=True)
class Space:
    """What a store takes on its disk.

    :param free: how much of that is free inside and will be reused; None where only the database itself knows.
    """

    size: int
    free: int | None


class RetentionReading(Protocol):
    """The changes of some entity types and associations, as one that discards them looks at them."""

    def changes_between(self, subjects: Sequence[str], after: Position, until: Position) -> list[Outgoing]:
        """How many changes of these subjects there are beyond a position, and up to another, by subject and kind."""
        ...

    def oldest_of_newest(self, subjects: Sequence[str], count: int) -> Position | None:
        """The position of the oldest of the newest so many changes of these subjects; None where there are fewer."""
        ...

    def time_of(self, position: Position) -> datetime:
        """When the event at a position that is or was in the log was written."""
        ...
