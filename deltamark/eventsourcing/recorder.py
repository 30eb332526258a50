"""The log as a recorder of the library that only reads, and subscriptions to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol
from uuid import UUID

from attrs import frozen
from eventsourcing.persistence import (
    ApplicationRecorder,
    Notification,
    ProgrammingError,
    StoredEvent,
    Subscription,
)

from deltamark.application.history.follow import Patience
from deltamark.application.ports.store import Watch
from deltamark.domain.errors import HistoryDiscarded, StoreUnreachable, UsageError, store_damaged
from deltamark.domain.history.changes import Horizon, Position
from deltamark.eventsourcing.topics import check_topics, concerns_changes, includes_snapshots
from deltamark.infrastructure.store.events.mapper import TOPICS, is_stream_number
from deltamark.infrastructure.store.queries.log import END_OF_LOG
from deltamark.infrastructure.store.queries.stored_events import EventRow, StoredEventQueries

READ_ONLY = (
    "the log of a store cannot be written through the eventsourcing library: an event needs a seal, and the state "
    "that follows from it, in one transaction of Deltamark. Nothing was written. Change resources with a job "
    "(Engine.run_job), and keep events of your own in a store of the library's own."
)
"""The words of everything that refuses to write."""

_PORTION = 2_000
"""Events that a subscription reads at a time: no transaction stays open while the caller works on them."""

_LOOK_AGAIN_S = 10.0
"""A store that announces new events is read again after this time even without an announcement."""


class NotificationsDiscarded(HistoryDiscarded):
    """The next events of the log were discarded: a reader that went on would miss them.

    :param first: the position of the first event that is missing.
    """

    def __init__(self, first: Position, cause: HistoryDiscarded) -> None:
        super().__init__(cause.connector, cause.horizon, cause.run, cause.task)
        self.first = first
        self.args = (
            f"the log has no event at position {first} any more: {str(cause).partition('. ')[0]}. A reader that goes "
            "on misses what happened there. Read with snapshots (application(…, snapshots=True), or "
            "DELTAMARK_SNAPSHOTS=y), which give the state of each resource and link where changes were discarded, and "
            "let the topics of a projection, if it names any, include those of snapshots.",
        )


class LogStore(Protocol):
    """What a recorder needs of a store."""

    def reading(self) -> AbstractContextManager[StoredEventQueries]:
        """Opens a consistent view of the log for the `with` block."""
        ...

    def watching(self) -> AbstractContextManager[Watch]:
        """Opens a watch on the log for the `with` block."""
        ...


@frozen
class _Page:
    """A part of the log.

    :param reached: the position up to which it is complete.
    :param gap: the error for a reader that goes on, where the next events were discarded.
    """

    notifications: Sequence[Notification]
    reached: Position
    gap: NotificationsDiscarded | None = None


class LogRecorder(ApplicationRecorder):
    """Reads the log of a store: notification ids are positions, originator ids are streams, numbers written as text.

    :param snapshots: whether snapshots stand for discarded changes; without them, `NotificationsDiscarded` is raised
        where a reader would miss some.
    :param poll_s: how often subscriptions look for new events, in seconds; None: as soon as a server announces them,
        and ten times a second where a store is a file.
    :param known_topics: the topics by which notifications may be chosen.
    """

    def __init__(
        self,
        store: LogStore,
        *,
        snapshots: bool = False,
        poll_s: float | None = None,
        known_topics: Collection[str] = TOPICS,
    ) -> None:
        self.store = store
        self.poll_s = poll_s
        self._snapshots = snapshots
        self._known_topics = known_topics

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Refuses.

        :raises ProgrammingError: always.
        """
        refuse_writing()

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Returns the events of one stream.

        Where its first changes were discarded, a snapshot of the state after them comes first.
        """
        stream = stream_number(originator_id)
        if stream is None:
            return []
        with self.store.reading() as reading:
            rows = reading.stream_rows(
                stream,
                above=-1 if gt is None else gt,
                up_to=END_OF_LOG if lte is None else lte,
                newest_first=desc,
                limit=limit,
            )
        return [StoredEvent(str(row.stream), row.version, row.topic, row.state) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Returns a range of the log in the order of positions.

        :raises NotificationsDiscarded: if events of the range were discarded, without snapshots.
        :raises UsageError: for topics that `check_topics` refuses.
        """
        check_topics(topics, self._known_topics)
        first = 1 if start is None else start + (0 if inclusive_of_start else 1)
        page = self.page(max(first, 1), limit, stop, topics)
        if page.gap is not None:
            raise page.gap
        return page.notifications

    def max_notification_id(self) -> int | None:
        """Returns the position of the newest event, or None in a new store."""
        with self.store.reading() as reading:
            return reading.head() or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LogSubscription:
        """Returns the notifications beyond a position, and those that are still to come.

        :raises UsageError: for topics that `check_topics` refuses, or a position that the log has not reached.
        """
        check_topics(topics, self._known_topics)
        with self.store.reading() as reading:
            head = reading.head()
        if gt is not None and gt > head:
            raise UsageError(
                f"position {gt} is not in the log, which ends at {head}: a view that has come so far followed another "
                "store, or this one before it was restored from a backup. Build the view anew, or name its store."
            )
        return LogSubscription(self, gt, topics)

    def discard_of(self, subject: str) -> HistoryDiscarded:
        """Returns the error for what was discarded of an entity type or association.

        :raises StoreError: if nothing was.
        """
        with self.store.reading() as reading:
            for horizon in reading.horizons():
                if horizon.subject == subject:
                    return _discarded(horizon)
        raise store_damaged(f"there are snapshots of {subject}, and no discard of its changes is on record")

    def page(self, first: Position, limit: int, stop: Position | None, topics: Sequence[str]) -> _Page:
        """Returns the notifications from a position on, as one state of the store has them."""
        if limit < 1:
            return _Page((), first - 1)
        with self.store.reading() as reading:
            head = reading.head()
            last = head if stop is None else min(stop, head)
            rows = reading.event_rows(first, last, topics, limit)
            reached = rows[-1].position if len(rows) == limit else last
            if reached < first or not concerns_changes(topics):
                return _Page(_notifications(rows), max(reached, first - 1))
            present = reading.event_count(first, reached) if topics else len(rows)
            if present == reached - first + 1:
                return _Page(_notifications(rows), reached)
            missing = reading.first_missing(first, reached)
            discarded = _discard_beyond(reading, missing)
            if self._snapshots and includes_snapshots(topics):
                snapshots = reading.snapshot_rows(missing, reached, topics, limit)
                rows = sorted([*rows, *snapshots])[:limit]
                return _Page(_notifications(rows), rows[-1].position if len(rows) == limit else reached)
            rows = [row for row in rows if row.position < missing]
            return _Page(_notifications(rows), missing - 1, NotificationsDiscarded(missing, discarded))


