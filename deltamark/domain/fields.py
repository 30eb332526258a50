"""Fields that several attrs classes share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field

from deltamark.domain.location import Location

DisplayNames = Mapping[int, str]
"""Language number (1 to 16) -> display name."""


def as_tuple(items: Iterable[Any]) -> tuple[Any, ...]:
    """Converts any sequence to a tuple, so that the field is immutable.

    Classes that users build have functions of their own that call this one: type checkers read from the parameter what
    the field takes.

    :raises TypeError: for a text, which would become a sequence of its characters.
    """
    if isinstance(items, str | bytes):
        raise TypeError(f"a text is not a sequence here; write [{items!r}] for a sequence of one item")
    return tuple(items)


def as_texts(items: Iterable[str]) -> tuple[str, ...]:
    """Converts any sequence of texts to a tuple.

    :raises TypeError: for a single text.
    """
    return as_tuple(items)


def as_names(items: DisplayNames) -> DisplayNames:
    """Copies display names, so that later changes of the original do not reach the field.

    :raises TypeError: for what is no mapping.
    """
    if not isinstance(items, Mapping):
        raise TypeError(f"display names are a mapping of the number of a language to a text, not {items!r}")
    return dict(items)


def location_field() -> Location | None:
    """A field for the place in a configuration file.

    Equality ignores it.
    """
    return field(default=None, eq=False, repr=False, kw_only=True)  # type: ignore[no-any-return]


def names_field() -> DisplayNames:
    """A field for display names."""
    return field(factory=dict, kw_only=True, repr=False, converter=as_names)
