"""One writing transaction: its time, positions and streams, and the records of runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

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

_END_OF_TIME = to_micros(datetime.max.replace(tzinfo=UTC))

_INSERT_EVENT = """INSERT INTO stored_events
    (notification_id, originator_id, originator_version, topic, state, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"""


class Session(RunQueries, FlagQueries, DerivedQueries, LeaseQueries):
    """What all commands of a transaction share.

    Positions, streams, numbers of flags and the time are counted here and written at the end of the transaction.
    """

    def __init__(self, database: Database, mapper: ChangeMapper, clock: Clock) -> None:
        super().__init__(database, mapper)
        self._next = self._first = position_after(database.newest_position())
        self._seals = Seals()
        last_at, self._stream, self._run, self._flag = self._counters()
        self._began_at, self._began = to_micros(clock()), monotonic()
        self._micros = max(self._began_at, last_at + 1)

    def _counters(self) -> tuple[int, int, int, int]:
        """Returns the newest time in the log, the next stream, the next run and the next flag."""
        match self._db.row("SELECT last_at, next_stream, next_run, next_flag FROM store"):
            case (int(last_at), int(stream), int(run), int(flag)) if last_at < _END_OF_TIME:
                return last_at, stream, run, flag
        raise store_damaged("the time of the store, or one of its next numbers, cannot be read")

    def now(self) -> datetime:
        return from_micros(self._micros)

    def _host_time(self) -> int:
        return self._began_at + int((monotonic() - self._began) * 1_000_000)

    def _positions(self, count: int) -> range:
        first, self._next = self._next, self._next + count
        return range(first, self._next)

    def _streams(self, count: int) -> range:
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
        return int(number or self._db.one(f"INSERT INTO {table} (name) VALUES (?1) RETURNING id", (name,)))

    def finish(self) -> None:
        """Writes the counters.

        This is the last step before the commit.
        """
        newest = self._next - 1
        if newest >= self._first:
            segments, digest = self._seals.close(self._sealed_to(), self._first, newest, self._micros)
            self._db.execute(
                "INSERT INTO moments (position, at, segments, digest) VALUES (?1, ?2, ?3, ?4)",
                (newest, self._micros, segments, digest),
            )
            self._db.save_newest_position(newest)
        sql = "UPDATE store SET last_at=?1, next_stream=?2, next_run=?3, next_flag=?4"
        self._db.execute(sql, (self._micros, self._stream, self._run, self._flag))

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
