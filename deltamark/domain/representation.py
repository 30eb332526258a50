"""How objects show themselves in an interpreter and in a notebook: in a line, or in a small table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice

from deltamark.domain.values import shown

_MOST_VALUES = 5
_MOST_CHARACTERS = 40
MOST_ROWS = 20
"""The most rows of a table in a notebook."""


def brief(values: Mapping[str, object]) -> str:
    """The first values of a mapping, each with its name, cut where they are long."""
    first = [f"{name}={_cut(value)}" for name, value in islice(values.items(), _MOST_VALUES)]
    return ", ".join([*first, f"… ({len(values)} in all)"] if len(values) > _MOST_VALUES else first)


def names_in_brief(names: Sequence[str]) -> str:
    """The first of some names, and how many there are where that is not all."""
    more = f", … ({len(names)} in all)" if len(names) > _MOST_VALUES else ""
    return ", ".join(names[:_MOST_VALUES]) + more


def _cut(value: object) -> str:
    return shown(value, _MOST_CHARACTERS) if isinstance(value, str) else str(value)


def html_table(title: str, columns: Iterable[str], rows: Iterable[Sequence[object]], count: int) -> str:
    """A table for a notebook; nothing in it is taken for HTML.

    :param rows: as many as are to be shown.
    :param count: how many there are in all; those beyond `MOST_ROWS` are only counted.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in islice(rows, MOST_ROWS)
    )
    more = f"<p>… and {count - MOST_ROWS:,} more</p>" if count > MOST_ROWS else ""
    return f"<p>{escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return escape(text if len(text) <= 200 else text[:200] + "…")
