"""Walking the chain of digests: whether the log still is what was sealed, and the first position where it is not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from deltamark.domain.history.changes import Position
from deltamark.domain.integrity.verification import Checkpoint
from deltamark.domain.values import shown
from deltamark.infrastructure.store.arrow import np
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.mapper import ERASED, from_micros
from deltamark.infrastructure.store.events.run_events import CHANGES_DISCARDED, RESOURCE_ERASED
from deltamark.infrastructure.store.events.seals import (
    CHECK,
    SALT,
    Segment,
    batch_digest,
    leaves,
    log_digest,
    segment_digest,
    segments_of,
)

Told = Callable[[Position, str], None]
"""Is told of a fault: where, and what is wrong."""

_ROWS = 2_000
_SEAL = SALT + CHECK
_UNREADABLE = (TypeError, ValueError, OverflowError, UnicodeError, AttributeError)

_ALTERED = "the event is not what was written"


class Stub(NamedTuple):
    """What is left of an event whose payload is gone."""

    position: Position
    stream: int
    version: int
    topic: str
    leaf: bytes


class Link(NamedTuple):
    """A transaction as it stands in the chain."""

    position: Position
    at: int
    digest: bytes


class _Gone:
    """The positions whose events were discarded or erased, as the log itself says."""

    def __init__(self, ranges: Iterable[tuple[Position, Position]]) -> None:
        self._firsts: list[Position] = []
        self._lasts: list[Position] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(last, self._lasts[-1])
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def not_among(self, first: Position, last: Position) -> Position | None:
        """The first position from one to another that is not among them."""
        found = bisect_right(self._firsts, first) - 1
        if found < 0 or self._lasts[found] < first:
            return first
        after = self._lasts[found] + 1
        return after if after <= last else None


class _Ahead:
    """Rows in the order of their positions, handed out up to one position after the other."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._rows = rows
        self._read: list[tuple[Any, ...]] = []

    def up_to(self, last: Position) -> list[tuple[Any, ...]]:
        """The next rows, up to and with a position."""
        while (not self._read or self._read[-1][0] <= last) and (more := list(islice(self._rows, _ROWS))):
            self._read += more
        end = bisect_right(self._read, last, key=itemgetter(0))
        taken, self._read = self._read[:end], self._read[end:]
        return taken

    def rest(self) -> tuple[Any, ...] | None:
        """The first row that nobody took."""
        return next(iter(self._read), None) or next(self._rows, None)


