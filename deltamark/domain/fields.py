"""Sequences as immutable fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def as_tuple(items: Iterable[Any]) -> tuple[Any, ...]:
    """The items as a tuple: lets a field be given any sequence and stay immutable.

    :raises TypeError: for a text, which would become a sequence of its characters.
    """
    if isinstance(items, str | bytes):
        raise TypeError(f"a sequence is wanted here; write [{items!r}] for a sequence of one")
    return tuple(items)
