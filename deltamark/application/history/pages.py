"""Reads the log some changes at a time, in both directions, and says how far it was read for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from time import monotonic

from attrs import evolve

from deltamark.application.history import history
from deltamark.application.history.history import ChangeFilter, RunNames
from deltamark.application.lookup import resource_not_found
from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.history.changes import AnyChange, LoggedChange, Position
from deltamark.domain.history.pages import ChangePage
from deltamark.domain.resources.resource import ResourceRef

_SMALLEST = 256
_LARGEST = 1 << 17
"""Positions that are searched before the time is looked at again: more where that is quick."""

_PORTION = 200
"""Changes that are read before the time is looked at again, where their positions are known."""

_FEW = 20_000
"""Where a search went on for long without an end, the rest of the log is not searched for the changes of so few
resources and links: indexes name their places."""

_QUICK_S, _SLOW_S = 0.015, 0.05
"""A search of one window of positions within this time makes the next one twice as large, or half as large."""


def change_page(
    reading: Reading,
    configuration: Configuration,
    admitted: ChangeFilter,
    *,
    after: Position,
    until: Position | None,
    newest_first: bool,
    limit: int,
    budget_s: float | None,
) -> ChangePage:
    """Some of the changes in `after` < position <= `until` that a filter admits.

    :param limit: how many at most.
    :param budget_s: ends the search after so many seconds, with what was found by then; None: never.
    :raises RunNotFound: if the filter names a run that does not exist.
    """
    deadline = None if budget_s is None else monotonic() + budget_s
    first, last = history.bounds(reading, after, until, admitted)
    names = RunNames(reading)
    found: list[LoggedChange] = []
    reached = last + 1 if newest_first else first
    is_complete = True
    for reached_then, events in _searched(reading, admitted, first, last, newest_first, limit):
        for change in names.admitted(events, admitted):
            if len(found) == limit:
                reached = found[-1].position
                searched_after = reached - 1 if newest_first else first
                return _page(reading, configuration, admitted, found, reached, searched_after, is_complete=False)
            found.append(change)
        reached = reached_then
        if deadline is not None and monotonic() >= deadline:
            is_complete = reached <= first + 1 if newest_first else reached >= last
            break
    searched_after = reached - 1 if newest_first else first
    return _page(reading, configuration, admitted, found, reached, searched_after, is_complete=is_complete)


def _page(
    reading: Reading,
    configuration: Configuration,
    admitted: ChangeFilter,
    found: list[LoggedChange],
    reached: Position,
    searched_after: Position,
    *,
    is_complete: bool,
) -> ChangePage:
    horizon = history.horizon_of_changes(reading, configuration, admitted, searched_after)
    return ChangePage(changes=tuple(found), scanned_to=reached, more=not is_complete, horizon=horizon)


def _searched(
    reading: Reading, admitted: ChangeFilter, first: Position, last: Position, newest_first: bool, limit: int
) -> Iterator[tuple[Position, Iterator[tuple[Position, AnyChange]]]]:
    """The parts of the log, in order: the position that is reached after each, and its changes."""
    end = first + 1 if newest_first else last
    if admitted.key is not None:
        yield from _in_portions(history.changes_of_key(reading, admitted, first, last, newest_first=newest_first), end)
        return
    narrowing = history.narrowed(reading, admitted)
    spans = [(first, last)] if narrowing.spans is None else narrowing.spans
    narrowing = evolve(narrowing, spans=None)
    may_be_few = True
    for begin, until in _windows(spans, first, last, newest_first, max(2 * limit, _SMALLEST)):
        if may_be_few and (last - until if newest_first else begin - first) >= _LARGEST:
            may_be_few = False
            streams = reading.few_streams(narrowing, at_most=_FEW)
            if streams is not None:
                rest = (first, until) if newest_first else (begin, last)
                yield from _in_portions(reading.changes_at(streams, *rest, newest_first=newest_first), end)
                return
        reached = begin + 1 if newest_first else until
        yield reached, reading.changes(begin, until, narrowing, newest_first=newest_first)
    yield end, iter(())


def _in_portions(
    changes: Iterator[tuple[Position, AnyChange]], end: Position
) -> Iterator[tuple[Position, Iterator[tuple[Position, AnyChange]]]]:
    """Changes that are all that there are up to the end of a search, some at a time, with the position of the last."""
    while portion := list(islice(changes, _PORTION)):
        yield portion[-1][0], iter(portion)
    yield end, iter(())


def _windows(
    spans: Sequence[tuple[Position, Position]], first: Position, last: Position, newest_first: bool, size: int
) -> Iterator[tuple[Position, Position]]:
    """Spans of positions, exclusive and inclusive, in the order in which they are searched.

    They grow as long as each is searched quickly.
    """
    began = monotonic()
    for begin, end in reversed(spans) if newest_first else spans:
        low, high = max(begin, first), min(end, last)
        while low < high:
            if newest_first:
                yield max(low, high - size), high
                high -= size
            else:
                yield low, min(high, low + size)
                low += size
            taken, began = monotonic() - began, monotonic()
            if taken < _QUICK_S:
                size = min(2 * size, max(_LARGEST, size))
            elif taken > _SLOW_S:
                size = max(size // 2, _SMALLEST)


def newest_history(reading: Reading, ref: ResourceRef, before: Position, limit: int) -> list[LoggedChange]:
    """The newest changes of one resource and of its links below a position, newest first.

    :raises UsageError: if there never was such a resource.
    """
    own = ChangeFilter(entity_type=ref.entity_type, key=ref.key)
    changes = list(islice(history.changes(reading, 0, before - 1, own, newest_first=True), limit))
    if not changes and reading.resource(ref) is None:
        raise resource_not_found(reading, ref)
    return changes
