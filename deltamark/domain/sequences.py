"""Sequences as immutable fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def as_tuple(items: Iterable[Any]) -> tuple[Any, ...]:
    """The items as a tuple: lets a field be given any sequence and stay immutable."""
    return tuple(items)
