"""Which column tells when a row of a table was changed, as far as its name and what the database says of it show."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from attrs import frozen

_CHANGED = re.compile(
    r"(?:^|_)(?:last_?)?(?:updated?|upd|modified|modify|modification|mod|changed?|mutated|mutation|edited|geaendert|"
    r"aktualisiert|modifie|maj)(?:_?(?:at|on|date|time|datetime|timestamp|ts|utc|am|le|stamp))?$"
    r"|(?:^|_)(?:row_?version|rowver|version_?stamp|timestamp|last_?(?:touched|write|written))$"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
OVERLAP_S = "00:10:00"
"""How far before the mark a proposed reading begins, for rows that are committed late."""


@frozen(kw_only=True)
class WatermarkChoice:
    """The column that is proposed as the watermark of a table.

    :param is_unsure: whether a person must look at it.
    """

    column: str
    why: str
    is_unsure: bool = False


def may_tell_changes(name: str) -> bool:
    """Whether a column says by its name when a row was changed: `updated_at`, `LastModified`, `row_version`."""
    return _CHANGED.search(_HUMP.sub("_", name).lower()) is not None


def chosen_watermark(
    columns: Sequence[str],
    *,
    clocks: Collection[str],
    versions: Collection[str],
    required: Collection[str],
    indexed: Collection[str],
) -> WatermarkChoice | None:
    """The watermark of a table: a version that the database keeps, or else a time by its name; None where none is.

    :param clocks: the columns whose type may tell it.
    :param versions: those that the database itself raises whenever a row is written.
    :param required: those that are never empty.
    :param indexed: those by which rows are found fast.
    """
    for column in columns:
        if column in versions:
            return WatermarkChoice(column=column, why=f"its type{_index(column, indexed)}")
    named = [column for column in columns if column in clocks and may_tell_changes(column)]
    ranked = sorted(named, key=lambda column: (column not in required, column not in indexed))
    if not ranked:
        return None
    column = ranked[0]
    filled = "" if column in required else ", but it may be empty: such rows are read each time"
    return WatermarkChoice(
        column=column,
        why=f"its name and type{_index(column, indexed)}{filled}",
        is_unsure=True,
    )


def _index(column: str, indexed: Collection[str]) -> str:
    return ", it has an index" if column in indexed else ", without an index: each reading looks at all rows"
