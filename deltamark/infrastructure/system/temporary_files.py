"""Temporary folders and files, which only this user may read and which do not outlive their process for long.

A temporary folder, or a file that is being written, is locked as long as its process lives. What a process left behind
when it was killed is not locked any more, and `remove_left_behind` removes it. Files without a name
(`nameless_file`) are removed by the operating system itself.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where a folder cannot be locked: nothing is removed there
    fcntl = None  # type: ignore[assignment]

_FOLDER_PREFIX = ".deltamark-temporary-"
_PART_PREFIX = ".deltamark-part-"
_FOLDER_NAME = re.compile(rf"{re.escape(_FOLDER_PREFIX)}[a-z0-9_]{{8}}")
_PART_NAME = re.compile(rf"{re.escape(_PART_PREFIX)}[0-9a-f]{{16}}")

_DESCRIPTORS = Path("/proc/self/fd")
_OPEN_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_OPEN_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


_MEMORY = Path("/dev/shm")  # noqa: S108 (only folders that a process makes and locks for itself lie in it)


_chosen: Path | None = None
"""Where temporary folders and files are made; None for the temporary folder of the system."""


def is_usable(place: Path) -> bool:
    """Whether temporary folders can be made in a folder."""
    return place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)


def use_place(place: Path | None) -> None:
    """Makes temporary folders and files in another folder from now on; None is the temporary folder of the system."""
    global _chosen
    _chosen = place


def memory_folder(room: int) -> Path | None:
    """The folder of the system that lies in memory; None where there is none, or less than `room` bytes free in it."""
    with suppress(OSError):
        if os.access(_MEMORY, os.R_OK | os.W_OK | os.X_OK):
            status = os.statvfs(_MEMORY)
            if status.f_bavail * status.f_frsize >= room:
                return _MEMORY
    return None


class TemporaryFolder:
    """A new folder in the chosen temporary folder, or in another one, for this user alone.

    It is removed when it is closed, when nothing refers to it any more, when the process ends, or, if the process is
    killed, by the next one that calls `remove_left_behind`.
    """

    def __init__(self, place: Path | None = None) -> None:
        self.path, lock = _locked_folder(place)
        self._finalizer = weakref.finalize(self, _remove_own, self.path, lock, os.getpid())

    def close(self) -> None:
        """Removes the folder with all that is in it."""
        self._finalizer()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A `TemporaryFolder` for this block."""
    folder = TemporaryFolder()
    try:
        yield folder.path
    finally:
        folder.close()


def nameless_file() -> BinaryIO:
    """A new, empty file for this user alone; it is gone when it is closed, or when the process ends in any way."""
    return tempfile.TemporaryFile(buffering=0, dir=_chosen)


def path_of_descriptor(descriptor: int) -> Path | None:
    """A path that leads to this very open file, whatever its name leads to by now.

    Opening it gives a position of its own. None where the operating system has no such paths.
    """
    path = _DESCRIPTORS / str(descriptor)
    return path if path.exists() else None


def remove_left_behind(folder: Path | None = None) -> None:
    """Removes what processes of this user left in a folder when they were killed.

    Whatever another process still has, belongs to somebody else, or is a link is left alone. Never fails.

    :param folder: if it is None, those in which this process makes temporary folders, and that of the system.
    """
    if fcntl is None:
        return
    usual = (Path(tempfile.gettempdir()), _MEMORY, *(() if _chosen is None else (_chosen,)))
    for place in usual if folder is None else (folder,):
        with suppress(OSError):
            _remove_left_in(place)


def _remove_left_in(place: Path) -> None:
    with os.scandir(place) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(".deltamark-")]
    for name in names:
        is_part = _PART_NAME.fullmatch(name) is not None
        if is_part or _FOLDER_NAME.fullmatch(name):
            with suppress(OSError):
                _remove_if_left(place / name, is_part=is_part)


def new_part(open_new: Callable[[str], int]) -> tuple[int, str]:
    """A new file that is marked as being written until its descriptor is closed, and its name.

    :param open_new: opens a new file of that name, which must not exist.
    """
    while True:
        name = part_name()
        descriptor = open_new(name)
        if lock_part(descriptor) and os.fstat(descriptor).st_nlink > 0:
            return descriptor, name
        os.close(descriptor)  # removed by a process that took it for one that was left behind


def part_name() -> str:
    """A new name for a file that is not complete."""
    return f"{_PART_PREFIX}{os.urandom(8).hex()}"


def lock_part(descriptor: int) -> bool:
    """Marks a file as being written until it is closed; False if another process has marked it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nothing is removed there
        pass
    return True


def _locked_folder(place: Path | None) -> tuple[Path, int | None]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=place or _chosen))
        if fcntl is None:
            return path, None
        try:
            descriptor = os.open(path, _OPEN_FOLDER)
        except FileNotFoundError:  # removed by a process that saw it before it was locked
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:  # a file system without locks: nothing is removed there
            return path, descriptor
        if path.exists():
            return path, descriptor
        os.close(descriptor)


def _remove_own(path: Path, lock: int | None, process: int) -> None:
    if os.getpid() != process:  # a forked process, which inherited the object and not the folder
        return
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        with suppress(OSError):
            os.close(lock)


def _remove_if_left(path: Path, *, is_part: bool) -> None:
    descriptor = os.open(path, _OPEN_FILE if is_part else _OPEN_FOLDER)
    try:
        status = os.fstat(descriptor)
        is_expected = stat.S_ISREG(status.st_mode) if is_part else stat.S_ISDIR(status.st_mode)
        if not is_expected or status.st_uid != os.geteuid():
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(status, os.lstat(path)):
            return
        if is_part:
            os.unlink(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
