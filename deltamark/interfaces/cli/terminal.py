"""What a terminal shows: whether a stream is one, and how wide a text is on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_DUMB = "dumb"
_TERMINAL_WIDTH, _PIPE_WIDTH = 80, 100


def can_redraw(stream: TextIO) -> bool:
    """Whether lines that were shown on a stream can be drawn again: on a terminal that is not "dumb".

    Colours that are forced into a pipe make no terminal of it.
    """
    try:
        return stream.isatty() and os.environ.get("TERM", _DUMB) not in (_DUMB, "")
    except ValueError:  # it was closed
        return False


def drawing_on(stream: TextIO) -> Console:
    """A console for progress on a stream on which lines can be drawn again."""
    from rich.console import Console  # which takes a while to load

    return Console(file=stream, highlight=False, force_terminal=True, no_color=not has_colour(stream))


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
    return can_redraw(stream)


def writable(text: str, stream: TextIO) -> str:
    """A text with the characters escaped that the encoding of a stream lacks, as wide as it is shown there."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if text.isascii() or encoding.lower().replace("-", "") == "utf8":
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)


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


def wrapped_list(text: str, width: int) -> list[str]:
    """A text of parts with commas between them in lines of at most a width, broken at commas where a part has room."""
    if width_of(text) <= width:
        return [text]
    lines, line = [], ""
    parts = text.split(", ")
    for number, part in enumerate(parts):
        piece = part + ("," if number < len(parts) - 1 else "")
        if line and width_of(f"{line} {piece}") <= width:
            line = f"{line} {piece}"
            continue
        if line:
            lines.append(line)
        *whole, line = wrapped(piece, width)
        lines += whole
    return [*lines, line]


def filled_line(line: str, width: int) -> list[str]:
    """A line in lines of at most a width, broken at blanks and indented like the first."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    return [indent + part for part in wrapped(line[len(indent) :], width - len(indent))]


@cache
def _cell_len() -> Callable[[str], int]:
    from rich.cells import cell_len

    return cell_len
