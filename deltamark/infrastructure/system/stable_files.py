"""Files below the folder of a connection, which must not change while they are read."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from attrs import define, field, frozen

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.configuration.packages import FOLDER, file_parts
from deltamark.domain.values import shown
from deltamark.infrastructure.system.inner_files import names_below, opened_below

_BLOCK = 1 << 20
_WAIT = "Run the job when the file is written; best write it under another name and rename it at the end."
_MOST_NAMED = 5
_NUMBER = re.compile(r"([0-9]{1,18})")


@frozen
class Beginning:
    """The first bytes of a file.

    :param digest: SHA-256, hexadecimal.
    :param lines: the number of line feeds.
    :param is_whole: whether a blank line ends or follows them, or nothing follows: no record goes on behind them.
    """

    digest: str
    lines: int
    is_whole: bool


@define
class StableFile:
    """An open file.

    :param name: its path below the folder of the connection.
    """

    name: str
    stream: BinaryIO
    status: os.stat_result
    _all: Beginning | None = field(default=None, init=False)

    @property
    def digest(self) -> str:
        """SHA-256 of its content when it was asked for first, hexadecimal."""
        return self._whole.digest

    @property
    def lines(self) -> int:
        """The number of its line feeds."""
        return self._whole.lines

    @property
    def _whole(self) -> Beginning:
        if self._all is None:
            self._all = self._beginning(None)
        return self._all

    def first(self, size: int) -> Beginning | None:
        """Its first bytes; None where it has less."""
        if size >= self.status.st_size:
            return self._whole if size == self.status.st_size else None
        return self._beginning(size)

    def _beginning(self, size: int | None) -> Beginning:
        digest, lines, end, following = hashlib.sha256(), 0, b"", b""
        for block in self._blocks():
            part = block[:size]
            digest.update(part)
            lines += part.count(b"\n")
            end = (end + part[-3:])[-3:]
            following = block[len(part) :]
            if size is not None:
                size -= len(part)
                if following:
                    break
        ends = not following or end.endswith((b"\n\n", b"\n\r\n")) or following.startswith((b"\n", b"\r\n"))
        return Beginning(digest.hexdigest(), lines, is_whole=ends)

    def head(self) -> Iterator[bytes]:
        """Its first bytes."""
        self.stream.seek(0)
        yield self._block()

    def blocks(self) -> Iterator[bytes]:
        """Its content.

        :raises SourceUnreachable: at the end, if that is another one than before.
        """
        before, digest = self.digest, hashlib.sha256()
        for block in self._blocks():
            digest.update(block)
            yield block
        if digest.hexdigest() != before:
            raise SourceUnreachable(f"the file {self.name} was changed while it was read", _WAIT)

    def _blocks(self) -> Iterator[bytes]:
        self.stream.seek(0)
        while block := self._block():
            yield block

    def _block(self) -> bytes:
        try:
            return self.stream.read(_BLOCK)
        except OSError as e:
            raise SourceUnreachable(f"the file {self.name} cannot be read ({e.strerror or e})") from e


@contextmanager
def stable_file(ask: Question, file: str) -> Iterator[StableFile]:
    """Opens a file, and sees at the end of the block that it is the same.

    :param file: its path below the folder of the connection; the name may be a pattern that one file fits.
    :raises SourceUnreachable: if there is no such file, or several; if it is reached by a link; or if it changed.
    """
    root = folder_of(ask)
    parts = _located(root, file)
    name = "/".join(parts)
    try:
        descriptor = opened_below(root, parts)
    except OSError as e:
        raise _not_opened(name, root, e) from e
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        os.close(descriptor)
        raise SourceUnreachable(f"{name} is no file", "Name a file that is no folder, pipe or device.")
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        yield StableFile(name, stream, before)
        after = os.fstat(descriptor)
        _check_same(name, before, after)
        try:
            named = os.stat(root.joinpath(*parts), follow_symlinks=False)
        except OSError as e:
            raise SourceUnreachable(f"the file {name} vanished while it was read", _WAIT) from e
        if not os.path.samestat(before, named):
            raise SourceUnreachable(f"the file {name} was replaced while it was read", _WAIT)


def files_that_fit(ask: Question, pattern: str) -> list[str]:
    """The files below the folder of a connection that a pattern fits, by their paths.

    They are in the order of their names, in which numbers count as numbers: `day-9` is before `day-10`.

    :raises SourceUnreachable: if the folder cannot be read.
    """
    parts = file_parts(pattern)
    if parts is None:
        raise SourceUnreachable(f"{shown(pattern)} is no path of files below a folder")
    *folders, last = parts
    names = sorted(_names(folder_of(ask), folders, last), key=_in_order)
    return ["/".join((*folders, name)) for name in names]


def _in_order(name: str) -> tuple[list[tuple[int, str]], str]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBER.split(name)], name


def folder_of(ask: Question) -> Path:
    """The folder of a connection.

    :raises SourceUnreachable: if none is given.
    """
    folder = ask.text(FOLDER)
    if folder is None:
        raise SourceUnreachable(
            "no folder is given",
            f'Write {FOLDER} = "…", the folder of the files, below [deltamark.connections.{ask.connection}] in '
            "deltamark.toml.",
        )
    return Path(folder)


def _check_same(name: str, before: os.stat_result, after: os.stat_result) -> None:
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise SourceUnreachable(f"the file {name} was changed while it was read", _WAIT)


def _located(root: Path, file: str) -> tuple[str, ...]:
    parts = file_parts(file)
    if parts is None:
        raise SourceUnreachable(f"{shown(file)} is no path of a file below a folder")
    *folders, pattern = parts
    if "*" not in pattern and "?" not in pattern:
        return parts
    names = _names(root, folders, pattern)
    if len(names) != 1:
        listed = ", ".join(names[:_MOST_NAMED]) + (" and others" if len(names) > _MOST_NAMED else "")
        problem = f"{len(names):,} files of {root} fit {shown(file)}: {listed}" if names else f"no file of {root} fits"
        raise SourceUnreachable(
            problem if names else f"{problem} {shown(file)}", "Leave one there that fits, or correct File."
        )
    return (*folders, names[0])


def _names(root: Path, folders: Sequence[str], pattern: str) -> list[str]:
    try:
        return [name for name in names_below(root, folders) if fnmatchcase(name, pattern)]
    except OSError as e:
        raise _not_opened("/".join(folders) or ".", root, e) from e


def _not_opened(name: str, root: Path, error: OSError) -> SourceUnreachable:
    why = (error.strerror or type(error).__name__).lower()
    return SourceUnreachable(
        f"{name} below {root} cannot be read ({why})",
        "Correct File or folder; links are not followed, and this user needs the right to read.",
    )
