"""Which column identifies the rows of a table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

from attrs import evolve, field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.messages import how_many
from deltamark.domain.proposal.names import is_code, is_date_name, key_rank
from deltamark.domain.proposal.profile import ColumnProfile, TableProfile
from deltamark.domain.values import shown

LONGEST_KEY = 200
"""Longer texts are no keys, although they may be unique."""

_MOST_BAD_ROWS = 0.02
_LEAST_ROWS = 20
"""In smaller tables a row that repeats a value says nothing."""

_FRACTION = (".", ",")

ROW_KEY = "row_key"
"""The name of a column that is made of several others, unless there is one of that name."""

BETWEEN_PARTS = "|"
"""What stands between the values of several columns in one key."""

_MOST_PARTS = 3
_LEAST_ROWS_OF_PARTS = 3
_FIRST_COLUMNS = 2
"""How much it says that columns are the first ones: as much as two dates."""
_MOST_CANDIDATES = 6
"""So many columns are tried together: fifteen pairs and twenty threes of them."""


@frozen(kw_only=True)
class KeyChoice:
    """The column that is proposed as the key of a table.

    :param column: None if there is none.
    :param why: what speaks for it, or why there is none; a clause.
    :param is_unsure: whether a person must look at it.
    :param parts: the columns of the table that it is made of, where it is none of them.
    """

    column: str | None
    why: str
    is_unsure: bool = False
    parts: tuple[str, ...] = field(converter=as_tuple, default=())


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


def possible_parts(table: TableProfile) -> list[tuple[str, ...]]:
    """The columns that together may identify the rows of a table, none of which does alone; the likeliest first.

    Two columns come before three; among them the first ones of the table, and names of keys, codes and dates.
    """
    if table.rows < _LEAST_ROWS_OF_PARTS:
        return []
    ranks = {column.name: _part_rank(column, table) for column in table.columns if _may_be_part(column, table)}
    names = sorted(ranks, key=lambda name: -ranks[name])[:_MOST_CANDIDATES]
    order = {column.name: number for number, column in enumerate(table.columns)}
    distinct = {column.name: column.distinct for column in table.columns}
    found = []
    for count in range(2, _MOST_PARTS + 1):
        sets = [tuple(sorted(parts, key=order.__getitem__)) for parts in combinations(names, count)]
        enough = [parts for parts in sets if _product(distinct[name] for name in parts) >= table.rows]
        first = tuple(order)[:count]
        found += sorted(
            enough, key=lambda parts: -sum(ranks[name] for name in parts) - _FIRST_COLUMNS * (parts == first)
        )
    return found


def joined_key(table: TableProfile, unique: Sequence[tuple[str, ...]]) -> KeyChoice:
    """The key that is made of several columns.

    :param unique: the sets of columns that are unique together, the likeliest first; at least one.
    """
    parts, *others = unique
    also = f"; {_listed(others[0])} are unique together, too" if others else ""
    return KeyChoice(
        column=free_name(ROW_KEY, [column.name for column in table.columns]),
        why=f"made of {_listed(parts)}, which are unique together and never empty; no column is alone{also}",
        is_unsure=bool(others) or not all(_part_rank(table.column(name), table) for name in parts),
        parts=parts,
    )


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


def with_row_key(table: TableProfile, key: KeyChoice) -> TableProfile:
    """A table with the column that its key is made of, as the first one."""
    if not key.parts or key.column is None:
        return table
    longest = sum(table.column(name).longest for name in key.parts) + len(BETWEEN_PARTS) * (len(key.parts) - 1)
    made = ColumnProfile(name=key.column, filled=table.rows, distinct=table.rows, longest=longest)
    return evolve(table, columns=[made, *table.columns])


def free_name(name: str, taken: Collection[str]) -> str:
    """A name of a column that none of others has, in any case."""
    known = {other.lower() for other in taken}
    number, free = 2, name
    while free in known:
        free, number = f"{name}{number}", number + 1
    return free


def _product(numbers: Iterable[int]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


def _part_rank(column: ColumnProfile, table: TableProfile) -> int:
    """How much the name of a column says that it is a part of a key: 0 nothing."""
    named = is_code(column.name) or is_date_name(column.name)
    return max(key_rank(column.name, table.table), 0) + named


def _may_be_part(column: ColumnProfile, table: TableProfile) -> bool:
    if column.filled != table.rows or column.distinct < 2 or not _may_be_key(column):
        return False
    return _part_rank(column, table) > 0 or key_rank(column.name, table.table) >= 0


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
