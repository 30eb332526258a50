"""What a terminal shows: whether a stream is one, and how wide a text is on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TextIO

_FORCING = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables by which rich takes a stream for a terminal though it is none."""


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


def width_of(text: str) -> int:
    """How many cells of a terminal a text takes: some characters take two, some none."""
    if text.isascii():
        return len(text)
    return _cell_len()(text)


@cache
def _cell_len() -> Callable[[str], int]:
    from rich.cells import cell_len

    return cell_len
