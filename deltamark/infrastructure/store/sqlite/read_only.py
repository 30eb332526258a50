"""Stores that this process cannot write: how they are opened, and what they refuse.

SQLite reads a store through files beside it, the write-ahead log and its index. Where these cannot be made, it reads
the file alone, as one that nobody changes. See https://sqlite.org/wal.html#readonly.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from deltamark.domain.errors import StoreError, StoreReadOnly

_State: TypeAlias = "tuple[int, int, int, bool]"
"""Number, size and time of the last change of a file, and whether it has a write-ahead log that holds something."""

_ALONE, _WITH_LOG = "?immutable=1", "?mode=ro"


@frozen
class ReadOnlyFile:
    """A store that this process cannot write.

    :param cause: why it cannot; a clause.
    :param options: those of the URI by which SQLite opens it.
    """

    path: Path
    cause: str
    options: str
    _opened: _State

    def refusal(self) -> StoreReadOnly:
        """Returns the error for what would write to it."""
        return StoreReadOnly(
            f"store {self.path} is read-only: {self.cause}. Nothing was changed. Make it writable, or back it up to a "
            "file that you may write (`deltamark backup FILE`) and name that one with --store."
        )

    def check_unchanged(self) -> None:
        """Checks that the file is as it was when it was opened: read alone, it does not show what others write.

        :raises StoreError: if it is not.
        """
        if self.options == _ALONE and _state(self.path) != self._opened:
            raise StoreError(
                f"store {self.path}: another process wrote to it while it was read, and it is read-only here "
                f"({self.cause}), so that what was read may be wrong. Read it again."
            )


def read_only_file(path: Path) -> ReadOnlyFile | None:
    """Returns the store at a path if this process cannot write it, otherwise None.

    :raises StoreError: if it cannot be read either, because its newest changes are in its write-ahead log, which SQLite
        can read only with an index.
    """
    cause = _cause(path)
    if cause is None:
        return None
    state = _state(path)
    if not state[-1]:
        return ReadOnlyFile(path, cause, _ALONE, state)
    if not os.access(f"{path.resolve()}-shm", os.R_OK):
        log = f"{path.name}-wal"
        raise StoreError(
            f"store {path}: its newest changes are in {log}, which can be read only where files can be written, and "
            f"{cause}. Copy {path.name} and {log} to a folder that you may write to, and name the copy with --store."
        )
    return ReadOnlyFile(path, cause, _WITH_LOG, state)


def _cause(path: Path) -> str | None:
    file = path.resolve()
    if not file.exists() or not file.stat().st_size:
        return None
    if os.statvfs(file).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    if not os.access(file, os.W_OK):
        return "its file may not be written"
    return None if os.access(file.parent, os.W_OK) else f"nothing may be written in its folder {file.parent}"


def _state(path: Path) -> _State:
    # Never opened: closing any descriptor of the file would drop the locks that SQLite has on it.
    status = os.stat(path)
    try:
        has_log = os.stat(f"{path.resolve()}-wal").st_size > 0
    except FileNotFoundError:
        has_log = False
    return status.st_ino, status.st_size, status.st_mtime_ns, has_log
