"""Opens files below a folder, and follows no link on the way: what was checked is what is opened."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_FILE = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO must not hang the job
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


def opened_below(root: Path, parts: Sequence[str]) -> int:
    """Opens a file below a folder for reading; the caller closes the descriptor.

    :param root: links in it are followed.
    :param parts: the names of the folders on the way, and of the file.
    :raises OSError: if it cannot be opened, or if one of the names is that of a link.
    """
    *folders, name = parts
    if not _has_descriptors():
        _refuse_links(root, parts)
        return os.open(root.joinpath(*parts), _FILE)
    with _folder_below(root, folders) as folder:
        return os.open(name, _FILE, dir_fd=folder)


def names_below(root: Path, folders: Sequence[str]) -> list[str]:
    """The names in a folder below another one, sorted.

    :raises OSError: as `opened_below`.
    """
    if not _has_descriptors():
        _refuse_links(root, folders)
        return sorted(os.listdir(root.joinpath(*folders)))
    with _folder_below(root, folders) as folder:
        return sorted(os.listdir(folder))


@contextmanager
def _folder_below(root: Path, folders: Sequence[str]) -> Iterator[int]:
    place = os.open(root, _FOLDER)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = inner
        yield place
    finally:
        os.close(place)


def _has_descriptors() -> bool:
    return hasattr(os, "O_DIRECTORY") and os.open in os.supports_dir_fd


def _refuse_links(root: Path, parts: Sequence[str]) -> None:
    place = root
    for part in parts:
        place = place / part
        if place.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
