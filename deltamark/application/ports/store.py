"""The port to a store: the log and everything that is projected from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.progress import Progress
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import ExportedView, Space
from deltamark.domain.errors import StoreError
from deltamark.domain.history.changes import Position

Clock = Callable[[], datetime]
"""Returns the present time, UTC."""


class Watch(Protocol):
    """Waits for new events in the log."""

    def wait(self, timeout_s: float, stop: Event) -> None:
        """Returns after a commit since the last call, when the time is over or `stop` is set.

        May return sooner: after a lost connection it does, because a commit may have been missed.

        :raises StoreUnreachable: if the connection was lost and none can be opened.
        """
        ...


class Store(Protocol):
    """A database that holds a log and its projections."""

    def reading(self, view: ExportedView | None = None) -> AbstractContextManager[Reading]:
        """Opens a consistent view for the `with` block.

        :param view: what a transaction of another process sees, which is read instead of what is there now.
        :raises StoreError: if that transaction has ended.
        """
        ...

    def transaction(self) -> AbstractContextManager[Writing]:
        """Opens a transaction: committed when the block ends, rolled back when it raises.

        :raises StoreError: if the store cannot be written.
        """
        ...

    def dry_run(self) -> AbstractContextManager[None]:
        """Opens a dry run.

        The transactions inside the block see one another and are undone at its end.
        """
        ...

    def renew_leases(self, run: int, time_to_live_s: float) -> bool:
        """Renews the leases of a run in a transaction of its own, and returns whether it succeeded.

        Waits about a second at most for other writers. With 0 the leases expire at once.

        :raises StoreError: if the store cannot be written.
        """
        ...

    def end_unresponsive(self, run: int) -> bool:
        """Ends the process of a run if it is stopped on this machine, and returns whether it ended something.

        On a server it also ends the session in which a run that is not heard from keeps others from writing.

        :raises StoreError: if the process belongs to another user.
        """
        ...

    def watching(self) -> AbstractContextManager[Watch]:
        """Opens a watch on the log for the `with` block.

        It notices every commit from the beginning of the block.
        """
        ...

    def backup(self, target: Path, *, overwrite: bool, progress: Progress) -> Position:
        """Copies the store to a file while others write to it.

        Returns the newest position in the log of the copy.

        The copy is the store at one instant and holds everything that was committed before the call. It gets its name
        when it is complete, checked and on the disk.

        :param overwrite: whether a file of that name is replaced.
        :raises UsageError: if the file may not be written, or if the store is copied by other means; names them.
        :raises StoreError: if the copy cannot be written; then nothing is left of it.
        """
        ...

    def damage(self) -> StoreError | None:
        """The error for a damaged store, or None if it is intact. Reads the whole store.

        To be asked after an error of a kind that only rows can cause which Deltamark did not write.
        """
        ...

    def space(self) -> Space:
        """The space that the store takes on its disk."""
        ...

    def check_shrinkable(self) -> None:
        """Checks that `shrink` can free space.

        :raises UsageError: if space is freed by other means; names them.
        """
        ...

    def scrub(self) -> str | None:
        """Overwrites deleted data that may still be on the disk.

        :returns: the statements for it where only an administrator of the database can do so.
        """
        ...

    def shrink(self) -> None:
        """Gives space that is free inside the store back to the disk.

        Meanwhile takes the size of the store once more, and blocks other writers.

        :raises UsageError: as `check_shrinkable` does.
        :raises StoreError: if it fails; then the store is unchanged.
        """
        ...

    def close(self) -> None:
        """Closes every connection."""
        ...
