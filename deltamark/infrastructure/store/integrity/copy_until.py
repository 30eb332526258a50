"""Fills a new store with the log of another one up to a position, and with the state at each place on the way.

The log is copied in portions; between two of them, use cases work with the state as it was there.
"""

from __future__ import annotations

from collections.abc import Sequence

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.queries import Reading
from deltamark.domain.errors import store_damaged
from deltamark.domain.history.changes import Horizon, Position
from deltamark.domain.integrity.verification import LogVerification
from deltamark.domain.runs.run import (
    ChangesDiscarded,
    PairsAwaited,
    ResourceErased,
    RunEvent,
    RunResumed,
    RunStarted,
    TaskEnded,
    TaskStarted,
)
from deltamark.infrastructure.store.commands.erase import ErasureQueries
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.run_events import CHANGES_DISCARDED, RESOURCE_ERASED, RUN_TOPICS
from deltamark.infrastructure.store.integrity.copy_store import (
    CONFIGURATIONS,
    EVENTS,
    MOMENTS,
    PENDING,
    SNAPSHOTS,
    STUBS,
    StoreCopy,
    refuse_any_damage,
    refuse_faulty_tables,
)
from deltamark.infrastructure.store.integrity.log_fold import RANGE, LogFault, LogFold
from deltamark.infrastructure.store.integrity.rebuild import refuse_broken
from deltamark.infrastructure.store.integrity.state_check import Comparison
from deltamark.infrastructure.store.queries.log import EVENT, LogQueries
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import SEALED, seal_rows

_RECORDS = [
    topic
    for topic, kind in RUN_TOPICS.items()
    if kind in (RunStarted, RunResumed, TaskStarted, TaskEnded, ResourceErased)
]


class PastQueries(LogQueries):
    """What a copy up to a position needs to know of the log."""

    def transaction_of(self, position: int) -> tuple[int, int]:
        last = self._db.one("SELECT min(position) FROM moments WHERE position>=?1", (position,))
        first = self._db.one("SELECT max(position) FROM moments WHERE position<?1", (position,)) or 0
        return first + 1, last or self.head()

    def removals_beyond(self, position: int) -> list[tuple[int, ChangesDiscarded | ResourceErased]]:
        topics = self._db.array([CHANGES_DISCARDED, RESOURCE_ERASED])
        sql = f"""SELECT {EVENT} FROM stored_events WHERE {self._db.among_texts("topic", 1)} AND notification_id>?2
            ORDER BY notification_id"""
        removals = self._mapper.events(self._db.rows(sql, (topics, position)))
        return [(at, event) for at, event in removals if isinstance(event, ChangesDiscarded | ResourceErased)]

    def run_records(self, until: int) -> list[tuple[int, RunEvent]]:
        sql = f"""SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state
            FROM runs r {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE {self._db.among_texts("e.topic", 1)} AND +e.notification_id<=?2 ORDER BY e.notification_id"""
        return list(self._mapper.events(self._db.rows(sql, (self._db.array(_RECORDS), until))))

    def unknown_at(self, position: int) -> Horizon | None:
        following = self._db.one("SELECT min(stream) FROM runs WHERE first>?1", (position,))
        sql = """SELECT coalesce(t.name, a.name) FROM snapshots s
            LEFT JOIN resources r ON r.stream = s.stream LEFT JOIN entity_types t ON t.id = r.entity_type
            LEFT JOIN links l ON l.stream = s.stream LEFT JOIN associations a ON a.id = l.association
            WHERE s.position>?1 AND s.stream<?2 ORDER BY s.position DESC LIMIT 1"""
        row = self._db.row(sql, (position, following or 2**62))
        if row is None:
            return None
        horizons = self._db.all("SELECT subject, connector, position, run, task FROM horizons WHERE subject=?1", row)
        subject, connector, at, run, task = horizons[0]
        return Horizon(connector=connector, subject=subject, position=at, run=run, task=task)

    def newest_snapshot(self, until: int) -> int:
        return self._db.one("SELECT max(position) FROM snapshots WHERE position<=?1", (until,)) or 0


