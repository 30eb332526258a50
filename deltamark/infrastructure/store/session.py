"""One writing transaction: its time, positions and streams, and the records of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from deltamark.application.ports.store import Clock
from deltamark.domain.errors import store_damaged
from deltamark.domain.resources.events import Event
from deltamark.domain.runs.run import RunEvent
from deltamark.infrastructure.store.database import Database, position_after
from deltamark.infrastructure.store.events.mapper import ChangeMapper, from_micros, to_micros
from deltamark.infrastructure.store.events.seals import Seals, log_digest
from deltamark.infrastructure.store.queries.derived import DerivedQueries
from deltamark.infrastructure.store.queries.flags import FlagQueries
from deltamark.infrastructure.store.queries.leases import LeaseQueries
from deltamark.infrastructure.store.queries.log import RunQueries
from deltamark.infrastructure.store.row_seals import (
    SEALED,
    SealSums,
    check_row,
    put_seal,
    row_altered,
    seal_of,
    sealed_rows,
    sum_of,
)

_END_OF_TIME = to_micros(datetime.max.replace(tzinfo=UTC))

_INSERT_EVENT = """INSERT INTO stored_events
    (notification_id, originator_id, originator_version, topic, state, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"""


class Session(RunQueries, FlagQueries, DerivedQueries, LeaseQueries):
    """What all commands of a transaction share.

    Positions, streams, numbers of flags and the time are counted here and written at the end of the transaction.
    """

    def __init__(self, database: Database, mapper: ChangeMapper, clock: Clock) -> None:
        super().__init__(database, mapper)
        self._is_rebuilding = False
        self._next = self._first = position_after(database.newest_position())
        self._seals = Seals()
        self._sums = SealSums()
        last_at, self._stream, self._run, self._flag = self._counters()
        self._began_at, self._began = to_micros(clock()), monotonic()
        self._micros = max(self._began_at, last_at + 1)

    def _counters(self) -> tuple[int, int, int, int]:
        """Returns the newest time in the log, the next stream, the next run and the next flag."""
        row, seal = self._store_row()
        self._is_altered = seal_of(row) != seal
        match row:
            case (_, _, int(last_at), int(stream), int(run), int(flag), *_) if last_at < _END_OF_TIME:
                return last_at, stream, run, flag
        raise store_damaged("the time of the store, or one of its next numbers, cannot be read")

    def _store_row(self) -> tuple[tuple[Any, ...], int]:
        rows = sealed_rows(self._db, SEALED["store"])
        if len(rows) != 1:
            raise store_damaged(f"the table store has {len(rows)} rows instead of one")
        return rows[0]

    def now(self) -> datetime:
        return from_micros(self._micros)

    def _host_time(self) -> int:
        return self._began_at + int((monotonic() - self._began) * 1_000_000)

    def _refuse_altered(self) -> None:
        """Refuses a row of the store that was altered, unless this transaction replays the log.

        :raises StoreError: names the row.
        """
        if self._is_altered and not self._is_rebuilding:
            raise row_altered(SEALED["store"], self._store_row()[0])

    def _positions(self, count: int) -> range:
        self._refuse_altered()
        first, self._next = self._next, self._next + count
        return range(first, self._next)

    def _streams(self, count: int) -> range:
        self._refuse_altered()
        first, self._stream = self._stream, self._stream + count
        return range(first, self._stream)

    def newest_flag(self) -> int:
        return self._flag - 1

    def _append(self, event: Event) -> int:
        stored = self._mapper.to_stored_event(event)
        (position,) = self._positions(1)
        stream, version, topic, state = (
            int(event.originator_id), stored.originator_version, stored.topic, stored.state,
        )  # fmt: skip
        seal = self._seals.seal(topic, position, [stream], [version], [state])
        self._db.execute(_INSERT_EVENT, (position, stream, version, topic, state, seal.tobytes()))
        return position

    def _name_id(self, table: str, name: str) -> int:
        number = self._db.one(f"SELECT id FROM {table} WHERE name=?1", (name,))
        if number:
            return int(number)
        with self._sealing(table):
            return int(self._db.one(f"INSERT INTO {table} (name) VALUES (?1) RETURNING id", (name,)))

    def finish(self) -> None:
        """Writes the counters.

        This is the last step before the commit.
        """
        self._db.build_deferred_indexes()
        newest = self._next - 1
        if newest >= self._first:
            self._check_end()
            segments, digest = self._seals.close(self._sealed_to(), self._first, newest, self._micros)
            self._db.execute(
                "INSERT INTO moments (position, at, segments, digest) VALUES (?1, ?2, ?3, ?4)",
                (newest, self._micros, segments, digest),
            )
            self._db.save_newest_position(newest)
        self._sums.write(self._db)
        self._write_store()

    def _check_end(self) -> None:
        """Refuses to write above a position that is not the end of the log, which would leave a gap in it.

        :raises StoreError: if the stored newest position was altered.
        """
        before = self._db.one("SELECT max(position) FROM moments") or 0
        if before != self._first - 1:
            raise store_damaged(
                f"the newest position of the store is {self._first - 1}, but its log ends at {before}",
                effect="Nothing was changed.",
                alternative="replay the log, which puts this right: `deltamark replay`",
            )

    def _write_store(self) -> None:
        """Writes the row of the store with its counters."""
        self._refuse_altered()
        (one, epoch, *_, forgotten, log), _ = self._store_row()
        numbers = [self._micros, self._stream, self._run, self._flag]
        seal = seal_of((one, epoch, *numbers, forgotten, log))
        sql = "UPDATE store SET last_at=?1, next_stream=?2, next_run=?3, next_flag=?4, seal=?5"
        self._db.execute(sql, (*numbers, seal))

    @contextmanager
    def _sealing(self, name: str, condition: str = "TRUE", parameters: Sequence[Any] = ()) -> Iterator[None]:
        """Seals the rows of a small table that the block writes.

        :param condition: holds for all rows that the block writes or deletes, before and after it.
        :raises StoreError: if one of the rows under the condition was altered before.
        """
        table = SEALED[name]
        before = sealed_rows(self._db, table, condition, parameters)
        for row, seal in () if self._is_rebuilding else before:
            check_row(table, row, seal)
        yield
        after = sealed_rows(self._db, table, condition, parameters)
        seals = [seal_of(row) for row, _ in after]
        for (row, seal), right in zip(after, seals, strict=True):
            if seal != right:
                put_seal(self._db, table, row)
        self._sums.add(name, (len(before), sum(seal for _, seal in before)), (len(after), sum(seals)))

    def _delete_sealed(self, table: str, condition: str, parameters: Sequence[Any] = ()) -> int:
        """Deletes rows of a large table, and returns how many."""
        before = sum_of(self._db, table, condition, parameters)
        if before[0]:
            self._sums.add(table, before, (0, 0))
            self._db.execute(f"DELETE FROM {table} WHERE {condition}", parameters)
        return before[0]

    def _sealed_to(self) -> bytes:
        """Returns the digest of the newest transaction."""
        digest = self._db.one("SELECT digest FROM moments ORDER BY position DESC LIMIT 1")
        return digest or log_digest(self._db.one("SELECT log FROM store"))


class RunCommands(Session):
    """Writes the records of runs."""

    def start_run(self, build: Callable[[str, int, datetime], RunEvent]) -> int:
        (stream,) = self._streams(1)
        number: int = self._run
        self._run = number + 1
        position = self._append(build(str(stream), number, self.now()))
        self._db.execute(
            "INSERT INTO runs (number, stream, version, first, last) VALUES (?1, ?2, 1, ?3, ?3)",
            (number, stream, position),
        )
        return number

    def append_to_run(self, build: Callable[[str, int, datetime], RunEvent], run: int) -> None:
        row = self._db.row("SELECT stream, version FROM runs WHERE number=?1", (run,))
        assert row is not None, "only a started run has further events"
        stream, version = row
        position = self._append(build(str(stream), version + 1, self.now()))
        self._db.execute("UPDATE runs SET version=?1, last=?2 WHERE number=?3", (version + 1, position, run))
