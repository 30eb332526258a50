"""What a terminal shows: whether a stream is one, and how wide a text is on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TextIO

_FORCING = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables by which rich takes a stream for a terminal though it is none."""

_TERMINAL_WIDTH, _PIPE_WIDTH = 80, 100


def is_terminal(stream: TextIO) -> bool:
    """Whether rich draws on a stream.

    Rich is loaded only where it may be so.
    """
    try:
        is_tty = stream.isatty()
    except ValueError:  # it was closed
        return False
    if not (is_tty or any(os.environ.get(name) for name in _FORCING)):
        return False
    from rich.console import Console

    return Console(file=stream).is_terminal


def width_of_lines(stream: TextIO) -> int:
    """The cells in a line of a stream: those of the terminal, or as COLUMNS says; 100 in a pipe."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        return int(columns)
    try:
        if stream.isatty():
            return os.get_terminal_size(stream.fileno()).columns or _TERMINAL_WIDTH
    except (OSError, ValueError):
        return _TERMINAL_WIDTH
    return _PIPE_WIDTH


def has_colour(stream: TextIO) -> bool:
    """Whether colours are shown on a stream.

    NO_COLOR, if it is not empty, forbids them (https://no-color.org); FORCE_COLOR shows them in a pipe too
    (https://force-color.org); a terminal that is called "dumb" or nothing has none.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # it was closed
        return False


def width_of(text: str) -> int:
    """How many cells of a terminal a text takes: some characters take two, some none."""
    if text.isascii():
        return len(text)
    return _cell_len()(text)


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most a width, broken at blanks; a longer word has a line of its own."""
    if width_of(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        if line and width_of(f"{line} {word}") > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def filled_line(line: str, width: int) -> list[str]:
    """A line in lines of at most a width, broken at blanks and indented like the first."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    return [indent + part for part in wrapped(line[len(indent) :], width - len(indent))]


@cache
def _cell_len() -> Callable[[str], int]:
    from rich.cells import cell_len

    return cell_len
