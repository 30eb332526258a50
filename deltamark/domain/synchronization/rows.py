"""Rows that several mappings read: each is counted and reported once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from attrs import evolve

from deltamark.domain.runs.run import Counts, SetAside


def row_counts(read: Mapping[str, int], set_aside: Iterable[SetAside]) -> Counts:
    """The rows that were read and set aside: one of each file and line, whatever the number of mappings.

    :param read: for each file, how many rows any mapping reads.
    """
    places = {(row.file, row.line) for row in set_aside}
    return Counts(read=sum(read.values()), set_aside=len(places))


def each_row_once(faults: Iterable[SetAside]) -> tuple[SetAside, ...]:
    """The faults of rows that several mappings read, one for each row.

    What other mappings find in other cells of the row follows the reason of the first one.
    """
    by_row: dict[tuple[str, int | None], list[SetAside]] = defaultdict(list)
    for fault in faults:
        by_row[fault.file, fault.line].append(fault)
    return tuple(_merged(*of_row) for of_row in by_row.values())


def _merged(first: SetAside, *others: SetAside) -> SetAside:
    more: dict[str, str] = {}
    for fault in others:
        if fault.column not in (None, first.column) and fault.reason != first.reason:
            more.setdefault(fault.reason, f"; {fault.column}: {fault.reason}")
    return evolve(first, reason=first.reason + "".join(more.values()))


def each_cell_once(set_aside: Iterable[SetAside]) -> tuple[SetAside, ...]:
    """Rows set aside, each value of each cell once, although several associations may name the cell."""
    first: dict[tuple[object, ...], SetAside] = {}
    for row in set_aside:
        subject = row.key if row.column is None else row.value
        first.setdefault((row.file, row.line, row.column, subject), row)
    return tuple(first.values())
