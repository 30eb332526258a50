"""The standard streams: there from the start, never failing for want of a character, quiet when nobody reads."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

_LONGEST_LINE = 2_000
_CANNOT_BE_WRITTEN = {errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG}
"""What a stream says, without the name of a file: stores and extracts have errors of their own."""


class ReaderGone(Exception):
    """Whoever read standard output has closed it: there is nobody to tell anything more."""


class OutputLost(Exception):
    """Standard output cannot be written; the cause says why."""


def open_missing() -> None:
    """Opens the standard streams that were closed when the process started, on nothing.

    Without it the next file to be opened, the store perhaps, would get the number of such a stream, and what a
    library prints there would be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def escape_what_cannot_be_written() -> None:
    """Lets output never fail for want of a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@contextmanager
def results() -> Iterator[None]:
    """A block that writes results on standard output.

    :raises ReaderGone: if nobody reads them.
    :raises OutputLost: if they cannot be written.
    """
    try:
        yield
    except OSError as e:
        if e.filename is not None or e.errno not in _CANNOT_BE_WRITTEN:
            raise
        raise (ReaderGone if isinstance(e, BrokenPipeError) else OutputLost) from e


def leave() -> None:
    """Lets what cannot be written any more go nowhere: otherwise Python complains about it when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(text: str) -> None:
    """Words to the user: on standard error, so that standard output holds results only.

    Each line is shown without what would move the cursor or colour the screen, and cut when it is endless.
    Where standard error is gone the words are lost, and that is no reason to stop.
    """
    with suppress(OSError, ValueError):
        click.echo("\n".join(_cut(one_line(line)) for line in text.split("\n")), err=True)


def one_line(text: str) -> str:
    """A text without what would move the cursor or colour the screen."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cut(line: str) -> str:
    half = _LONGEST_LINE // 2
    return f"{line[:half]} … {line[-half:]}" if len(line) > _LONGEST_LINE else line


def tell(words: Callable[[], object]) -> None:
    """Calls what prints on standard error, if there is still one."""
    with suppress(OSError, ValueError):
        words()
