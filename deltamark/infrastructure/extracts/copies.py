"""The files that a reader works with: the extract itself, and copies of it, none of which outlives the reading."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.system.temporary_files import nameless_file, path_of_descriptor, temporary_folder

_PATTERN = frozenset("*?[]{}~%")
"""Characters that are more than a name to DuckDB, at least in some place."""

OPEN_FILE = re.compile(r"/proc/self/fd/\d+")
"""A path that messages must not show, as it says nothing to users."""


class Copies:
    """Gives paths to files, by which libraries open them.

    On Linux they lead to open files without a name, of which nothing stays if the process is killed. Elsewhere they lie
    in a temporary folder.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._folder: Path | None = None
        self._made = 0

    def new(self) -> Path:
        """A new, empty file to write to and to read from."""
        stream = self._stack.enter_context(nameless_file())
        path = path_of_descriptor(stream.fileno())
        if path is None:
            path = self._place()
            path.touch(0o600)
        return path

    def path_to(self, descriptor: int) -> Path:
        """A path to an open file, which stays open as long, or else to a copy of it.

        The position in the file is at its beginning afterwards.
        """
        path = path_of_descriptor(descriptor)
        if path is None:
            path = self._place()
            with os.fdopen(os.dup(descriptor), "rb") as stream, path.open("wb") as copy:
                shutil.copyfileobj(stream, copy, 1 << 20)
            os.lseek(descriptor, 0, os.SEEK_SET)
        return path

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = self._stack.enter_context(temporary_folder())
            if not _PATTERN.isdisjoint(str(self._folder)):
                raise UsageError(
                    f"the temporary folder {self._folder.parent} has a character in its name that cannot be used here "
                    f"(one of {' '.join(sorted(_PATTERN))}). Set TMPDIR to another folder."
                )
        self._made += 1
        return self._folder / f"copy{self._made}"


@contextmanager
def copies() -> Iterator[Copies]:
    """Copies that last for this block."""
    with ExitStack() as stack:
        yield Copies(stack)
