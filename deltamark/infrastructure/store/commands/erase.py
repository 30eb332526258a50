"""Erases a resource.

Empties its changes and those of its links, and removes all that was derived from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from functools import cache

import orjson

from deltamark.application.ports.records import Emptied
from deltamark.domain.errors import store_damaged
from deltamark.domain.history.changes import Position
from deltamark.domain.runs.run import PairsAwaited, ResourceErased, RowsSetAside
from deltamark.domain.values import shown
from deltamark.infrastructure.store.arrow import np, pa
from deltamark.infrastructure.store.commands.stubs import StubCommands, ranges_of
from deltamark.infrastructure.store.events.mapper import ERASED
from deltamark.infrastructure.store.events.run_events import ERASABLE_RECORDS, RESOURCE_ERASED
from deltamark.infrastructure.store.queries.log import EVENT, LogQueries
from deltamark.infrastructure.store.session import RunCommands


@cache
def _positions() -> pa.Schema:
    return pa.schema([("position", pa.int64())])


# The streams of the resource and of all links that it ever had.
_STREAMS = "SELECT CAST(?1 AS BIGINT) AS stream UNION SELECT stream FROM links WHERE source=?1 OR target=?1"


class ErasureQueries(LogQueries):
    """Queries about erasures."""

    def erasures(self) -> list[ResourceErased]:
        sql = f"""SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state
            FROM runs r {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE e.topic=?1 ORDER BY e.notification_id"""
        return [self._event(row)[1] for row in self._db.all(sql, (RESOURCE_ERASED,))]

    def erased_between(self, after: int, until: int, run: int | None = None) -> dict[int, int]:
        erased_by = {
            position: erased.run
            for erased in self.erasures()
            for first, last in erased.ranges
            for position in range(max(first, after + 1), min(last, until) + 1)
        }
        if not erased_by:
            return {}
        sql = f"""SELECT {EVENT} FROM {self._db.each_number(1, "w")}
            {self._db.ordered_join} stored_events e ON e.notification_id = w.value
            WHERE e.topic=?2 AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.stream = e.originator_id) ORDER BY 1"""
        emptied = self._mapper.events(self._db.rows(sql, (self._db.array(sorted(erased_by)), ERASED)))
        counts = Counter(erased_by[position] for position, event in emptied if run in (None, event.cause.run))
        return dict(sorted(counts.items()))

    def erasable_counts(self, stream: int) -> tuple[int, int]:
        links = self._db.one("SELECT count(*) FROM links WHERE source=?1 OR target=?1", (stream,))
        return len(self._events_of(stream)), links

    def _events_of(self, stream: int) -> list[int]:
        """Returns the positions of the changes that the log has of a resource and its links."""
        sql = f"""SELECT e.notification_id FROM ({_STREAMS}) s
            {self._db.ordered_join} stored_events e ON e.originator_id = +s.stream ORDER BY 1"""
        positions: list[int] = self._db.table(sql, (stream,), _positions()).column("position").to_pylist()
        return positions

    def records_of_rows(self) -> Iterator[tuple[Position, RowsSetAside | PairsAwaited]]:
        sql = f"""SELECT {EVENT} FROM runs r {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE {self._db.among_texts("e.topic", 1)} ORDER BY e.notification_id"""
        yield from self._mapper.events(self._db.rows(sql, (self._db.array(ERASABLE_RECORDS),)))

    def runs_that_name(self, key: str, besides: Collection[Position] = ()) -> list[int]:
        either = " OR ".join(self._db.holds("e.state", self._db.as_bytes(f"CAST(?{n} AS TEXT)")) for n in (1, 2))
        sql = f"""SELECT r.number, e.notification_id FROM runs r
            {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream WHERE {either} ORDER BY 1, 2"""
        by_itself, in_a_message = (orjson.dumps(text).decode() for text in (key, shown(key)))
        found = self._db.all(sql, (by_itself, in_a_message[1:-1]))
        return list(dict.fromkeys(number for number, position in found if position not in set(besides)))


class ErasureCommands(StubCommands, RunCommands, ErasureQueries):
    """Erases resources."""

    def erase(
        self,
        stream: int,
        build: Callable[[str, int, datetime, Emptied], ResourceErased],
        run: int,
        records: Collection[Position] = (),
    ) -> Emptied:
        positions = sorted({*self._events_of(stream), *records})
        streams = tuple(number for (number,) in self._db.all(f"{_STREAMS} ORDER BY 1", (stream,)))
        ranges = ranges_of(np.asarray(positions, np.int64)) if positions else ()
        emptied = Emptied(count=len(positions), streams=streams, ranges=ranges)
        self.keep_stubs(positions)
        self.append_to_run(lambda own, version, at: build(own, version, at, emptied), run)
        for table in ("correlation_keys", "classifications", "flags"):
            self._delete_sealed(table, "resource=?1", (stream,))
        self._db.execute("DELETE FROM applied_rows")  # they name the key, and are of no use after an erasure
        self._db.execute("DELETE FROM links WHERE source=?1 OR target=?1", (stream,))
        self._db.execute("DELETE FROM resources WHERE stream=?1", (stream,))
        if self._db.erase_events(record=self._next - 1) != emptied.count:
            raise store_damaged(
                f"the {emptied.count} changes to erase differ from the record of the erasure",
                effect="Nothing was erased.",
            )
        return emptied
