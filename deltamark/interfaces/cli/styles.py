"""Colours of titles and states, and the sign of each state."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from deltamark.interfaces.cli.terminal import has_colour

if TYPE_CHECKING:
    from deltamark.interfaces.cli.table_layout import Style

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_GREEN, _YELLOW, _CYAN, _MAGENTA, _RED = "\x1b[32m", "\x1b[33m", "\x1b[36m", "\x1b[1;35m", "\x1b[1;31m"
_DIM = "\x1b[2m"
_STATES = {
    "completed": ("+", _GREEN),
    "warning": ("!", _YELLOW),
    "blocked": ("#", _MAGENTA),
    "failed": ("x", _RED),
    "aborted": ("x", _RED),
    "cancelled": ("~", _MAGENTA),
    "skipped": ("-", _DIM),
    "running": (">", _CYAN),
    "pending": (".", _DIM),
}
"""State -> its sign, which every terminal and encoding can show, and its colour."""


def with_sign(text: str, state: str) -> str:
    """A text about a state, or the state itself, behind the sign of that state."""
    return f"{_STATES[state][0]} {text}" if state in _STATES else text


def coloured(line: str, state: str | None, stream: TextIO) -> str:
    """A line in the colour of a state, where a stream has colours."""
    if state not in _STATES or not has_colour(stream):
        return line
    return f"{_STATES[state][1]}{line}{_RESET}"


def style_for(stream: TextIO) -> Style:
    """How the cells of a table are shown on a stream: titles bold, states in their colours."""
    return _coloured_cell if has_colour(stream) else _uncoloured_cell


def _uncoloured_cell(text: str, title: str) -> str:
    return text


def _coloured_cell(text: str, title: str) -> str:
    if not title:
        return f"{_BOLD}{text}{_RESET}"
    _, colour = _STATES.get(text[2:], ("", "")) if title == "state" else ("", "")
    return f"{colour}{text}{_RESET}" if colour else text