class StoreCopyUntil(StoreCopy, PastQueries, ErasureQueries):
    """Fills a new store from another one, up to a position."""

    _copied_to = 0

    def begin_copy(self, source: Reading, until: Position, progress: Progress) -> None:
        db = _database_of(source)
        assert isinstance(source, Queries), "checked"
        self._check_empty()
        comparison = Comparison(db, source._mapper, progress)
        comparison.check_database()
        refuse_any_damage(comparison.result())
        for _ in comparison.ranges():
            pass
        refuse_broken(comparison.result())
        refuse_faulty_tables(comparison)
        if comparison.result().differences:
            self._note_correction(until)
        self._is_rebuilding = True
        up_to = f"position<={int(until)}"
        self._copy(db, "snapshots", SNAPSHOTS, "stream", up_to)
        self._copy(db, "moments", MOMENTS, "position", up_to)
        self._copy(db, "stubs", STUBS, "position", up_to)
        adopted = {event.digest for position, event in comparison.log_fold.adoptions if position <= until}
        self._copy(db, "configurations", CONFIGURATIONS, "digest")
        for (digest,) in self._db.all("SELECT digest FROM configurations"):
            if digest not in adopted:
                self._db.execute("DELETE FROM configurations WHERE digest=?1", (digest,))
        self._db.execute("UPDATE store SET log=?1", (db.one("SELECT log FROM store"),))

    def copy_log(self, source: Reading, up_to: Position) -> None:
        if up_to <= self._copied_to:
            return
        between = f"notification_id>{int(self._copied_to)} AND notification_id<={int(up_to)}"
        self._copy(_database_of(source), "stored_events", EVENTS, "notification_id", between)
        touched = [
            stream for (stream,) in self._db.all(f"SELECT DISTINCT originator_id FROM stored_events WHERE {between}")
        ]
        if not self._copied_to:
            touched += [stream for (stream,) in self._db.all("SELECT stream FROM snapshots")]
        fold = LogFold(self._db, self._mapper, _refuse_fault)
        streams = sorted(set(touched))
        for start in range(0, len(streams), RANGE):
            folded = fold.of_streams(streams[start : start + RANGE])
            self._drop_rows(streams[start : start + RANGE])
            self.put_folded(folded)
        self._copied_to = up_to

    def _drop_rows(self, streams: Sequence[int]) -> None:
        for table in ("links", "resources", "runs"):
            sql = f"DELETE FROM {table} WHERE {self._db.among_numbers('stream', 1)}"
            self._db.execute(sql, (self._db.array(streams),))

    def continue_copy(self) -> None:
        """Makes this transaction go on at the end of what was copied."""
        until = self._copied_to
        self._next = self._first = until + 1
        self._db.save_newest_position(until)
        self._stream = (self._db.one("SELECT max(originator_id) FROM stored_events") or 0) + 1
        for table in ("resources", "links"):
            self._stream = max(self._stream, (self._db.one(f"SELECT max(stream) FROM {table}") or 0) + 1)
        self._run = (self._db.one("SELECT max(number) FROM runs") or 0) + 1

    def copy_horizons(self, horizons: Sequence[Horizon]) -> None:
        for row in horizons:
            self._db.execute(
                "INSERT INTO horizons (subject, connector, position, run, task) VALUES (?1, ?2, ?3, ?4, ?5)",
                (row.subject, row.connector, row.position, row.run, row.task),
            )

    def copy_pending(self, source: Reading, run: int, task: int) -> bool:
        self._copy(_database_of(source), "pending", PENDING, "run, task, part", f"run={int(run)} AND task={int(task)}")
        return bool(self._db.one("SELECT 1 FROM pending WHERE run=?1 AND task=?2 LIMIT 1", (run, task)))

    def end_copy(self, progress: Progress) -> LogVerification:
        waiting: dict[str, set[tuple[str, str]]] = {}
        for _, event in self.records_of_rows():
            if isinstance(event, PairsAwaited):
                pairs = waiting.setdefault(event.association, set())
                pairs.difference_update(event.settled)
                pairs.update(event.awaited)
        self._put_all_awaited((name, *pair) for name, pairs in waiting.items() for pair in pairs)
        if self._next == self._first:
            self._micros = self._db.one("SELECT max(at) FROM moments") or 0
        self.finish()
        self._first = self._next
        seal_rows(self._db, SEALED)
        self._sums.forget()
        verified = self.verify(progress)
        if not verified.is_sound:
            first = verified.discrepancies[0]
            raise store_damaged(
                f"the store as it was cannot be rebuilt: {first.subject}: {first.problem}",
                effect="Nothing was written.",
            )
        return verified


def _database_of(source: Reading) -> Database:
    if not isinstance(source, Queries):
        raise TypeError(f"stores of all kinds are read by the same queries, not by {type(source).__name__}.")
    return source._db


def _refuse_fault(fault: LogFault) -> None:
    raise store_damaged(f"{fault.subject}: {fault.problem}", effect="Nothing was written.")
