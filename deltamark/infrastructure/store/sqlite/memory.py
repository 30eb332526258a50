"""The store in memory: as long as it is open, and for the process that opened it alone.

It is an SQLite store like any other, in a folder that lies in memory. SQLite's own databases in memory have no
write-ahead log, so that whoever reads would keep others from writing. See ADR 0062.
"""

from __future__ import annotations

import sqlite3

from deltamark.application.ports.store import Clock
from deltamark.domain.errors import DeltamarkError, StoreError
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from deltamark.infrastructure.system.temporary_files import TemporaryFolder, memory_folder

_ENOUGH = 256 << 20
"""Bytes that must be free in memory for a store to begin there; containers have 64 MB of it unless they are told."""


class MemoryStore(SQLiteStore):
    """A new, empty store. It is gone when it is closed, when nothing refers to it any more, or when the process ends.

    It lies in the temporary folder of the system where there is no folder in memory, or too little room in it.

    :raises StoreError: if no folder for it can be made.
    """

    def __init__(self, clock: Clock) -> None:
        try:
            self._folder = TemporaryFolder(memory_folder(_ENOUGH))
        except OSError as e:
            raise StoreError(f"no folder for a store in memory can be made: {e}. Name a file for the store.") from e
        try:
            super().__init__(self._folder.path / "memory.db", clock, is_private=True)
        except BaseException:
            self._folder.close()
            raise

    def _explained(self, error: sqlite3.Error) -> DeltamarkError:
        if (getattr(error, "sqlite_errorname", "") or "").startswith("SQLITE_FULL"):
            return StoreError(
                f"the store in memory has no room left in {self._folder.path.parent}. What was being written was "
                "undone. Use a store in a file, such as sqlite:///deltamark.db."
            )
        return super()._explained(error)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._folder.close()
