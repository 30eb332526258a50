"""Creates and upgrades the tables of an SQLite store, and checks whether a file is a store."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from eventsourcing.sqlite import SQLiteCursor

from deltamark.domain.errors import StoreError, store_damaged
from deltamark.infrastructure.store.migrations import NEW_STORE, Step, steps_from
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from deltamark.infrastructure.store.sqlite.definitions import TYPES

APPLICATION_ID = 0x44_4D_52_4B
"""Marks the file as Deltamark's ("DMRK"), https://sqlite.org/pragma.html#pragma_application_id."""

_HEAD = 108
"""Bytes that show whether a file is a store: the header of SQLite, and that of its first page."""


def _check_working_directory(path: Path) -> None:
    """Refuses a deleted working directory.

    It looks like a directory until a file is created in it.
    """
    try:
        path.absolute()
    except FileNotFoundError as e:
        raise StoreError(
            f"{path}: the working directory does not exist any more. Change to one that exists, and try again."
        ) from e


def check_file(path: Path, steps: Sequence[Step]) -> None:
    """Refuses a file that cannot be or become a store, before SQLite opens it.

    :raises StoreError: for a directory, a device or FIFO, a file of another kind, a missing folder.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise StoreError(f"{path}: the link has no target. Correct the link or name another file.") from None
        if not path.parent.is_dir():
            raise StoreError(f"{path}: the folder {path.parent} does not exist. Create it or name another.") from None
        _check_working_directory(path)
        return
    except OSError as e:
        raise StoreError(f"{path}: {e.strerror}. Name a file that you may read and write.") from e
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise StoreError(f"{path} is {kind}. Name a file for the store, such as sqlite:///deltamark.db.")
    if not os.access(path, os.R_OK):
        raise StoreError(f"{path}: permission denied. Name a file that you may read and write.")
    with path.open("rb") as file:
        _check_head(file.read(_HEAD), path, steps)
    _check_journal(path)


def is_store(path: Path) -> bool:
    """Whether a file is a store, as far as its first bytes show; False where it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head[:16] == b"SQLite format 3\0" and int.from_bytes(head[68:72]) == APPLICATION_ID


def _check_head(head: bytes, path: Path, steps: Sequence[Step]) -> None:
    """Refuses a file that is no store by its first bytes.

    SQLite would change some files by opening them.

    A complete store has its marks there, whatever its write-ahead log contains: they were written with its first table.
    See https://sqlite.org/fileformat2.html#the_database_header.
    """
    if not head:
        return
    if head[:16] != b"SQLite format 3\0":
        raise StoreError(f"{path} is not a Deltamark store: it is not an SQLite database. Name another file.")
    if len(head) < _HEAD:
        raise store_damaged(f"store {path}: the file ends in its first page")
    version, application, cells = (int.from_bytes(head[a:b]) for a, b in ((60, 64), (68, 72), (103, 105)))
    if cells:
        _checked_steps(application, version, path, steps)


def _check_journal(path: Path) -> None:
    """Refuses a rollback journal beside a store.

    Stores have none, and SQLite would write it into the store.
    """
    journal = Path(f"{path}-journal")
    if path.stat().st_size and journal.is_file() and journal.stat().st_size:
        raise StoreError(
            f"{journal} does not belong to the store: opening the store would write pages of another database into it. "
            "Move the file away."
        )


def prepare(c: SQLiteCursor, path: Path, steps: Sequence[Step], create_log: Callable[[SQLiteCursor], None]) -> None:
    """Creates the tables of a new store, or upgrades those of an older one.

    Call it inside a writing transaction.

    :param create_log: creates the tables of the event-sourcing library.
    :raises StoreError: for a database of another application, or of a newer Deltamark.
    """
    missing = steps if is_new(c) else missing_steps(c, path, steps)
    for step in missing:
        for statement in step.statements(TYPES):
            c.execute(statement)
        if step.version == 1:
            c.execute(NEW_STORE, (secrets.token_hex(16),))
            c.execute(f"PRAGMA application_id={APPLICATION_ID}")
            create_log(c)
        if step.fill is not None:
            step.fill(SQLiteDatabase(c.sqlite_cursor.connection))
        c.execute(f"PRAGMA user_version={step.version}")


def is_new(c: SQLiteCursor) -> bool:
    """Whether the database is empty."""
    c.execute("SELECT count(*) FROM sqlite_master")
    return bool(c.fetchone()[0] == 0)


def missing_steps(c: SQLiteCursor, path: Path, steps: Sequence[Step]) -> Sequence[Step]:
    """Returns the migrations that an existing store needs.

    :raises StoreError: if the database is no store, is of a newer version, or was altered.
    """
    c.execute("PRAGMA application_id")
    application = c.fetchone()[0]
    c.execute("PRAGMA user_version")
    missing = _checked_steps(application, c.fetchone()[0], path, steps)
    c.execute("SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name")
    foreign = [row[0] for row in c.fetchall()]
    if foreign:
        raise store_damaged(
            f"{path} holds triggers or views that Deltamark did not make ({', '.join(foreign)})",
            alternative="remove them",
        )
    return missing


def _checked_steps(application: int, version: int, path: Path, steps: Sequence[Step]) -> Sequence[Step]:
    if application != APPLICATION_ID:
        raise StoreError(
            f"{path} is an SQLite database of another application, not a Deltamark store. Name another file."
        )
    return steps_from(version, steps, str(path))
