"""The port to a store: the log and everything that is projected from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.records import Space
from deltamark.application.ports.writing import Writing
from deltamark.domain.history.changes import Position

Clock = Callable[[], datetime]
"""Gives the present time, UTC."""


class Watch(Protocol):
    """Tells when the log may have grown."""

    def wait(self, timeout_s: float, stop: Event) -> None:
        """Returns when something was committed since the last call, when the time is over or `stop` is set.

        It may return sooner; after a lost connection it does, for something may have been missed.

        :raises StoreUnreachable: if the connection was lost and there is no other to be had.
        """
        ...


class Store(Protocol):
    """Where Deltamark keeps its log and the projections of it."""

    def reading(self) -> AbstractContextManager[Reading]:
        """A consistent view for the time of the `with` block."""
        ...

    def transaction(self) -> AbstractContextManager[Writing]:
        """A transaction: committed when the block ends, rolled back when it raises.

        :raises StoreError: if the store cannot be written.
        """
        ...

    def dry_run(self) -> AbstractContextManager[None]:
        """All transactions inside the block see one another and are undone at its end."""
        ...

    def renew_leases(self, run: int, time_to_live_s: float) -> bool:
        """Renews the leases of a run in a transaction of its own; returns whether it could.

        Never waits longer than about a second, whoever is writing meanwhile. With 0 they expire at once.

        :raises StoreError: if the store cannot be written.
        """
        ...

    def watching(self) -> AbstractContextManager[Watch]:
        """A watch on the log for the time of the `with` block. What is committed from its beginning on is told."""
        ...

    def backup(self, target: Path, *, overwrite: bool, progress: Progress) -> Position:
        """Copies the store to a file while others write to it; gives the newest position in the log of the copy.

        The copy is the store at one instant: it holds everything that was committed before the call. It gets its name
        when it is complete, checked and on the disk.

        :param overwrite: whether a file of that name is replaced.
        :raises UsageError: if no copy may stand in that place, or if the store is copied by other means; says which.
        :raises StoreError: if the copy cannot be written; then nothing is left of it.
        """
        ...

    def space(self) -> Space:
        """What the store takes on its disk."""
        ...

    def check_shrinkable(self) -> None:
        """Checks that `shrink` can give space back.

        :raises UsageError: if that is done by other means; says which.
        """
        ...

    def scrub(self) -> str | None:
        """Overwrites what was deleted and may still lie on the disk; gives the statements for it where only an
        administrator of the database can.
        """
        ...

    def shrink(self) -> None:
        """Gives space that is free inside back to the disk. Takes as much again as the store holds, for a while, and
        keeps others from writing.

        :raises UsageError: as `check_shrinkable`.
        :raises StoreError: if it cannot be done; then the store is as it was.
        """
        ...

    def close(self) -> None:
        """Closes every connection."""
        ...
