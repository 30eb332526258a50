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

from attrs import define, field

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.configuration.packages import FOLDER, file_parts
from deltamark.domain.values import shown
from deltamark.infrastructure.system.inner_files import names_below, opened_below

_BLOCK = 1 << 20
_WAIT = "Run the job when the file is written; best write it under another name and rename it at the end."
_MOST_NAMED = 5
_NUMBER = re.compile(r"([0-9]{1,18})")


@define
class StableFile:
    """An open file.

    :param name: its path below the folder of the connection.
    """

    name: str
    stream: BinaryIO
    status: os.stat_result
    _digest: str | None = field(default=None, init=False)

    @property
    def digest(self) -> str:
        """SHA-256 of its content when it was asked for first, hexadecimal."""
        if self._digest is None:
            digest = hashlib.sha256()
            for block in self._blocks():
                digest.update(block)
            self._digest = digest.hexdigest()
        return self._digest

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
