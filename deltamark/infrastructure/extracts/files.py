"""Finds the one file of a connection table, and opens it once.

Everything is read from that open file, whatever its name leads to meanwhile. It is refused if it changes while it is
read.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.infrastructure.extracts.copies import Copies
from deltamark.infrastructure.system.inner_files import opened_below

GZIP = b"\x1f\x8b"
ZSTANDARD = b"\x28\xb5\x2f\xfd"
PARQUET = b"PAR1"
WORKBOOK = b"PK\x03\x04"

_SIGNATURES = (
    (WORKBOOK, "a zip archive or an Office document (xlsx)"),
    (b"PK\x05\x06", "a zip archive"),
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (xls)"),
    (GZIP, "a gzip file"),
    (ZSTANDARD, "a Zstandard file"),
    (PARQUET, "a Parquet file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
)


@frozen
class ExtractFile:
    """The file of a connection table, open for reading.

    :param name: the file name, as messages and runs show it.
    :param ending: one of `known_endings`, those of all formats.
    :param size: in bytes when it was opened, never 0.
    :param path: leads to this very file, or to a copy of it, whatever else gets its name, and contains no character
        that DuckDB takes for a pattern. The file may be opened by it again and again.
    """

    name: str
    ending: str
    known_endings: Sequence[str]
    size: int
    stream: BinaryIO
    path: Path

    @property
    def where(self) -> Location:
        """The file as a whole."""
        return Location(self.name)

    def at(self, line: int | None, column: str | None = None) -> Location:
        """A point in the file."""
        return Location(self.name, line, column)

    def head(self) -> bytes:
        """The first bytes.

        The stream is at its beginning again afterwards.
        """
        head = self.stream.read(16)
        self.stream.seek(0)
        return head


class ExtractTouched(SourceError):
    """The status of a file changed while it was read, perhaps its content too: reading it again shows which."""


@contextmanager
def open_extract(folder: Path, table: str, endings: Sequence[str], copies: Copies) -> Iterator[ExtractFile]:
    """Opens the file of a connection table.

    Checks at the end of the block that it is still the same.

    :param endings: those of all formats, in the order in which messages name them.
    :raises SourceError: if there is no such file or more than one, if it is not a readable regular file below
        `folder`, or, at the end of the block, if it was changed or replaced.
    :raises ExtractTouched: at the end of the block, if only the time of its last change differs. A link to it or
        other rights change that time, and so does who writes to the file and sets back its time of modification.
    """
    path, ending = locate_extract(folder, table, endings)
    name = path.name.encode(errors="backslashreplace").decode()
    where = Location(path.name)
    try:
        root = folder.resolve()
        descriptor = opened_below(root, path.relative_to(root).parts)
    except OSError as error:
        raise SourceError(
            where, f"the file cannot be opened ({_why(error)})", advice=f"Make {path} readable for this user."
        ) from error
    try:
        before = os.fstat(descriptor)
        reason = _why_unusable(before)
        if reason is not None:
            raise SourceError(where, reason[0], advice=reason[1])
        # A reader may close its stream; the descriptor stays open, so that the path leads to no other file.
        with os.fdopen(os.dup(descriptor), "rb", buffering=0) as stream:
            yield ExtractFile(name, ending, endings, before.st_size, stream, copies.path_to(descriptor))
        _check_unchanged(path, descriptor, before, where)
    finally:
        os.close(descriptor)


def locate_extract(folder: Path, table: str, endings: Sequence[str]) -> tuple[Path, str]:
    """The path of a connection table's file, links resolved, and its ending.

    :raises SourceError: if there is not exactly one, with the names that were looked for and the nearest one.
    """
    if table in ("", ".", "..") or any(char in table for char in '/\\\0:"*?<>|'):
        raise SourceError(Location(table), "the connection table is not a plain name", value=table)
    if not folder.is_dir():
        raise SourceError(
            Location(str(folder)),
            f"there is no such folder, and the extract of {table} should be in it",
            advice="Put the extracts there, or correct export_output in deltamark.toml.",
        )
    names = [table + ending for ending in endings]
    existing = [name for name in names if os.path.lexists(folder / name)]
    if len(existing) > 1:
        raise SourceError(
            Location(table),
            f"{folder} holds {_listed(existing)}: it is not clear which one is meant",
            advice="Leave one of them there and run the job again.",
        )
    if not existing:
        raise SourceError(
            Location(names[0]),
            f"{folder} holds no {names[0]} (nor {', '.join(endings[1:-1])} or {endings[-1]}){_nearest(folder, table)}",
            advice="Put the extract there, or correct ConnectionTable.",
        )
    name = existing[0]
    try:
        path = (folder / name).resolve(strict=True)
        root = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError up to Python 3.12
        raise SourceError(Location(name), "this is a link that leads nowhere", advice=_PUT_A_FILE) from error
    if not path.is_relative_to(root):
        raise SourceError(Location(name), f"this link leads out of {folder}", advice=_PUT_A_FILE)
    return path, name[len(table) :]


def check_signature(file: ExtractFile, head: bytes, expected: bytes, kind: str) -> None:
    """Refuses a file whose first bytes show that it is of another kind.

    :param expected: the first bytes of every file of the kind; empty for text.
    :raises SourceError: with the kind that the file looks like.
    """
    if expected and head.startswith(expected):
        return
    looks = next((described for signature, described in _SIGNATURES if head.startswith(signature)), None)
    if looks is not None or expected:
        raise SourceError(
            file.where,
            f"this is {looks}, not {kind}" if looks else f"this is not {kind}",
            advice="Export the table again, under the name that fits its format "
            f"({', '.join(file.known_endings[:-1])} or {file.known_endings[-1]}).",
        )


_PUT_A_FILE = "Put the extract itself there and run the job again."


def _why_unusable(status: os.stat_result) -> tuple[str, str] | None:
    """Why this cannot be an extract, and what to do about it, or None if it can."""
    if not stat.S_ISREG(status.st_mode):
        return f"this is {_kind(status.st_mode)}, not a file", _PUT_A_FILE
    if status.st_size == 0:
        advice = "See why the export wrote nothing; an extract without rows is CSV or Parquet, and has its header."
        return "the file is empty (0 bytes)", advice
    return None


def _check_unchanged(path: Path, descriptor: int, before: os.stat_result, where: Location) -> None:
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise SourceError(where, "the file was changed while it was read", advice=_WAIT)
    try:
        named = os.stat(path)
    except OSError as error:
        raise SourceError(where, "the file vanished while it was read", advice=_WAIT) from error
    if not os.path.samestat(before, named):
        raise SourceError(where, "the file was replaced while it was read", advice=_WAIT)
    if after.st_ctime_ns != before.st_ctime_ns:
        raise ExtractTouched(where, "the file was changed while it was read", advice=_WAIT)


_WAIT = "Run the job when the export is done; best write to another name and rename at the end."


def _nearest(folder: Path, table: str) -> str:
    try:
        existing = sorted(os.listdir(folder))
    except OSError as error:
        return f" ({_why(error)})"
    stems = {name.split(".")[0].casefold(): name for name in existing}
    stems |= {name.casefold(): name for name in existing}
    near = difflib.get_close_matches(table.casefold(), stems, n=1, cutoff=0.5)
    if near:
        return f"; the nearest name there is {stems[near[0]]}"
    return "" if existing else "; the folder is empty"


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _kind(mode: int) -> str:
    for test, described in ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket")):
        if test(mode):
            return described
    return "a device"
