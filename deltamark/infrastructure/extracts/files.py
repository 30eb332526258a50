"""Finding the one file of a connection table, and holding it to what it was when it was opened."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location

ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".parquet")
"""The kinds of extract, in the order in which a message names them."""

_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive or an Office document (xlsx)"),
    (b"PK\x05\x06", "a zip archive"),
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (xls)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"PAR1", "a Parquet file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
)


@frozen
class ExtractFile:
    """The file of a connection table, open for reading.

    :param path: where it lies, links resolved.
    :param ending: one of `ENDINGS`.
    :param size: its size in bytes when it was opened, never 0.
    """

    path: Path
    ending: str
    size: int
    stream: BinaryIO

    @property
    def name(self) -> str:
        """The file name, as messages and runs say it."""
        return self.path.name.encode(errors="backslashreplace").decode()

    @property
    def where(self) -> Location:
        """The file as a whole."""
        return Location(self.name)

    def at(self, line: int | None, column: str | None = None) -> Location:
        """A point in the file."""
        return Location(self.name, line, column)


@contextmanager
def opened(folder: Path, table: str) -> Iterator[ExtractFile]:
    """The file of a connection table, checked on leaving to be the one that was opened.

    :raises SourceError: if there is none, or more than one, or it is not an ordinary file below `folder` that
        can be read; and on leaving, if it was changed or replaced in between.
    """
    path, ending = located(folder, table)
    where = Location(path.name)
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise SourceError(
            where, f"the file cannot be opened ({_why(error)})", advice=f"Make {path} readable for this user."
        ) from error
    before = os.fstat(descriptor)
    problem = _unfit(before)
    if problem is not None:
        os.close(descriptor)
        raise SourceError(where, problem[0], advice=problem[1])
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        yield ExtractFile(path, ending, before.st_size, stream)
        _check_unchanged(path, before, where)


def located(folder: Path, table: str) -> tuple[Path, str]:
    """The path of a connection table's file, links resolved, and its ending.

    :raises SourceError: naming what was looked for, and the nearest file there is.
    """
    if table in ("", ".", "..") or any(char in table for char in '/\\\0:"*?<>|'):
        raise SourceError(Location(table), "the connection table is not a plain name", value=table)
    names = [table + ending for ending in ENDINGS]
    found = [name for name in names if os.path.lexists(folder / name)]
    if len(found) > 1:
        raise SourceError(
            Location(table),
            f"{folder} holds {_listed(found)}: it is not clear which one is meant",
            advice="Leave one of them there and run the job again.",
        )
    if not found:
        raise SourceError(
            Location(names[0]),
            f"{folder} holds none of {_listed(names)}{_nearest(folder, table)}",
            advice="Put the extract there, or correct ConnectionTable.",
        )
    name = found[0]
    try:
        path = (folder / name).resolve(strict=True)
        root = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError up to Python 3.12
        raise SourceError(Location(name), "this is a link that leads nowhere", advice=_PUT_A_FILE) from error
    if not path.is_relative_to(root):
        raise SourceError(Location(name), f"this link leads out of {folder}", advice=_PUT_A_FILE)
    return path, name[len(table) :]


def check_signature(file: ExtractFile, head: bytes, expected: bytes, kind: str) -> None:
    """Refuse a file whose first bytes tell that it is of another kind.

    :param expected: the first bytes that the kind requires; empty for text, which has none.
    :raises SourceError: naming what the file looks like.
    """
    if expected and head.startswith(expected):
        return
    looks = next((described for signature, described in _SIGNATURES if head.startswith(signature)), None)
    if looks is not None or expected:
        raise SourceError(
            file.where,
            f"this is {looks}, not {kind}" if looks else f"this is not {kind}",
            advice="Export the table again, under the name that fits its format "
            f"({', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}).",
        )


_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO must not hang the job
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_PUT_A_FILE = "Put the extract itself there and run the job again."


def _unfit(status: os.stat_result) -> tuple[str, str] | None:
    """Why what was opened cannot be an extract, and what to do about it."""
    if not stat.S_ISREG(status.st_mode):
        return f"this is {_kind(status.st_mode)}, not a file", _PUT_A_FILE
    if status.st_size == 0:
        advice = "An extract without rows still has its header; see why the export wrote nothing."
        return "the file is empty (0 bytes)", advice
    return None


def _check_unchanged(path: Path, before: os.stat_result, where: Location) -> None:
    try:
        after = os.stat(path)
    except OSError as error:
        raise SourceError(where, "the file vanished while it was read", advice=_WAIT) from error
    if _identity(before) != _identity(after):
        raise SourceError(where, "the file was changed while it was read", advice=_WAIT)


_WAIT = "Run the job when the export is done; best write to another name and rename at the end."


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _nearest(folder: Path, table: str) -> str:
    try:
        there = sorted(os.listdir(folder))
    except OSError as error:
        return f" ({_why(error)})"
    stems = {name.split(".")[0].casefold(): name for name in there}
    stems |= {name.casefold(): name for name in there}
    near = difflib.get_close_matches(table.casefold(), stems, n=1, cutoff=0.5)
    if near:
        return f"; the nearest name there is {stems[near[0]]}"
    return "; the folder is empty" if not there else ""


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _kind(mode: int) -> str:
    for test, described in ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket")):
        if test(mode):
            return described
    return "a device"
