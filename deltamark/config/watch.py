"""Whether the files of a configuration were changed."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from deltamark.config.files import found

_Stamp: TypeAlias = tuple[object, ...]


class WatchedFiles:
    """The files of a configuration, as they are when this is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._newest = _stamp(path)

    def changed(self) -> bool:
        """Whether they are others than at the last time that this was true, and stayed as they are since the last look:
        what is just being written is left alone.
        """
        newest, before = _stamp(self._path), self._newest
        self._newest = newest
        if newest == self._known or newest != before:
            return False
        self._known = newest
        return True


def _stamp(path: Path) -> _Stamp:
    files, faults = found(path)
    return (tuple(_stamp_of(file.path) for file in files), faults)


def _stamp_of(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return (file,)
    return (file, status.st_mtime_ns, status.st_size, status.st_ino)
