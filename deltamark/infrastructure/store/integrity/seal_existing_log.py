"""Seals the log of a store that was written before seals existed. A migration does it once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.seals import Seals, log_digest

_PORTION = 10_000

_Event = tuple[int, int, int, str, bytes]
"""Position, stream, version, topic, payload."""


def seal_log(db: Database) -> None:
    """Seals every event, and writes the digest of every transaction.

    Events that were discarded before have no seals: their positions become gaps.
    """
    previous, first = log_digest(db.one("SELECT log FROM store")), 1
    sealer = _LogSealer(db)
    for position, at in db.all("SELECT position, at FROM moments ORDER BY position"):
        previous = sealer.seal(previous, first, position, at)
        first = position + 1
    sealer.write()


class _LogSealer:
    """Reads events and writes seals in portions: memory does not grow with the log."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._events = self._read()
        self._ahead: _Event | None = None
        self._positions: list[int] = []
        self._sealed: list[bytes] = []
        self._moments: list[tuple[int, bytes, bytes]] = []

    def _read(self) -> Iterator[_Event]:
        after = 0
        while rows := self._db.all(
            """SELECT notification_id, originator_id, originator_version, topic, state FROM stored_events
            WHERE notification_id>?1 ORDER BY notification_id LIMIT ?2""",
            (after, _PORTION),
        ):
            yield from rows
            after = rows[-1][0]

    def _up_to(self, last: int) -> Iterator[_Event]:
        event = self._ahead or next(self._events, None)
        while event is not None and event[0] <= last:
            yield event
            event = next(self._events, None)
        self._ahead = event

    def seal(self, previous: bytes, first: int, last: int, at: int) -> bytes:
        """Seals a transaction, and returns its digest."""
        seals, expected = Seals(), first
        for _, group in groupby(self._up_to(last), key=_SegmentNumber()):
            events = list(group)
            if events[0][0] > expected:
                seals.add(events[0][0] - expected)
            self._seal(seals, events)
            expected = events[-1][0] + 1
        if expected <= last:
            seals.add(last + 1 - expected)
        segments, digest = seals.close(previous, first, last, at)
        self._moments.append((last, segments, digest))
        if len(self._moments) >= _PORTION:
            self.write()
        return digest

    def _seal(self, seals: Seals, events: list[_Event]) -> None:
        position, streams, versions, topics, payloads = zip(*events, strict=True)
        rows = seals.seal(topics[0], position[0], streams, versions, payloads)
        self._positions += position
        self._sealed += [row.tobytes() for row in rows]
        if len(self._positions) >= _PORTION:
            self.write()

    def write(self) -> None:
        """Writes the collected seals and digests."""
        if self._positions:
            seals = pa.array(self._sealed, pa.binary())
            self._db.update("stored_events", {"seal": seals}, {"notification_id": self._positions})
        if self._moments:
            positions, segments, digests = zip(*self._moments, strict=True)
            columns = {"segments": pa.array(segments, pa.binary()), "digest": pa.array(digests, pa.binary())}
            self._db.update("moments", columns, {"position": positions})
        self._positions, self._sealed, self._moments = [], [], []


class _SegmentNumber:
    """Numbers groups of consecutive events of one topic, of at most `_PORTION` events each."""

    def __init__(self) -> None:
        self._number = self._length = 0
        self._last: tuple[int, str] | None = None

    def __call__(self, event: _Event) -> int:
        position, topic = itemgetter(0, 3)(event)
        if self._last != (position - 1, topic) or self._length == _PORTION:
            self._number, self._length = self._number + 1, 0
        self._length += 1
        self._last = (position, topic)
        return self._number
