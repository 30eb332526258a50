"""Which files a configuration consists of, and their bytes.

A configuration folder may come from elsewhere, so it must not make the loader read what lies outside it,
wait for a pipe or touch a device.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from deltamark.domain.errors import Fault
from deltamark.domain.location import Location

LARGEST_FILE = 1024 * 1024
ENDING = ".xml"
NOT_REGULAR = "this is not a regular file; a configuration is read from files only"


@frozen
class ConfigurationFile:
    """A file of a configuration; `name` is how messages call it: as the user named the path."""

    path: Path
    name: str


def found(path: Path) -> tuple[tuple[ConfigurationFile, ...], tuple[Fault, ...]]:
    """The files below a folder, or the one file, in the order of their names; and what is wrong with them.

    A symbolic link to a file of the same folder adds nothing, one that leads out of it is a fault.
    """
    place = Location(display_name(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return (), (Fault(place, "there is no such file or folder; name the configuration's file or folder"),)
    except (OSError, ValueError) as error:
        return (), (Fault(place, f"this cannot be read: {_reason(error)}"),)
    if stat.S_ISREG(mode):
        return (ConfigurationFile(path, display_name(path)),), ()
    if not stat.S_ISDIR(mode):
        return (), (Fault(place, NOT_REGULAR),)
    faults: list[Fault] = []
    files = tuple(sorted(_below(path, faults), key=lambda file: file.path))
    if not files and not faults:
        faults.append(Fault(place, f"the folder holds no *{ENDING} file; put the configuration there"))
    return files, tuple(faults)


def content(file: ConfigurationFile) -> bytes | Fault:
    """The bytes of a file, cut just above the largest size that is read; or why they cannot be read."""
    try:
        # Without O_NONBLOCK, a pipe put in the file's place since it was found would block for ever.
        descriptor = os.open(file.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Fault(Location(file.name), NOT_REGULAR)
            return stream.read(LARGEST_FILE + 1)
    except OSError as error:
        return Fault(Location(file.name), f"this file cannot be read: {_reason(error)}")


def display_name(path: Path) -> str:
    """A path as messages show it: on one line, whatever bytes its name holds."""
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
        return "this symbolic link leads nowhere; remove it"
    if not target.is_relative_to(inside):
        return "this symbolic link leads out of the configuration folder; put the file itself here"
    if target.is_file() and not _is_configuration(target):
        return f"this symbolic link leads to a file that is not named *{ENDING}; put the file itself here"
    return None


def _is_configuration(path: Path) -> bool:
    return path.suffix.lower() == ENDING


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
