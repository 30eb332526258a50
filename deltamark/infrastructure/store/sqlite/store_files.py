"""Notices that the file of an open store, or its write-ahead log, was deleted or replaced.

SQLite does not look: it goes on writing to the files that it opened, which nobody can open any more.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from deltamark.domain.errors import StoreError

_Identity: TypeAlias = "tuple[int, int] | None"
"""Device and number of a file; None where there is none. A number is not used again while a file is open."""

NOT_WRITTEN = "Nothing was changed since."
UNDONE = "What was being written was undone."
LOST = "What was written last went to the file that is gone, and counts as not done."


class StoreFiles:
    """The files of a store as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.absolute()
        self._log = Path(f"{path.resolve()}-wal")
        self._opened: _Identity = None
        self._opened_log: _Identity = None

    def remember(self) -> None:
        """Remembers the files that connections have open now."""
        self._opened, self._opened_log = _identity(self._file), _identity(self._log)

    def check(self, effect: str) -> None:
        """Checks that the names of the files still lead to those that connections have open.

        :param effect: what became of the present transaction; a sentence.
        :raises StoreError: if they do not.
        """
        present = _identity(self._file)
        if present != self._opened:
            what = "was deleted" if present is None else "was replaced by another one"
            raise StoreError(
                f"store {self._path}: the file {what} while this process had it open. {effect} "
                "Put the file back in its place, or open the store that is there now and run again."
            )
        log = _identity(self._log)
        if self._opened_log is None:
            self._opened_log = log
        if log != self._opened_log:
            what = "was deleted" if log is None else "was replaced by another one"
            raise LogLost(
                f"store {self._path}: {self._log.name}, which holds its newest changes, {what} while this process had "
                f"it open. {effect} End all processes that use the store, then run again.",
                is_missing=log is None,
            )


class LogLost(StoreError):
    """The write-ahead log of a store was deleted or replaced.

    :param is_missing: whether there is none; then the process that still has it open can save what it holds.
    """

    def __init__(self, message: str, *, is_missing: bool) -> None:
        self.is_missing = is_missing
        super().__init__(message)


def _identity(path: Path) -> _Identity:
    # Never opened: closing any descriptor of the file would drop the locks that SQLite has on it.
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