def _notifications(rows: Sequence[EventRow]) -> Sequence[Notification]:
    return [
        Notification(id=position, originator_id=str(stream), originator_version=version, topic=topic, state=state)
        for position, stream, version, topic, state in rows
    ]


def refuse_writing() -> NoReturn:
    """Refuses to write to the log.

    :raises ProgrammingError: always.
    """
    raise ProgrammingError(READ_ONLY)


def stream_number(originator_id: UUID | str) -> int | None:
    """Returns a stream as it is stored, or None for a text that names none."""
    text = str(originator_id)
    return int(text) if is_stream_number(text) else None


def _discard_beyond(reading: StoredEventQueries, position: Position) -> HistoryDiscarded:
    """Returns which discard removed the event at a position.

    :raises StoreError: if none did.
    """
    horizons = [horizon for horizon in reading.horizons() if horizon.position >= position]
    if not horizons:
        raise store_damaged(f"the log has no event at position {position}, and no discard of it is on record")
    return _discarded(max(horizons, key=lambda horizon: horizon.position))


def _discarded(horizon: Horizon) -> HistoryDiscarded:
    return HistoryDiscarded(horizon.connector, horizon.position, horizon.run, horizon.task)


class LogSubscription(Subscription[LogRecorder]):
    """The notifications beyond a position, and those that are still to come.

    The iterating thread reads them, some at a time, and waits for more: what it raises comes after everything that
    lies before. It survives some minutes in which the server of the store is away. One thread iterates; any other may
    stop it.
    """

    def __init__(self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder, gt, topics)
        self._read: Sequence[Notification] = ()
        self._next = 0
        self._reached = gt or 0
        self._stopping = threading.Event()
        self._patience = Patience(self._stopping)
        self._iterating = threading.Lock()
        self._watching: AbstractContextManager[Watch] | None = None
        self._wait: Callable[[], object] = lambda: None

    def stop(self) -> None:
        """Ends the iteration, also one that waits in another thread."""
        super().stop()
        self._stopping.set()
        if self._iterating.acquire(blocking=False):
            try:
                self._end_watch()
            finally:
                self._iterating.release()

    def __next__(self) -> Notification:
        with self._iterating:
            try:
                while not self._stopping.is_set():
                    if self._next < len(self._read):
                        self._next += 1
                        return self._read[self._next - 1]
                    self._read_on()
            except BaseException:
                self._end_watch()
                raise
            self._end_watch()
        raise StopIteration

    def _read_on(self) -> None:
        """Reads the next notifications, and waits if there are none, or if the server of the store is away."""
        try:
            self._begin_watch()  # before reading: what is committed after that is announced
            page = self._recorder.page(self._reached + 1, _PORTION, None, self._topics)
            self._patience.reset()
            self._read, self._next, self._reached = page.notifications, 0, page.reached
            if page.notifications:
                return
            if page.gap is not None:
                raise page.gap
            self._wait()
        except StoreUnreachable as e:
            self._patience.wait_or_raise(e)

    def _begin_watch(self) -> None:
        poll_s = self._recorder.poll_s
        if poll_s is not None:
            self._wait = lambda: self._stopping.wait(poll_s)
        elif self._watching is None:
            watching = self._recorder.store.watching()
            watch = watching.__enter__()
            self._watching, self._wait = watching, lambda: watch.wait(_LOOK_AGAIN_S, self._stopping)

    def _end_watch(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.__exit__(None, None, None)
