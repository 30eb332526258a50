"""Backing up a store while jobs run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from deltamark.application.ports.store import Store
from deltamark.domain.history.changes import Position


@frozen(kw_only=True)
class Backup:
    """A copy of a store that was made.

    :param position: the newest one in the log of the copy.
    :param size: of the file, in bytes.
    """

    file: Path
    position: Position
    size: int


def back_up(store: Store, file: Path, *, overwrite: bool, told: Callable[[int, int], None]) -> Backup:
    """Copies a store to a file; see `Store.backup`."""
    position = store.backup(file, overwrite=overwrite, told=told)
    return Backup(file=file, position=position, size=file.stat().st_size)


def nobody(done: int, total: int) -> None:
    """Is told how much was copied, and does nothing with it."""
