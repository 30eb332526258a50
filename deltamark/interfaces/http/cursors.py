"""Rows as the places at which the next page begins, in addresses."""

from __future__ import annotations

import json
from typing import Any, TypeVar, cast, get_type_hints

from attrs import astuple, fields

from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown

_Row = TypeVar("_Row")


def cursor_of(*parts: object) -> str:
    """What names a row in an address: its parts, or those of the one object that is given."""
    one = parts[0] if len(parts) == 1 else None
    return json.dumps(parts if one is None or isinstance(one, str) else astuple(cast("Any", one)))


def row_at(cursor: str, kind: type[_Row]) -> _Row:
    """The row of a kind that a cursor names.

    :raises UsageError: if it names none.
    """
    names = [attribute.name for attribute in fields(cast("Any", kind))]
    hints = get_type_hints(kind)
    return kind(**dict(zip(names, parts_of(cursor, *(hints[name] for name in names)), strict=True)))


def parts_of(cursor: str, *kinds: type) -> list[Any]:
    """The parts of a cursor.

    :raises UsageError: if it does not have parts of these types.
    """
    try:
        parts = json.loads(cursor)
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds) or not all(map(_is_stored, parts)):
        raise UsageError(f"{shown(cursor)} names no row. Give what `next` of a page says, or follow its link.")
    return parts


def _is_stored(part: Any) -> bool:
    """Whether a store may hold a part: no text of it has NUL or half a character."""
    return not isinstance(part, str) or not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in part)