class Chain:
    """One walk over the whole log. Memory does not grow with it."""

    def __init__(self, db: Database, fault: Told) -> None:
        self._db = db
        self._tell = fault
        self._faults = 0
        self._gone = _Gone(_ranges(db))
        self._events = _Ahead(
            db.rows(
                """SELECT notification_id, originator_id, originator_version, topic, state, seal FROM stored_events
                ORDER BY notification_id"""
            )
        )
        self._stubs = _Ahead(db.rows("SELECT position, stream, version, topic, leaf FROM stubs ORDER BY position"))

    def links(self) -> Iterator[Link]:
        """Every transaction, after its events were looked at."""
        previous, first = log_digest(self._db.one("SELECT log FROM store")), 1
        for position, at, segments, digest in self._db.rows(
            "SELECT position, at, segments, digest FROM moments ORDER BY position"
        ):
            before = self._faults
            self._segments(first, position, segments)
            try:
                wanted = batch_digest(previous, first, position, at, segments)
            except _UNREADABLE:
                wanted = b""
            if digest != wanted and self._faults == before:
                self._fault(first, f"what is on record of the transaction {_span(first, position)} was altered")
            previous, first = digest if isinstance(digest, bytes) else b"", position + 1
            yield Link(position, at, previous)
        for rows in (self._events, self._stubs):
            beyond = rows.rest()
            if beyond is not None:
                self._fault(beyond[0], "it stands in no transaction on record")

    def _fault(self, position: Position, problem: str) -> None:
        self._faults += 1
        self._tell(position, problem)

    def _segments(self, first: Position, last: Position, stored: object) -> None:
        try:
            segments = list(segments_of(first, stored))  # type: ignore[arg-type]
        except _UNREADABLE:
            segments = []
        whole = first
        for segment in segments:
            if segment.first != whole or segment.size < 1 or segment.last > last or len(segment.digest) != 32:
                break
            whole = segment.last + 1
            self._segment(segment)
        if whole != last + 1:
            self._events.up_to(last), self._stubs.up_to(last)
            self._fault(whole, f"the digests of the events {_span(whole, last)} were altered")

    def _segment(self, segment: Segment) -> None:
        rows = self._events.up_to(segment.last)
        stubs = [Stub(*row) for row in self._stubs.up_to(segment.last)]
        if segment.is_gap:
            for position, *_ in (*rows, *stubs):
                self._fault(position, "the event was put where there was none")
        elif not rows and not stubs:
            missing = self._gone.not_among(segment.first, segment.last)
            if missing is not None:
                self._fault(missing, "the event is missing, and nothing on record says that it was discarded")
        elif len(rows) == segment.size and not stubs:
            self._check(segment, rows, self._leaves(rows))
        else:
            self._mixed(segment, rows, stubs)

    def _mixed(self, segment: Segment, rows: Sequence[tuple[Any, ...]], stubs: Sequence[Stub]) -> None:
        """A segment of which a part was discarded or erased."""
        left = {row[0]: row for row in rows if row[3] != ERASED}
        erased = {row[0]: row for row in rows if row[3] == ERASED}
        known = {stub.position: stub for stub in stubs}
        found = dict(zip(left, self._leaves(list(left.values())), strict=True))
        columns, hashed = [], []
        for position in range(segment.first, segment.last + 1):
            stub = known.pop(position, None)
            if position in left:
                if stub is not None:
                    self._fault(position, "the event is there, though its leaf says that it is gone")
                columns.append(left[position][:4])
                hashed.append(found[position])
            elif self._gone.not_among(position, position) is not None:
                self._fault(position, "the event is missing, and nothing on record says that it was removed")
            elif stub is None:
                self._fault(position, "the event was removed, and its leaf is missing")
            elif position in erased and erased[position][1:3] != (stub.stream, stub.version):
                self._fault(position, _ALTERED)
            else:
                columns.append((position, stub.stream, stub.version, stub.topic))
                hashed.append(stub.leaf)
        if len(columns) == segment.size:
            self._check(segment, columns, hashed)

    def _check(self, segment: Segment, rows: Sequence[tuple[Any, ...]], hashed: Sequence[bytes | None]) -> None:
        """Compares a segment with its digest, unless an event of it is known to be altered."""
        if None in hashed:
            return
        try:
            _, streams, versions, topics, *_ = zip(*rows, strict=True)
            is_whole = len(set(topics)) == 1 and segment.digest == segment_digest(
                topics[0], segment.first, streams, versions, b"".join(leaf or b"" for leaf in hashed)
            )
        except _UNREADABLE:
            is_whole = False
        if not is_whole:
            self._fault(
                segment.first, f"an event {_span(segment.first, segment.last)} was altered together with its seal"
            )

    def _leaves(self, rows: Sequence[tuple[Any, ...]]) -> list[bytes | None]:
        """The leaf of each event; None for one that is not what its seal says, which is a fault."""
        if not rows:
            return []
        try:
            positions, streams, versions, topics, payloads, seals = zip(*rows, strict=True)
            if len(set(topics)) != 1:
                raise ValueError
            joined = np.frombuffer(b"".join(seals), np.uint8).reshape(len(rows), _SEAL)
            found = leaves(topics[0], positions, streams, versions, joined[:, :SALT].tobytes(), payloads)
            checks = np.frombuffer(b"".join(found), np.uint8).reshape(len(rows), 32)[:, :CHECK]
        except _UNREADABLE:
            return [self._leaf(row) for row in rows] if len(rows) > 1 else [self._altered(rows[0][0])]
        wrong = (checks != joined[:, SALT:]).any(axis=1)
        if not wrong.any():
            return list(found)
        return [self._altered(row[0]) if bad else leaf for row, leaf, bad in zip(rows, found, wrong, strict=True)]

    def _leaf(self, row: tuple[Any, ...]) -> bytes | None:
        (found,) = self._leaves([row])
        return found

    def _altered(self, position: Position) -> bytes | None:
        self._fault(position, _ALTERED)
        return None


def differences_from(checkpoint: Checkpoint, log: str, found: Link | None) -> Iterator[str]:
    """Why a log does not begin with what a checkpoint says.

    :param found: the newest transaction up to its position.
    """
    if log != checkpoint.log:
        yield f"the checkpoint is of another log ({shown(checkpoint.log)}); this one is {shown(log)}"
    elif found is None or found.position != checkpoint.position:
        yield "the log does not reach the checkpoint, or its transactions are others: it was cut off or replaced"
    elif found.digest.hex() != checkpoint.digest:
        yield "up to the checkpoint, the log is not what it was when the checkpoint was made"
    elif from_micros(found.at) != checkpoint.at:
        yield "the log has another time there than the checkpoint"


def _span(first: Position, last: Position) -> str:
    return f"at position {first}" if first == last else f"at positions {first} to {last}"


def _ranges(db: Database) -> Iterator[tuple[Position, Position]]:
    """Which positions the log says were emptied."""
    for (state,) in db.all(
        f"SELECT state FROM stored_events WHERE {db.among_texts('topic', 1)}",
        (db.array([CHANGES_DISCARDED, RESOURCE_ERASED]),),
    ):
        try:
            yield from ((int(first), int(last)) for first, last in orjson.loads(state).get(payload.RANGES, ()))
        except _UNREADABLE:
            continue  # the walk tells that it was altered
