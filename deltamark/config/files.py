"""The files of a configuration: finding them, reading their bytes, noticing changes.

A configuration folder may come from an untrusted source, so the loader reads nothing outside it, waits for no pipe
and opens no device.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from deltamark.domain.errors import Fault
from deltamark.domain.location import Location

LARGEST_FILE = 1024 * 1024
ENDING = ".xml"
NOT_REGULAR = "this is not a regular file; a configuration is read from files only"

_Stamp: TypeAlias = tuple[object, ...]
"""What changes when a file does."""


@frozen
class ConfigurationFile:
    """A file of a configuration. `name` is its path as the user wrote it, for messages."""

    path: Path
    name: str


def configuration_files(path: Path) -> tuple[tuple[ConfigurationFile, ...], tuple[Fault, ...]]:
    """Returns the files below a folder, or the one file, sorted by path, and their faults.

    A symbolic link to a file of the same folder is ignored; one that leads out of the folder is a fault.
    """
    place = Location(display_name(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return (), (Fault(place, "there is no such file or folder; name the file or folder of the configuration"),)
    except (OSError, ValueError) as error:
        return (), (Fault(place, f"this cannot be read: {_reason(error)}"),)
    if stat.S_ISREG(mode):
        return (ConfigurationFile(path, display_name(path)),), ()
    if not stat.S_ISDIR(mode):
        return (), (Fault(place, NOT_REGULAR),)
    faults: list[Fault] = []
    files = tuple(sorted(_below(path, faults), key=lambda file: file.path))
    if not files and not faults:
        faults.append(Fault(place, f"the folder contains no *{ENDING} file; put the configuration there"))
    return files, tuple(faults)


def content(file: ConfigurationFile) -> bytes | Fault:
    """Returns the bytes of a file, cut one byte above the limit, or why it cannot be read."""
    try:
        # Without O_NONBLOCK, opening a pipe that has replaced the file since would block for ever.
        descriptor = os.open(file.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Fault(Location(file.name), NOT_REGULAR)
            return stream.read(LARGEST_FILE + 1)
    except OSError as error:
        return Fault(Location(file.name), f"this file cannot be read: {_reason(error)}")


def display_name(path: Path) -> str:
    """Returns a path as messages show it: on one line, whatever bytes it contains."""
    name = os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in name)


def _below(folder: Path, faults: list[Fault]) -> Iterator[ConfigurationFile]:
    def unreadable(error: OSError) -> None:
        faults.append(Fault(Location(display_name(Path(error.filename))), f"this cannot be read: {_reason(error)}"))

    inside = folder.resolve()
    for parent, folders, names in os.walk(folder, onerror=unreadable):
        for name in sorted((*folders, *names)):
            path = Path(parent, name)
            fault = _fault_of(path, inside, is_folder=name in folders)
            if fault is not None:
                faults.append(Fault(Location(display_name(path)), fault))
            elif name not in folders and _is_configuration(path) and not path.is_symlink():
                yield ConfigurationFile(path, display_name(path))


def _fault_of(path: Path, inside: Path, *, is_folder: bool) -> str | None:
    if path.is_symlink() and (is_folder or _is_configuration(path)):
        return _link_fault(path, inside)
    if not _is_configuration(path):
        return None
    if is_folder:
        return f"this is a folder; only files are named *{ENDING}"
    return None if path.is_file() else NOT_REGULAR


def _link_fault(path: Path, inside: Path) -> str | None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "this symbolic link has no target; remove it"
    if not target.is_relative_to(inside):
        return "this symbolic link leads out of the configuration folder; put the file itself here"
    if target.is_file() and not _is_configuration(target):
        return f"this symbolic link leads to a file that is not named *{ENDING}; put the file itself here"
    return None


def _is_configuration(path: Path) -> bool:
    return path.suffix.lower() == ENDING


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class WatchedFiles:
    """Detects whether the files of a configuration have changed since it was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._newest = _stamp(path)

    def differ(self) -> bool:
        """Whether the files are others than those that were read."""
        return _stamp(self._path) != self._known

    def changed(self) -> bool:
        """Whether the files have changed since this was last true, or since the start.

        Only true once the files are the same in two calls in a row: a file that is being written is left alone.
        """
        newest, before = _stamp(self._path), self._newest
        self._newest = newest
        if newest == self._known or newest != before:
            return False
        self._known = newest
        return True


def _stamp(path: Path) -> _Stamp:
    files, faults = configuration_files(path)
    return (tuple(_file_stamp(file.path) for file in files), faults)


def _file_stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return (file,)
    return (file, status.st_mtime_ns, status.st_size, status.st_ino)
