"""Files that are all new: they appear together, and nothing that exists is replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deltamark.domain.errors import UsageError

_MOST_NAMED = 5


@contextmanager
def new_files(files: Sequence[Path], *, would_be_read: Iterable[Path] = ()) -> Iterator[None]:
    """A block that writes files, none of which is there yet; their folders are made.

    If it fails, the files and the folders that were made for them are removed.

    :param would_be_read: files that are there and would be taken for some of the new ones.
    :raises UsageError: naming what is in the way. Nothing was written then.
    """
    in_the_way = dict.fromkeys([*(file for file in files if os.path.lexists(file)), *would_be_read])
    if in_the_way:
        names = [str(file) for file in in_the_way]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        is_one = len(names) == 1
        raise UsageError(
            f"{', '.join(names[:_MOST_NAMED])}{more} {'is' if is_one else 'are'} there already. Nothing was written. "
            f"Move {'it' if is_one else 'them'} away, or work in another folder."
        )
    made = list(_missing_folders(files))
    try:
        for folder in reversed(made):
            try:
                folder.mkdir(exist_ok=True)
            except OSError as e:
                raise UsageError(f"{folder} cannot be made: {e.strerror}. Name a folder that you may write.") from e
        yield
    except BaseException:
        for file in files:
            with suppress(OSError):
                file.unlink()
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


def _missing_folders(files: Iterable[Path]) -> Iterator[Path]:
    """The folders of files that are not there, the innermost first."""
    seen: set[Path] = set()
    for file in files:
        for folder in file.parents:
            if folder in seen or os.path.lexists(folder):
                break
            seen.add(folder)
    yield from sorted(seen, key=lambda folder: -len(folder.parts))
