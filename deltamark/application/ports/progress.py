"""How a caller follows a long operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Receives how much is done, and how much there is in all, again and again."""


def no_progress(done: int, total: int) -> None:
    """Ignores progress."""
