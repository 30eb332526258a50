"""Programs that read the log, each with a place that the store keeps for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Event
from typing import Protocol

from deltamark.application import arguments
from deltamark.application.history import history
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.store import Store
from deltamark.application.services import Services
from deltamark.domain.errors import ChangesMissed, HistoryDiscarded, UsageError
from deltamark.domain.history.changes import LoggedChange, Position, When
from deltamark.domain.history.consumer import ConsumerPlace, ConsumerStatus
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown


class LogReader(Protocol):
    """What reads the log for a consumer: the engine."""

    def changes(
        self,
        after: Position = 0,
        until: When | None = None,
        *,
        entity_type: str | None = None,
        key: str | None = None,
        kept_only: bool = False,
    ) -> Iterator[LoggedChange]:
        """The changes beyond a position, oldest first."""
        ...

    def follow(
        self,
        after: Position | None = None,
        *,
        entity_type: str | None = None,
        key: str | None = None,
        kept_only: bool = False,
        timeout: float | None = None,
        stop: Event | None = None,
    ) -> Iterator[LoggedChange]:
        """The changes beyond a position, oldest first, and those that are still to come."""
        ...


class Consumer:
    """A program that reads the log from its own place on, which the store keeps under the program's name.

    The place moves only when the program says that it has done its work (`acknowledge`). A program that is ended
    between its work and that reads the same changes again: each is handed over at least once, and none is missed.

    Of two processes with one name, the one that acknowledges first wins; the other gets `ConsumerMoved`.
    """

    def __init__(self, log: LogReader, services: Callable[[], Services], place: ConsumerPlace) -> None:
        self._log = log
        self._services = services
        self._place = place

    def __repr__(self) -> str:
        return f"<Consumer {self.name} at position {self.position}>"

    @property
    def name(self) -> str:
        """The name of the consumer."""
        return self._place.name

    @property
    def position(self) -> Position:
        """Its place: every change up to there was acknowledged."""
        return self._place.position

    def changes(
        self,
        until: When | None = None,
        *,
        entity_type: str | None = None,
        key: str | None = None,
        kept_only: bool = False,
    ) -> Iterator[LoggedChange]:
        """The changes beyond its place, oldest first, as `Engine.changes` gives them.

        :param until: the last moment, inclusive; None for the present.
        :param kept_only: leaves out changes that were discarded before they were read, instead of raising an error.
        :raises ChangesMissed: if changes beyond its place were discarded before it read them.
        :raises ConsumerMoved: if another process moved or removed it meanwhile.
        :raises UsageError: for an entity type or moment that does not exist.
        """
        place = self._place
        changes = self._log.changes(place.position, until, entity_type=entity_type, key=key, kept_only=kept_only)
        return self._checked(place, changes)

    def __iter__(self) -> Iterator[LoggedChange]:
        """The changes beyond its place, oldest first."""
        return self.changes()

    def follow(
        self,
        *,
        entity_type: str | None = None,
        key: str | None = None,
        kept_only: bool = False,
        timeout: float | None = None,
        stop: Event | None = None,
    ) -> Iterator[LoggedChange]:
        """The changes beyond its place, and then those that are still to come, as `Engine.follow` gives them.

        :param timeout: ends after so many seconds without a change; None: waits for ever.
        :param stop: ends soon after this is set, in another thread or a signal handler.
        :raises ChangesMissed: if changes beyond the place reached were discarded before they were read.
        :raises ConsumerMoved: if another process moved or removed it before the iteration began.
        :raises UsageError: for an entity type that does not exist.
        """
        place = self._place
        changes = self._log.follow(
            place.position, entity_type=entity_type, key=key, kept_only=kept_only, timeout=timeout, stop=stop
        )
        return self._checked(place, changes)

    def _checked(self, place: ConsumerPlace, changes: Iterator[LoggedChange]) -> Iterator[LoggedChange]:
        with self._services().store.reading() as reading:
            place.refuse_if_moved(reading.consumer(place.name))
        try:
            yield from changes
        except HistoryDiscarded as e:
            raise ChangesMissed(place.name, place.position, e) from e

    def acknowledge(self, position: Position) -> None:
        """Says that all work on the changes up to a position is done: the next iteration begins beyond it.

        One commit; acknowledge a batch of changes at a time.

        :param position: of the last change that was handled, or a later one before which nothing concerns the program.
        :raises ConsumerMoved: if another process moved or removed it meanwhile; nothing was moved.
        :raises ConcurrentRun: if another process kept on writing to the store; nothing was moved. Try again.
        :raises UsageError: for a position before its place or beyond the log.
        """
        arguments.position("position", position)
        store = self._services().store
        with store.transaction() as tx:
            self._place.refuse_if_moved(tx.consumer(self.name))
            history.position_of(tx, position)
            moved = self._place.forwards(position, tx.now())
            if position == self.position:
                return
            tx.put_consumer(moved)
        self._place = moved

    def reset(self, when: When) -> None:
        """Moves its place to any moment, backwards too: changes beyond it are read, or read again.

        :raises ConsumerMoved: if another process moved or removed it meanwhile; nothing was moved.
        :raises UsageError: for a moment that does not exist.
        """
        store = self._services().store
        arguments.some_moment("when", when)
        with store.transaction() as tx:
            self._place.refuse_if_moved(tx.consumer(self.name))
            moved = self._place.moved(history.position_of(tx, when), tx.now())
            tx.put_consumer(moved)
        self._place = moved


def registered_place(store: Store, name: str, after: When) -> ConsumerPlace:
    """The place of a consumer; made at a moment where there is none of that name.

    :raises UsageError: for a moment that does not exist.
    """
    with store.reading() as reading:
        place = reading.consumer(name)
    if place is not None:
        return place
    with store.transaction() as tx:
        place = tx.consumer(name)  # another process may have made it meanwhile
        if place is None:
            now = tx.now()
            position = history.position_of(tx, after)
            place = ConsumerPlace(name=name, position=position, began_at=now, moved_at=now)
            tx.put_consumer(place)
        return place


def reset_consumer(store: Store, name: str, when: When) -> ConsumerPlace:
    """Moves the place of a consumer to any moment, whoever reads with it now, and returns it.

    :raises UsageError: for a consumer or a moment that does not exist.
    """
    with store.transaction() as tx:
        place = _known(tx, name).moved(history.position_of(tx, when), tx.now())
        tx.put_consumer(place)
        return place


def remove_consumer(store: Store, name: str) -> ConsumerPlace:
    """Drops the place of a consumer, and returns it: retention keeps nothing for it any longer.

    :raises UsageError: for a consumer that does not exist.
    """
    with store.transaction() as tx:
        place = _known(tx, name)
        tx.drop_consumer(name)
        return place


def _known(reading: Reading, name: str) -> ConsumerPlace:
    place = reading.consumer(name)
    if place is None:
        names = [other.name for other in reading.consumers()]
        raise UsageError(f"there is no consumer {shown(name)}{hint(name, names)}")
    return place


def consumer_statuses(reading: Reading) -> list[ConsumerStatus]:
    """All consumers by name, each with what it has still to read."""
    horizons = reading.horizons()
    statuses = []
    places = reading.consumers()
    waiting = _changes_beyond(reading, {place.position for place in places})
    for place in places:
        behind, oldest = waiting[place.position]
        missed = [horizon for horizon in horizons if horizon.position > place.position]
        statuses.append(
            ConsumerStatus(
                place=place,
                behind=behind,
                waiting_since=None if oldest is None else reading.time_of(oldest),
                gap=max(missed, key=lambda horizon: horizon.position, default=None),
            )
        )
    return statuses


def _changes_beyond(reading: Reading, positions: Iterable[Position]) -> dict[Position, tuple[int, Position | None]]:
    """How many changes lie beyond each position, and the first of them. Each change is counted once."""
    found: dict[Position, tuple[int, Position | None]] = {}
    until: Position | None = None
    count, oldest = 0, None
    for position in sorted(positions, reverse=True):
        more, first = reading.changes_beyond(position, until)
        until, count, oldest = position, count + more, oldest if first is None else first
        found[position] = count, oldest
    return found
