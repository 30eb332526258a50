"""Follows the log: its changes as they come, each once, none missed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from threading import Event
from time import monotonic

from attrs import frozen

from deltamark.application.history import history
from deltamark.application.history.history import ChangeFilter
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.store import Store, Watch
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import StoreUnreachable
from deltamark.domain.history.changes import LoggedChange, Position

_BATCH = 1_000
"""Changes read at a time: no transaction stays open while the caller works on them."""

_POLL_S = 10.0
"""The log is read again after this time even without a notification."""

_RETRY_S = 0.2
PATIENCE_S = 300.0
"""How long a store that cannot be reached is tried again: enough to restart a server."""


@frozen(kw_only=True)
class FollowOptions:
    """The changes to follow, and when to end.

    :param timeout_s: ends after so many seconds without a change; None: never.
    :param stop: ends soon after it is set.
    """

    admitted: ChangeFilter
    kept_only: bool
    timeout_s: float | None
    stop: Event


def follow(
    store: Store, configuration: Configuration, after: Position | None, options: FollowOptions
) -> Iterator[LoggedChange]:
    """The changes beyond a position, oldest first, and then those that are still to come.

    A position that is not in the log is refused at once, everything else by the iteration.

    :param after: exclusive; None: only those that are still to come.
    :raises UsageError: for a position that is not in the log.
    :raises HistoryDiscarded: if changes beyond the place reached were discarded before they were read.
    :raises StoreUnreachable: if the store was away for longer than `PATIENCE_S`.
    """
    with store.reading() as reading:
        place = reading.head() if after is None else history.position_of(reading, after)
    return _changes(store, configuration, place, options)


def _changes(
    store: Store, configuration: Configuration, after: Position, options: FollowOptions
) -> Iterator[LoggedChange]:
    with store.watching() as watch:
        patience = Patience(options.stop)
        quiet_since = monotonic()
        while not options.stop.is_set():
            try:
                with store.reading() as reading:
                    changes, reached = _next(reading, configuration, after, options)
            except StoreUnreachable as e:
                patience.wait_or_raise(e)
                continue
            patience.reset()
            for change in changes:
                yield change
                if options.stop.is_set():
                    return
            after = reached
            if changes:
                quiet_since = monotonic()
                continue
            remaining_s = _POLL_S
            if options.timeout_s is not None:
                remaining_s = min(remaining_s, quiet_since + options.timeout_s - monotonic())
                if remaining_s <= 0:
                    return
            _wait(watch, remaining_s, options.stop, patience)


def wait_beyond(store: Store, after: Position, timeout_s: float | None) -> Position:
    """Waits until the log ends beyond a position, or the time is over, and returns where it ends.

    :raises StoreUnreachable: if the store was away for longer than `PATIENCE_S`.
    """
    never = Event()
    with store.watching() as watch:
        patience = Patience(never)
        begun = monotonic()
        while True:
            try:
                with store.reading() as reading:
                    head = reading.head()
            except StoreUnreachable as e:
                patience.wait_or_raise(e)
                continue
            patience.reset()
            remaining_s = _POLL_S if timeout_s is None else min(_POLL_S, begun + timeout_s - monotonic())
            if head > after or remaining_s <= 0:
                return head
            _wait(watch, remaining_s, never, patience)


def _wait(watch: Watch, timeout_s: float, stop: Event, patience: Patience) -> None:
    try:
        watch.wait(timeout_s, stop)
    except StoreUnreachable as e:
        patience.wait_or_raise(e)


def _next(
    reading: Reading, configuration: Configuration, after: Position, options: FollowOptions
) -> tuple[list[LoggedChange], Position]:
    """The next changes, and the position up to which they are complete."""
    head = reading.head()
    if head <= after:
        return [], after
    if not options.kept_only:
        history.refuse_below(history.horizon_of(reading, configuration, options.admitted.entity_type), after)
    changes = list(islice(history.changes(reading, after, head, options.admitted), _BATCH))
    return changes, changes[-1].position if len(changes) == _BATCH else head


class Patience:
    """Retries a store that cannot be reached, and gives up after `PATIENCE_S`."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._unreachable_since: float | None = None

    def reset(self) -> None:
        """The store was reached."""
        self._unreachable_since = None

    def wait_or_raise(self, error: StoreUnreachable) -> None:
        """Waits a moment before the next try, or raises the error."""
        now = monotonic()
        if self._unreachable_since is None:
            self._unreachable_since = now
        if now - self._unreachable_since > PATIENCE_S:
            raise error
        self._stop.wait(_RETRY_S)
