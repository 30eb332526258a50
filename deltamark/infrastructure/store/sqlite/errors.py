"""Explains the errors of SQLite to users."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from deltamark.domain.errors import ConcurrentRun, StoreError, store_damaged
from deltamark.infrastructure.store.transactions import conflict

_UNDONE = "What was being written was undone."


def explained(error: sqlite3.Error, path: Path) -> StoreError | ConcurrentRun:
    """Returns what users read about an error of SQLite."""
    if isinstance(error, sqlite3.IntegrityError):
        return conflict(error)
    name = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if name.startswith("SQLITE_FULL"):
        what, advice = "the disk is full", "Free some space and run again."
    elif name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        what, advice = "it cannot be written (read-only file, folder or file system)", "Make it writable."
    elif name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return store_damaged(f"store {path}: the file cannot be read ({text})", effect=_UNDONE)
    elif name.startswith("SQLITE_CANTOPEN"):
        what, advice = (
            "it cannot be opened or created",
            "Check that the folder exists and that you may write there.",
        )
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return ConcurrentRun(
            f"store {path}: another process holds a lock on it. {_UNDONE} Wait until that process has ended, "
            "then run again."
        )
    elif name.startswith("SQLITE_IOERR"):
        what, advice = (
            f"reading or writing failed ({name})",
            "Check the disk, its free space and your limits.",
        )
    else:
        what = f"{text} ({name})" if name else text
        return store_damaged(
            f"store {path}: {what}",
            effect=_UNDONE,
            alternative="report it if it comes back: --debug shows details",
        )
    return StoreError(f"store {path}: {what}. {_UNDONE} {advice}")
