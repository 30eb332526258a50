"""Checks the chain of digests: whether the log is what was sealed, and where it is not."""

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

ReportFault = Callable[[Position, str], None]
"""Called for each fault: where it is, and what is wrong."""

_ROWS = 2_000
_SEAL = SALT + CHECK
_UNREADABLE = (TypeError, ValueError, OverflowError, UnicodeError, AttributeError)

_ALTERED = "the event is not what was written"


class Stub(NamedTuple):
    """The remains of an event without payload."""

    position: Position
    stream: int
    version: int
    topic: str
    leaf: bytes


class Transaction(NamedTuple):
    """A transaction in the chain of digests."""

    position: Position
    at: int
    digest: bytes


class _Removed:
    """The positions whose events were discarded or erased, according to the log itself."""

    def __init__(self, ranges: Iterable[tuple[Position, Position]]) -> None:
        self._firsts: list[Position] = []
        self._lasts: list[Position] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(last, self._lasts[-1])
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def first_outside(self, first: Position, last: Position) -> Position | None:
        """Returns the first position from `first` to `last` whose event was not removed."""
        index = bisect_right(self._firsts, first) - 1
        if index < 0 or self._lasts[index] < first:
            return first
        after = self._lasts[index] + 1
        return after if after <= last else None


class _RowsByPosition:
    """Rows in the order of their positions, taken up to one position after the other."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._rows = rows
        self._read: list[tuple[Any, ...]] = []

    def up_to(self, last: Position) -> list[tuple[Any, ...]]:
        """Returns the next rows, up to and including a position."""
        while (not self._read or self._read[-1][0] <= last) and (more := list(islice(self._rows, _ROWS))):
            self._read += more
        end = bisect_right(self._read, last, key=itemgetter(0))
        taken, self._read = self._read[:end], self._read[end:]
        return taken

    def next_row(self) -> tuple[Any, ...] | None:
        """Returns the next row, if any is left."""
        return next(iter(self._read), None) or next(self._rows, None)


class Chain:
    """One check of the whole log. Memory does not grow with it."""

    def __init__(self, db: Database, report_fault: ReportFault) -> None:
        self._db = db
        self._report_fault = report_fault
        self._faults = 0
        self._removed = _Removed(_removed_ranges(db))
        self._events = _RowsByPosition(
            db.rows(
                """SELECT notification_id, originator_id, originator_version, topic, state, seal FROM stored_events
                ORDER BY notification_id"""
            )
        )
        self._stubs = _RowsByPosition(
            db.rows("SELECT position, stream, version, topic, leaf FROM stubs ORDER BY position")
        )

    def transactions(self) -> Iterator[Transaction]:
        """Yields every transaction after its events were checked."""
        previous, first = log_digest(self._db.one("SELECT log FROM store")), 1
        for position, at, segments, digest in self._db.rows(
            "SELECT position, at, segments, digest FROM moments ORDER BY position"
        ):
            before = self._faults
            self._check_segments(first, position, segments)
            try:
                expected = batch_digest(previous, first, position, at, segments)
            except _UNREADABLE:
                expected = b""
            if digest != expected and self._faults == before:
                self._fault(first, f"the record of the transaction {_span(first, position)} was altered")
            previous, first = digest if isinstance(digest, bytes) else b"", position + 1
            yield Transaction(position, at, previous)
        for rows in (self._events, self._stubs):
            row = rows.next_row()
            if row is not None:
                self._fault(row[0], "the event belongs to no recorded transaction")

    def _fault(self, position: Position, problem: str) -> None:
        self._faults += 1
        self._report_fault(position, problem)

    def _check_segments(self, first: Position, last: Position, stored: object) -> None:
        try:
            segments = list(segments_of(first, stored))  # type: ignore[arg-type]
        except _UNREADABLE:
            segments = []
        expected = first
        for segment in segments:
            if segment.first != expected or segment.size < 1 or segment.last > last or len(segment.digest) != 32:
                break
            expected = segment.last + 1
            self._check_segment(segment)
        if expected != last + 1:
            self._events.up_to(last), self._stubs.up_to(last)
            self._fault(expected, f"the digests of the events {_span(expected, last)} were altered")

    def _check_segment(self, segment: Segment) -> None:
        rows = self._events.up_to(segment.last)
        stubs = [Stub(*row) for row in self._stubs.up_to(segment.last)]
        if segment.is_gap:
            for position, *_ in (*rows, *stubs):
                self._fault(position, "the event was added later: none was written at this position")
        elif not rows and not stubs:
            missing = self._removed.first_outside(segment.first, segment.last)
            if missing is not None:
                self._fault(missing, "the event is missing, and the log has no record that it was discarded")
        elif len(rows) == segment.size and not stubs:
            self._check_digest(segment, rows, self._leaves(rows))
        else:
            self._check_partial(segment, rows, stubs)

    def _check_partial(self, segment: Segment, rows: Sequence[tuple[Any, ...]], stubs: Sequence[Stub]) -> None:
        """Checks a segment of which a part was discarded or erased."""
        kept = {row[0]: row for row in rows if row[3] != ERASED}
        erased = {row[0]: row for row in rows if row[3] == ERASED}
        stub_at = {stub.position: stub for stub in stubs}
        leaf_at = dict(zip(kept, self._leaves(list(kept.values())), strict=True))
        columns, hashed = [], []
        for position in range(segment.first, segment.last + 1):
            stub = stub_at.get(position)
            if position in kept:
                if stub is not None:
                    self._fault(position, "the event exists, although its stub marks it as removed")
                columns.append(kept[position][:4])
                hashed.append(leaf_at[position])
            elif self._removed.first_outside(position, position) is not None:
                self._fault(position, "the event is missing, and the log has no record that it was removed")
            elif stub is None:
                self._fault(position, "the event was removed, but its stub is missing")
            elif position in erased and erased[position][1:3] != (stub.stream, stub.version):
                self._fault(position, _ALTERED)
            else:
                columns.append((position, stub.stream, stub.version, stub.topic))
                hashed.append(stub.leaf)
        if len(columns) == segment.size:
            self._check_digest(segment, columns, hashed)

    def _check_digest(self, segment: Segment, rows: Sequence[tuple[Any, ...]], hashed: Sequence[bytes | None]) -> None:
        """Compares a segment with its digest, unless one of its events is known to be altered."""
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
        """Returns the leaf of each event.

        Reports those that differ from their seals, and has None for them.
        """
        if not rows:
            return []
        try:
            positions, streams, versions, topics, payloads, seals = zip(*rows, strict=True)
            if len(set(topics)) != 1:
                raise ValueError
            joined = np.frombuffer(b"".join(seals), np.uint8).reshape(len(rows), _SEAL)
            hashed = leaves(topics[0], positions, streams, versions, joined[:, :SALT].tobytes(), payloads)
            checks = np.frombuffer(b"".join(hashed), np.uint8).reshape(len(rows), 32)[:, :CHECK]
        except _UNREADABLE:
            return [self._leaf(row) for row in rows] if len(rows) > 1 else [self._altered(rows[0][0])]
        wrong = (checks != joined[:, SALT:]).any(axis=1)
        if not wrong.any():
            return list(hashed)
        return [self._altered(row[0]) if bad else leaf for row, leaf, bad in zip(rows, hashed, wrong, strict=True)]

    def _leaf(self, row: tuple[Any, ...]) -> bytes | None:
        (leaf,) = self._leaves([row])
        return leaf

    def _altered(self, position: Position) -> bytes | None:
        self._fault(position, _ALTERED)
        return None


def differences_from(checkpoint: Checkpoint, log: str, newest: Transaction | None) -> Iterator[str]:
    """Yields what shows that a log does not begin like the log of a checkpoint.

    :param newest: the newest transaction up to the position of the checkpoint.
    """
    if log != checkpoint.log:
        yield f"the checkpoint is of another log ({shown(checkpoint.log)}); this one is {shown(log)}"
    elif newest is None or newest.position != checkpoint.position:
        yield "the log does not reach the checkpoint, or has other transactions: it was cut off or replaced"
    elif newest.digest.hex() != checkpoint.digest:
        yield "up to the checkpoint, the log is not the one that the checkpoint was made of"
    elif from_micros(newest.at) != checkpoint.at:
        yield "at its position, the log has another time than the checkpoint"


def _span(first: Position, last: Position) -> str:
    return f"at position {first}" if first == last else f"at positions {first} to {last}"


def _removed_ranges(db: Database) -> Iterator[tuple[Position, Position]]:
    """Yields the positions that were discarded or erased, according to the log."""
    for (state,) in db.all(
        f"SELECT state FROM stored_events WHERE {db.among_texts('topic', 1)}",
        (db.array([CHANGES_DISCARDED, RESOURCE_ERASED]),),
    ):
        try:
            yield from ((int(first), int(last)) for first, last in orjson.loads(state).get(payload.RANGES, ()))
        except _UNREADABLE:
            continue  # the check of its seal reports it
