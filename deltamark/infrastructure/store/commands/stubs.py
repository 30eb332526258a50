"""Keeps the digests of removed events while other events of their segment remain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deltamark.domain.errors import store_damaged
from deltamark.domain.history.changes import Position
from deltamark.infrastructure.store.arrow import np, npt, pa
from deltamark.infrastructure.store.events.seals import CHECK, MOST, SALT, Segment, leaves, segments_of
from deltamark.infrastructure.store.session import Session

Ranges = tuple[tuple[Position, Position], ...]


def ranges_of(positions: npt.NDArray[np.int64]) -> Ranges:
    """Returns ordered positions as ranges, each with its first and last position."""
    ends = np.flatnonzero(np.diff(positions) != 1)
    firsts, lasts = positions[np.r_[0, ends + 1]], positions[np.r_[ends, len(positions) - 1]]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))


class StubCommands(Session):
    """Keeps the chain of digests complete when events are removed (see `seals`)."""

    def keep_digests(self, positions: npt.NDArray[np.int64]) -> None:
        """Keeps the digests of events that are about to be discarded.

        Call it before they are.

        A segment that is removed as a whole needs no digests besides its own.
        """
        for segment in self._segments_between(int(positions[0]), int(positions[-1])):
            first, after = np.searchsorted(positions, (segment.first, segment.last + 1))
            if after - first in (0, segment.size):
                continue
            remaining = self._db.one(
                "SELECT count(*) FROM stored_events WHERE notification_id>=?1 AND notification_id<=?2",
                (segment.first, segment.last),
            )
            if remaining == after - first:
                self._db.execute("DELETE FROM stubs WHERE position>=?1 AND position<=?2", (segment.first, segment.last))
            else:
                self.keep_stubs(positions[first:after].tolist())

    def _segments_between(self, first: Position, last: Position) -> Iterator[Segment]:
        start = 1 + (self._db.one("SELECT max(position) FROM moments WHERE position<?1", (first,)) or 0)
        for position, stored in self._db.all(
            "SELECT position, segments FROM moments WHERE position>=?1 ORDER BY position", (first,)
        ):
            if start > last:
                return
            yield from (
                segment for segment in segments_of(start, stored) if segment.last >= first and segment.first <= last
            )
            start = position + 1

    def keep_stubs(self, positions: Sequence[Position]) -> None:
        """Keeps stubs of some events, of one topic or several."""
        for start in range(0, len(positions), MOST):
            chosen = self._db.array(positions[start : start + MOST])
            rows = self._db.all(
                f"""SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state, e.seal
                FROM {self._db.each_number(1, "w")}
                {self._db.ordered_join} stored_events e ON e.notification_id = w.value
                ORDER BY e.topic, e.notification_id""",
                (chosen,),
            )
            for topic in dict.fromkeys(row[3] for row in rows):
                self._put_stubs(topic, [row for row in rows if row[3] == topic])

    def _put_stubs(self, topic: str, rows: Sequence[tuple[int, int, int, str, bytes, bytes]]) -> None:
        positions, streams, versions, _, payloads, seals = zip(*rows, strict=True)
        salts = b"".join((seal or b"")[:SALT] for seal in seals)
        is_sealed = len(salts) == SALT * len(rows)
        hashed = leaves(topic, positions, streams, versions, salts, payloads) if is_sealed else []
        if not is_sealed or any(not seal.endswith(leaf[:CHECK]) for leaf, seal in zip(hashed, seals, strict=True)):
            raise store_damaged(
                f"an event at positions {positions[0]} to {positions[-1]} is not what was written",
                effect="Nothing was removed. `deltamark verify` shows which event it is.",
            )
        self._db.insert(
            "stubs",
            {
                "position": positions,
                "stream": streams,
                "version": versions,
                "topic": pa.array([topic] * len(rows), pa.string()),
                "leaf": pa.array(hashed, pa.binary()),
            },
        )
