"""Copies an SQLite store while others write to it.

It reads in one transaction of a reading connection: the copy is the store at one moment, writers do not wait, and no
other connection checkpoints (ADR 0002). SQLite's backup API copies the pages, including those in the write-ahead log: https://sqlite.org/backup.html.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from deltamark.application.ports.progress import Progress
from deltamark.domain.errors import StoreError, UsageError
from deltamark.infrastructure.system.temporary_files import new_part, remove_left_behind

_BESIDE = ("-wal", "-shm", "-journal")
"""Files that SQLite keeps beside a database. It would use a file with such a name for the copy."""

_PAGES = 1_000
"""Pages copied at a time: a step takes some milliseconds, and can be interrupted after that."""

_OF_THE_STORE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ")


def check_target(store: Path, target: Path, *, overwrite: bool) -> None:
    """Refuses to write a copy where it would do harm.

    :raises UsageError: for a missing folder, an existing file (unless `overwrite`), a file of the store, or a file that
        a program has open as a database.
    """
    if not target.name or target.is_dir():
        raise UsageError(f"{target} is a folder. Name a file in it for the backup.")
    if not target.parent.is_dir():
        raise UsageError(f"{target}: the folder {target.parent} does not exist. Create it or name another.")
    for own in (store, *(Path(f"{store}{ending}") for ending in (*_BESIDE, ".lock"))):
        if _place(own) == _place(target) or (own.exists() and target.exists() and own.samefile(target)):
            raise UsageError(f"{target} belongs to the store itself. Name another file for the backup.")
    for beside in (Path(f"{target}{ending}") for ending in _BESIDE):
        if os.path.lexists(beside):
            raise UsageError(
                f"{beside} exists: a program has {target} open as a database, or was stopped while it wrote to it. "
                "Name another file for the backup."
            )
    if os.path.lexists(target):
        if not overwrite:
            raise _exists(target)
        if not stat.S_ISREG(target.lstat().st_mode):
            raise UsageError(f"{target} is not a regular file. Name another file for the backup.")


def copy_store(source: sqlite3.Connection, store: Path, target: Path, *, overwrite: bool, progress: Progress) -> None:
    """Copies a store completely or not at all.

    The copy gets its name when it is checked and on disk.

    :param source: a connection inside a reading transaction; the copy is the state that it sees.
    :param overwrite: whether to replace an existing file.
    :raises StoreError: if the copy cannot be written, or is damaged; then it is removed.
    """
    remove_left_behind(target.parent)
    with _explained_errors(store, target):
        descriptor, name = new_part(
            lambda name: os.open(target.with_name(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        )
    part = target.with_name(name)
    try:
        with _explained_errors(store, target):
            _copy_pages(source, part, progress)
            _check(part, store)
            part.chmod(stat.S_IMODE(store.stat().st_mode) | stat.S_IWUSR)  # a copy of a read-only store can be written
            _to_disk(part)
            _give_name(part, target, overwrite=overwrite)
            _to_disk(target.parent)
    finally:
        for file in (part, *(Path(f"{part}{ending}") for ending in _BESIDE)):
            with suppress(OSError):
                file.unlink()
        os.close(descriptor)


def _copy_pages(source: sqlite3.Connection, part: Path, progress: Progress) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        # No other process sees the copy before it is complete, so it needs no journal, and one fsync at the end.
        copy.execute("PRAGMA journal_mode=OFF")
        copy.execute("PRAGMA synchronous=OFF")
        source.backup(copy, pages=_PAGES, progress=lambda _, remaining, total: progress(total - remaining, total))


def _check(part: Path, store: Path) -> None:
    """Checks the whole copy."""
    with closing(sqlite3.connect(f"{part.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
        copy.execute("PRAGMA cell_size_check=ON")
        problem = " ".join(copy.execute("PRAGMA integrity_check(1)").fetchone()[0].split())
    if problem != "ok":
        raise StoreError(
            f"store {store}: its copy is damaged ({problem}), so the store may be damaged, too. The copy was removed. "
            "Verify the store: that names the damage."
        )


def _give_name(part: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        part.replace(target)
        return
    try:
        target.hardlink_to(part)  # unlike renaming, it never replaces a file that was created meanwhile
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise _exists(target) from None
        part.rename(target)


def _exists(target: Path) -> UsageError:
    return UsageError(
        f"{target} exists already. Name another file for the backup, or allow to replace it "
        "(--overwrite, in Python overwrite=True)."
    )


def _place(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _explained_errors(store: Path, target: Path) -> Iterator[None]:
    """Explains errors as errors of the copy, unless SQLite reports one of the store."""
    try:
        yield
    except sqlite3.Error as e:
        name = getattr(e, "sqlite_errorname", "") or ""
        if name.startswith(_OF_THE_STORE):
            raise
        reason = "the disk is full" if name.startswith("SQLITE_FULL") else f"{e} ({name})" if name else str(e)
        raise _not_written(target, reason) from e
    except OSError as e:
        raise _not_written(target, e.strerror or str(e)) from e


def _not_written(target: Path, reason: str) -> StoreError:
    return StoreError(
        f"{target}: the backup cannot be written: {reason}. It was removed, and the store was not changed. Check the "
        "free space there and your rights, then try again."
    )
