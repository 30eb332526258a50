"""Folders in memory, where there is such a thing: whatever is committed there waits for no disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_SHARED = Path("/dev/shm")  # noqa: S108 (the folders made in it are the tests' own)
_ENOUGH = 2 << 30


def memory(*, for_programs: bool = False) -> Path | None:
    """The folder of the system that lies in memory; None where there is none, or too little room.

    :param for_programs: whether programs in it must be able to run.
    """
    if not _SHARED.is_dir() or not os.access(_SHARED, os.W_OK):
        return None
    room = os.statvfs(_SHARED)
    if room.f_bavail * room.f_frsize < _ENOUGH or (for_programs and room.f_flag & os.ST_NOEXEC):
        return None
    return _SHARED


@contextmanager
def folder_in_memory(otherwise: Path) -> Iterator[Path]:
    """A new folder in memory for the time of the block, or another one where there is no memory for it."""
    shared = memory()
    if shared is None:
        yield otherwise
        return
    with TemporaryDirectory(dir=shared, prefix="deltamark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
