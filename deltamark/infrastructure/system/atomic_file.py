"""Files that appear complete or not at all, and are never written through a link.

Every file that Deltamark writes for users is written here, except the store and its backups, which SQLite writes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.system.temporary_files import (
    lock_part,
    new_part,
    part_name,
    path_of_descriptor,
    remove_left_behind,
)

_HAS_FOLDERS = hasattr(os, "O_DIRECTORY") and os.open in os.supports_dir_fd
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_LEAST_RIGHTS = 0o600
_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def whole_file(file: Path, *, mode: int = 0o666, is_new: bool = False) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file when the block ends without error.

    Otherwise the old file stays, and nothing is left of the new one. Where the operating system has files without
    a name, that is so even if the process is killed.

    :param mode: the rights of the file, less those that the umask takes.
    :param is_new: whether an existing file is refused instead of replaced.
    :raises UsageError: if the file cannot be written, or if there is a link, a folder, a pipe or a device at its place.
    """
    try:
        with _folder(file.parent) as folder, _stream(folder, file.name, mode, is_new=is_new) as stream:
            yield stream
    except _NotPlain as e:
        raise UsageError(f"{file} {e}. Name another file.") from None
    except OSError as e:
        raise _not_written(file, e, "Name a file in a folder that you may write.") from e


@contextmanager
def whole_file_below(root: Path, folder: str, name: str) -> Iterator[BinaryIO]:
    """Like `whole_file`, for a file in a folder below one that others may write to.

    The folder is made if it is missing, and refused if it is a link. A link at the place of the file is replaced.

    :raises UsageError: if the file cannot be written.
    """
    file = root / folder / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            _folder(root) as place,
            _folder_below(place, folder) as inner,
            _stream(inner, name, 0o666, replaces_links=True) as stream,
        ):
            yield stream
    except _NotPlain as e:
        raise UsageError(f"{root / folder} {e}. Put a folder in its place, or remove it.") from None
    except OSError as e:
        raise _not_written(file, e, f"Make {root / folder} a folder with rights to write.") from e


def _not_written(file: Path, error: OSError, advice: str) -> UsageError:
    if error.errno in _NO_SPACE:
        advice = "Nothing is left of it. Free some space there, or raise the limit, and try again."
    return UsageError(f"{file} cannot be written: {error.strerror}. {advice}")


class _NotPlain(Exception):
    """What is at a place cannot be replaced; the message is a clause without its subject."""


@frozen
class _Folder:
    """An open folder. Names in it lead to its entries, even if the folder itself is renamed or replaced.

    :param descriptor: None where folders cannot be opened.
    """

    path: Path
    descriptor: int | None

    def place(self, name: str) -> str | Path:
        """What the functions of `os` take for an entry, together with the descriptor."""
        return name if self.descriptor is not None else self.path / name

    def status(self, name: str) -> os.stat_result | None:
        """The status of an entry, links not followed; None if there is none."""
        try:
            return os.stat(self.place(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        with suppress(OSError):
            os.unlink(self.place(name), dir_fd=self.descriptor)

    def rename(self, name: str, new_name: str) -> None:
        if self.descriptor is None:
            os.replace(self.place(name), self.place(new_name))
        else:
            os.rename(name, new_name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def sync(self) -> None:
        if self.descriptor is not None:
            with suppress(OSError):  # some file systems cannot
                os.fsync(self.descriptor)


@contextmanager
def _folder(path: Path) -> Iterator[_Folder]:
    if not _HAS_FOLDERS:
        yield _Folder(path, None)
        return
    descriptor = os.open(path, _FOLDER)
    try:
        yield _Folder(path, descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _folder_below(parent: _Folder, name: str) -> Iterator[_Folder]:
    with suppress(FileExistsError):
        os.mkdir(parent.place(name), dir_fd=parent.descriptor)
    status = parent.status(name)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        raise _NotPlain(f"is {kind_of_entry(status.st_mode)}, not a folder")
    if parent.descriptor is None:
        yield _Folder(parent.path / name, None)
        return
    descriptor = os.open(name, _FOLDER | _NO_LINK, dir_fd=parent.descriptor)
    try:
        yield _Folder(parent.path / name, descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _stream(
    folder: _Folder, name: str, mode: int, *, is_new: bool = False, replaces_links: bool = False
) -> Iterator[BinaryIO]:
    _check_entry(folder.status(name), is_new=is_new, replaces_links=replaces_links)
    descriptor, part = _part(folder, mode)
    try:
        with os.fdopen(descriptor, "w+b", closefd=False) as stream:
            yield stream
            stream.flush()
        os.fsync(descriptor)
        # Again: the file may have come while the new one was written.
        _check_entry(folder.status(name), is_new=is_new, replaces_links=replaces_links)
        if part is None:
            part = _linked(folder, descriptor, name, is_new=is_new)
        elif is_new and _given_name(folder, part, name):
            folder.remove(part)
            part = None
        if part is not None:
            folder.rename(part, name)
            part = None
        folder.sync()
    finally:
        if part is not None:
            folder.remove(part)
        os.close(descriptor)


def _check_entry(status: os.stat_result | None, *, is_new: bool, replaces_links: bool) -> None:
    if status is None:
        return
    if is_new:
        raise _NotPlain("already exists and is not replaced")
    if stat.S_ISREG(status.st_mode) or (replaces_links and not stat.S_ISDIR(status.st_mode)):
        return
    raise _NotPlain(f"is {kind_of_entry(status.st_mode)}, not a file, and is not replaced")


def kind_of_entry(mode: int) -> str:
    """What an entry of a folder is, with its article, if it is no file."""
    kinds = (
        (stat.S_ISLNK, "a link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISREG, "a file"),
    )
    return next((described for test, described in kinds if test(mode)), "a device")


def _part(folder: _Folder, mode: int) -> tuple[int, str | None]:
    """A new file in the folder, open, and its name, if it has one already."""
    if folder.descriptor is not None and hasattr(os, "O_TMPFILE"):
        with suppress(OSError):  # a file system that has no files without a name
            descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=folder.descriptor)
            if path_of_descriptor(descriptor) is not None:
                return descriptor, None
            os.close(descriptor)
    remove_left_behind(folder.path)
    descriptor, name = new_part(lambda name: os.open(folder.place(name), _NEW, _LEAST_RIGHTS, dir_fd=folder.descriptor))
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode & ~_umask())
    return descriptor, name


def _linked(folder: _Folder, descriptor: int, name: str, *, is_new: bool) -> str | None:
    """Gives a file without a name its name, or, if that is taken, the returned one."""
    source = path_of_descriptor(descriptor)
    assert source is not None, "_part has seen it"
    try:
        os.link(source, name, dst_dir_fd=folder.descriptor, follow_symlinks=True)
        return None
    except FileExistsError:
        if is_new:
            raise _NotPlain("already exists and is not replaced") from None
    part = part_name()
    lock_part(descriptor)
    os.link(source, part, dst_dir_fd=folder.descriptor, follow_symlinks=True)
    return part


def _given_name(folder: _Folder, part: str, name: str) -> bool:
    """Gives a file a second name, which fails if that is taken: a rename would replace what is there.

    False where the file system has no links.
    """
    try:
        os.link(folder.place(part), folder.place(name), src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
        return True
    except FileExistsError:
        raise _NotPlain("already exists and is not replaced") from None
    except OSError as e:
        if e.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
