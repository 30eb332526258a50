"""The standard streams.

They are always open, never fail for a character, and are quiet when no one reads them.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TextIO

import click

from deltamark.domain.values import is_visible
from deltamark.interfaces.cli.pager import PagedOutput
from deltamark.interfaces.cli.styles import coloured
from deltamark.interfaces.cli.terminal import filled_line, width_of_lines, writable

_LONGEST_LINE = 2_000
_CANNOT_BE_WRITTEN = {errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG}
"""Errors of a stream itself: those of stores and extracts carry the name of a file."""

_MISSING: set[str] = set()
"""The standard streams that were closed when the process started."""


class ReaderGone(Exception):
    """The reader of standard output has closed it."""


class OutputLost(Exception):
    """Standard output cannot be written.

    The cause says why.
    """


def has_output() -> bool:
    """Whether standard output was open when the process started."""
    return "stdout" not in _MISSING


def open_missing() -> None:
    """Opens standard streams that were closed when the process started, on the null device.

    Otherwise the next file to be opened, perhaps the store, would get the number of such a stream, and what a library
    prints there would be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            _MISSING.add(name)
            # Takes the lowest number that is free. Results that cannot be written must not seem to be.
            os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_RDWR)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def escape_what_cannot_be_written() -> None:
    """Escapes characters that the encoding of a stream lacks, so that output never fails."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@contextmanager
def results() -> Iterator[None]:
    """A block that writes results on standard output.

    :raises ReaderGone: if no one reads them any more.
    :raises OutputLost: if they cannot be written.
    """
    try:
        yield
    except OSError as e:
        if e.filename is not None or e.errno not in _CANNOT_BE_WRITTEN:
            raise
        raise (ReaderGone if isinstance(e, BrokenPipeError) else OutputLost) from e


def leave() -> None:
    """Drops output that can no longer be written: Python would report it on exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


_is_quiet: ContextVar[bool] = ContextVar("whether progress is not shown", default=False)


def be_quiet(is_asked: bool) -> None:
    """Shows no progress from now on, or shows it."""
    _is_quiet.set(is_asked)


def is_quiet() -> bool:
    """Whether progress is not shown."""
    return _is_quiet.get()


def say(text: str, state: str | None = None) -> None:
    """Prints a message to the user on standard error: standard output holds results only.

    Each line is shown without control characters, and cut when it is very long. A terminal gets lines within its width;
    a pipe gets each line whole, for programs that search them. Where standard error was closed, the message is lost.

    :param state: the state that the message is about, in whose colour it is shown.
    """
    with suppress(OSError, ValueError):
        _write_lines([_cut(one_line(line)) for line in text.split("\n")], sys.stderr, state)


def tell(text: str, state: str | None = None) -> None:
    """Prints sentences that are a result on standard output, in lines as `say` does."""
    _write_lines([one_line(line) for line in text.split("\n")], sys.stdout, state)


def _write_lines(lines: Iterable[str], stream: TextIO, state: str | None) -> None:
    if stream.isatty():
        width = width_of_lines(stream)
        lines = [part for line in lines for part in filled_line(writable(line, stream), width)]
    text = "\n".join(coloured(line, state, stream) for line in lines)
    output = sys.stdout
    if stream is sys.stderr and isinstance(output, PagedOutput) and output.has_screen:
        output.said.append(f"{text}\n")  # a pager has the screen until it is left
        return
    click.echo(text, file=stream, color=True)  # colours are there only where the stream has them


def one_line(text: str) -> str:
    """A text with the characters escaped that would move the cursor, colour the screen, or cannot be seen."""
    if is_visible(text):
        return text
    return "".join(c if is_visible(c) else c.encode("unicode_escape").decode() for c in text)


def _cut(line: str) -> str:
    half = _LONGEST_LINE // 2
    return f"{line[:half]} … {line[-half:]}" if len(line) > _LONGEST_LINE else line


def print_with(function: Callable[[], object]) -> None:
    """Calls a function that prints on standard error, unless that was closed."""
    with suppress(OSError, ValueError):
        function()
