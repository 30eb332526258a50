"""Values as the texts of cells, also of those that spreadsheets open."""

from __future__ import annotations

import orjson

from deltamark.domain.spreadsheets import guarded


def without_formula(value: object) -> str:
    """A value as a text that no spreadsheet takes for a formula.

    Numbers are none.
    """
    return guarded(value) if isinstance(value, str) else plain(value)


def plain(value: object) -> str:
    """A value as text: empty for null, JSON for lists and objects."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return str(value)
    return orjson.dumps(value).decode()
