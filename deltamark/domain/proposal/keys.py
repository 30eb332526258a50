"""Which column identifies the rows of a table."""

from __future__ import annotations

from attrs import frozen

from deltamark.domain.messages import how_many
from deltamark.domain.proposal.names import key_rank
from deltamark.domain.proposal.profile import ColumnProfile, TableProfile
from deltamark.domain.values import shown

LONGEST_KEY = 200
"""Longer texts are no keys, although they may be unique."""

_MOST_BAD_ROWS = 0.02
_LEAST_ROWS = 20
"""In smaller tables a row that repeats a value says nothing."""

_FRACTION = (".", ",")


@frozen(kw_only=True)
class KeyChoice:
    """The column that is proposed as the key of a table.

    :param column: None if there is none.
    :param why: what speaks for it, or why there is none; a clause.
    :param is_unsure: whether a person must look at it.
    """

    column: str | None
    why: str
    is_unsure: bool = False


def chosen_key(table: TableProfile) -> KeyChoice:
    """The key of a table: unique, never empty, stable by its name; the first column among equals.

    A column with a name of keys may repeat or lack a value in one row of fifty: these rows will be set aside.
    """
    if not table.rows:
        ranked = sorted(table.columns, key=lambda column: -key_rank(column.name, table.table))
        first = ranked[0].name if ranked else None
        return KeyChoice(column=first, why="by its name alone: the table has no rows", is_unsure=True)
    unique = [column for column in table.columns if _is_unique(column, table)]
    best = max(unique, key=lambda column: key_rank(column.name, table.table), default=None)
    rank = -1 if best is None else key_rank(best.name, table.table)
    nearly = [column for column in table.columns if _is_nearly_unique(column, table)]
    other = max(nearly, key=lambda column: key_rank(column.name, table.table), default=None)
    if other is not None and key_rank(other.name, table.table) > max(rank, 1):
        return KeyChoice(column=other.name, why=f"by its name, but {_flaw(other, table)}", is_unsure=True)
    if best is not None:
        return KeyChoice(column=best.name, why="unique, never empty", is_unsure=rank < 1)
    nearest = max(table.columns, key=lambda column: column.distinct, default=None)
    flaw = "" if nearest is None else f"; the nearest is {nearest.name}, but {_flaw(nearest, table)}"
    return KeyChoice(column=None, why=f"no column is unique and never empty{flaw}")


def is_identifying(column: ColumnProfile, table: TableProfile) -> bool:
    """Whether every row of a table has a value of its own in a column."""
    return _is_unique(column, table)


def _is_unique(column: ColumnProfile, table: TableProfile) -> bool:
    return column.filled == column.distinct == table.rows and _may_be_key(column)


def _is_nearly_unique(column: ColumnProfile, table: TableProfile) -> bool:
    bad_rows = max(1, int(table.rows * _MOST_BAD_ROWS)) if table.rows >= _LEAST_ROWS else 0
    return column.distinct >= table.rows - bad_rows and _may_be_key(column)


def _may_be_key(column: ColumnProfile) -> bool:
    if column.is_binary or column.longest > LONGEST_KEY or any("\n" in value for value in column.sample):
        return False
    return not column.sample or not all(_is_measure(value) for value in column.sample)


def _is_measure(value: str) -> bool:
    """Whether a value is a number with a fraction, which identifies nothing."""
    whole = value.strip("+-")
    return any(sign in whole for sign in _FRACTION) and whole.replace(".", "").replace(",", "").isdigit()


def _flaw(column: ColumnProfile, table: TableProfile) -> str:
    flaws = []
    if column.filled < table.rows:
        empty = how_many(table.rows - column.filled, "row")
        flaws.append(
            f"{empty} {'has' if table.rows - column.filled == 1 else 'have'} no value (line {column.empty_line})"
        )
    if column.repeated is not None:
        flaws.append(f"{shown(column.repeated, 30)} repeats (line {column.repeated_line})")
    return " and ".join(flaws) or "it does not look like a key"
