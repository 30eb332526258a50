"""Colours of titles and states on a terminal."""

from __future__ import annotations

from typing import TextIO

from deltamark.interfaces.cli.table_layout import Style
from deltamark.interfaces.cli.terminal import has_colour

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_COLOURS = {
    "completed": "\x1b[32m",
    "warning": "\x1b[33m",
    "blocked": "\x1b[1;31m",
    "failed": "\x1b[1;31m",
    "skipped": "\x1b[2m",
    "running": "\x1b[36m",
    "pending": "\x1b[2m",
}


def style_for(stream: TextIO) -> Style:
    """How the cells of a table are shown on a stream: titles bold, states in their colours."""
    return _coloured if has_colour(stream) else _uncoloured


def _uncoloured(text: str, title: str) -> str:
    return text


def _coloured(text: str, title: str) -> str:
    if not title:
        return f"{_BOLD}{text}{_RESET}"
    colour = _COLOURS.get(text) if title == "state" else None
    return f"{colour}{text}{_RESET}" if colour else text
