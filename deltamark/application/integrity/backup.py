"""Backs up a store while jobs run."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.store import Store
from deltamark.domain.history.changes import Position


@frozen(kw_only=True)
class Backup:
    """A copy of a store.

    :param position: the newest one in the log of the copy.
    :param size: of the file, in bytes.
    """

    file: Path
    position: Position
    size: int


def back_up(store: Store, file: Path, *, overwrite: bool, progress: Progress) -> Backup:
    """Copies a store to a file.

    Raises as `Store.backup` does.
    """
    position = store.backup(file, overwrite=overwrite, progress=progress)
    return Backup(file=file, position=position, size=file.stat().st_size)
