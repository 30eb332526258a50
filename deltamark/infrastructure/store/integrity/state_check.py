"""Compares the stored state with the log, range by range of streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, TypeAlias

import orjson

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.records import Pair
from deltamark.domain.errors import ROW_ERRORS, StoreError, StoreUnreachable
from deltamark.domain.history.changes import Position
from deltamark.domain.integrity.verification import MOST_KEPT, Checkpoint, Discrepancy, LogVerification
from deltamark.domain.runs.run import ChangesDiscarded
from deltamark.domain.values import same_value, shown
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.mapper import ChangeMapper
from deltamark.infrastructure.store.integrity.chain import Chain, Transaction, differences_from
from deltamark.infrastructure.store.integrity.log_fold import (
    Folded,
    FoldedLink,
    FoldedResource,
    FoldedRun,
    LogFault,
    LogFold,
)
from deltamark.infrastructure.store.integrity.ownerless_rows import ownerless_rows
from deltamark.infrastructure.store.integrity.table_check import table_faults
from deltamark.infrastructure.store.queries.configurations import problem_of

_RESOURCES = """SELECT r.stream, e.name, r.key, r.version, r.position, r.live, r.state, r.computed
    FROM resources r LEFT JOIN entity_types e ON e.id = r.entity_type WHERE r.stream>=?1 AND r.stream<?2"""
_LINKS = """SELECT l.stream, a.name, st.name, s.key, tt.name, t.key, l.version, l.position, l.live
    FROM links l LEFT JOIN associations a ON a.id = l.association
    LEFT JOIN resources s ON s.stream = l.source LEFT JOIN entity_types st ON st.id = s.entity_type
    LEFT JOIN resources t ON t.stream = l.target LEFT JOIN entity_types tt ON tt.id = t.entity_type
    WHERE l.stream>=?1 AND l.stream<?2"""
_RUNS = "SELECT stream, number, version, first, last FROM runs WHERE stream>=?1 AND stream<?2"

_NEWEST_FLAG = """SELECT max(f) FROM (SELECT forgotten_flag AS f FROM store UNION ALL SELECT max(number) FROM flags
    UNION ALL SELECT max(flag) FROM consumed) n"""

_RESOURCE_COLUMNS = ("stream", "entity type", "key", "version", "position", "live", "state", "computed values")
_LINK_COLUMNS = (
    "stream", "association", "source type", "source key", "target type", "target key", "version", "position", "live",
)  # fmt: skip
_RUN_COLUMNS = ("stream", "number", "version", "first position", "last position")
_JSON_COLUMNS = ("state", "computed values")


HorizonRow: TypeAlias = tuple[str, str, int, int, str]
"""Subject, connector, position, run, task."""


class Comparison:
    """One reading of the log beside the stored state.

    Its attributes are complete after `ranges`.

    :param is_chained: whether the chain of digests is checked, too.
    :param checkpoint: what the log must begin with.
    """

    def __init__(
        self,
        database: Database,
        mapper: ChangeMapper,
        progress: Progress,
        *,
        is_chained: bool = True,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._db = database
        self._is_chained = is_chained
        self._checkpoint = checkpoint
        self._digest = ""
        self._progress = progress
        self._log_fold = LogFold(database, mapper, self._add_fault)
        self._damage: list[Discrepancy] = []
        self._faults: list[Discrepancy] = []
        self._differences: list[Discrepancy] = []
        self.database_faults = self.log_faults = self.differences = 0
        self.is_index_damaged = False
        self._newest: Position = 0
        self.resources = self.links = self.runs = 0
        self.deleted_resources = self.removed_links = 0
        self.has_wrong_values = False
        self.faulty_tables: set[str] = set()
        self._wrong: dict[str, list[int]] = {}
        self.next_run = 1
        self._duplicate_searches = 0

    @property
    def log_fold(self) -> LogFold:
        """What the log holds besides the streams."""
        return self._log_fold

    def check_database(self) -> None:
        """Checks the database itself, as far as it can: its file, tables and indexes."""
        for fault in self._db.faults():
            self.is_index_damaged = self.is_index_damaged or fault.in_index
            self.add_damage(fault.subject, fault.problem, needs_backup=not fault.in_index)

    def add_damage(self, subject: str, problem: str, *, needs_backup: bool = True) -> None:
        """Adds a fault of the database."""
        self.database_faults += 1
        if len(self._damage) < MOST_KEPT:
            self._damage.append(
                Discrepancy(subject=subject, problem=problem, in_database=True, needs_backup=needs_backup)
            )

    def check(self) -> None:
        """Reads everything, and counts what cannot be read as a fault of the database."""
        self.check_database()
        try:
            for _ in self.ranges():
                pass
        except (StoreUnreachable, MemoryError):
            raise
        except StoreError as e:
            self.add_damage("the store", str(e).split(". The store was altered", 1)[0])
        except Exception as e:
            if not (isinstance(e, ROW_ERRORS) or self._db.is_damage(e)):
                raise
            self.add_damage("the store", f"its rows cannot be read to the end ({type(e).__name__}: {e})")

    def ranges(self) -> Iterator[Folded]:
        """Yields what the log gives, range by range, after it was compared with the stored rows."""
        self._newest = self._head()
        last = (self._db.one("SELECT next_stream FROM store") or 1) - 1
        chained = self._newest if self._is_chained else 0
        if self._is_chained:
            self._check_chain(chained + last)
        for folded in self._log_fold.ranges():
            self._compare(folded)
            yield folded
            self._progress(chained + min(folded.after - 1, last), chained + last)
        self._compare_whole()

    def _check_chain(self, total: int) -> None:
        """Checks the chain of digests, and the checkpoint if there is one."""
        newest: Transaction | None = None
        checkpoint = self._checkpoint
        for transaction in Chain(self._db, self._add_chain_fault).transactions():
            self._progress(transaction.position, total)
            self._digest = transaction.digest.hex()
            if checkpoint is not None and transaction.position <= checkpoint.position:
                newest = transaction
        if checkpoint is not None:
            for problem in differences_from(checkpoint, self._db.one("SELECT log FROM store"), newest):
                self._add_chain_fault(checkpoint.position, problem)

    def _head(self) -> Position:
        return self._db.one("SELECT max(notification_id) FROM stored_events") or 0

    def result(self) -> LogVerification:
        """Returns all counts, and the first discrepancies."""
        return LogVerification(
            head=self._newest,
            digest=self._digest,
            events=self._log_fold.events,
            resources=self.resources,
            links=self.links,
            runs=self.runs,
            log_faults=self.log_faults,
            differences=self.differences,
            discrepancies=[*self._damage, *self._faults, *self._differences][:MOST_KEPT],
            deleted_resources=self.deleted_resources,
            removed_links=self.removed_links,
            database_faults=self.database_faults,
        )

    def _add_chain_fault(self, position: Position, problem: str) -> None:
        self._add_fault(LogFault("the log", problem, position))

    def _add_fault(self, fault: LogFault) -> None:
        self.log_faults += 1
        if len(self._faults) < MOST_KEPT:
            self._faults.append(
                Discrepancy(subject=fault.subject, problem=fault.problem, position=fault.position, in_log=True)
            )

    def _add_difference(self, subject: str, problem: str, position: Position | None) -> None:
        self.differences += 1
        if len(self._differences) < MOST_KEPT:
            self._differences.append(Discrepancy(subject=subject, problem=problem, position=position))

    def _compare(self, folded: Folded) -> None:
        between = (folded.first, folded.after)
        live_resources = sum(bool(row.live) for row in folded.resources)
        live_links = sum(bool(row.live) for row in folded.links)
        self.resources += live_resources
        self.deleted_resources += len(folded.resources) - live_resources
        self.links += live_links
        self.removed_links += len(folded.links) - live_links
        self.runs += len(folded.runs)
        self.next_run = max([self.next_run, *(run.number + 1 for run in folded.runs)])
        self._wrong = {"links": [], "resources": [], "runs": []}
        for sql, rows, columns, name, wrong in (
            (_RESOURCES, folded.resources, _RESOURCE_COLUMNS, _resource_name, self._wrong["resources"]),
            (_LINKS, folded.links, _LINK_COLUMNS, _link_name, self._wrong["links"]),
            (_RUNS, folded.runs, _RUN_COLUMNS, _run_name, self._wrong["runs"]),
        ):
            stored_rows = {row[0]: row for row in self._db.all(sql, between)}
            for row in rows:
                stored = stored_rows.pop(row[0], None)
                if stored == row:
                    continue
                problem = "it is missing" if stored is None else _problem(columns, stored, row)
                if problem:
                    if stored is None:
                        self._find_duplicate(row, name(row))
                    self._add_difference(name(row), problem, _position(row))
                    wrong.append(row[0])
            for stream, stored in stored_rows.items():
                self._add_difference(name(stored), "the log has no event of it", _position(stored))
                wrong.append(stream)

        self.has_wrong_values = self.has_wrong_values or bool(self._wrong["resources"] or self._wrong["links"])

    def wrong(self) -> dict[str, list[int]]:
        """Returns, by table, the streams of the newest range whose rows differ from the log.

        Links come first.
        """
        return self._wrong

    def _find_duplicate(self, row: Any, name: str) -> None:
        """Looks for a second stream.

        A run may have begun it because the row of the first one was lost.
        """
        if isinstance(row, FoldedRun) or self._duplicate_searches >= MOST_KEPT:
            return
        self._duplicate_searches += 1
        duplicate = _duplicate_stream(self._db, row)
        if duplicate is not None:
            problem = f"the log has two streams of it, {row.stream} and {duplicate}"
            self._add_fault(LogFault(name, problem, row.position))

    def _compare_whole(self) -> None:
        self._check_configurations()
        self._compare_horizons()
        self._compare_awaited()
        for table, problem in ownerless_rows(self._db):
            self._add_difference(f"the table {table}", problem, None)
        for fault in table_faults(self._db):
            if fault.table == "snapshots":  # where the history of a stream begins: no other record has that
                self._add_fault(LogFault(f"the table {fault.table}", fault.problem, None))
            else:
                self._add_difference(f"the table {fault.table}", fault.problem, None)
                self.faulty_tables.add(fault.table)
        self._check_next_numbers()

    def _check_next_numbers(self) -> None:
        """Checks that what the store assigns next lies above what was assigned: an old row of it may have come back."""
        row = self._db.row("SELECT next_stream, next_run, last_at, next_flag FROM store")
        least = [
            ("the next stream", "the log", self._log_fold.last_stream + 1),
            ("the next run", "the log", self.next_run),
            ("the newest time", "the log", self._log_fold.newest_time),
        ]
        if self.faulty_tables.isdisjoint(("flags", "consumed")):  # their numbers are what was written
            least.append(("the next flag", "its tables", (self._db.one(_NEWEST_FLAG) or 0) + 1))
        for (name, source, minimum), stored in zip(least, row or (None,) * len(least), strict=False):
            if not isinstance(stored, int) or stored < minimum:
                problem = f"{name} is {shown(stored)}; {source} gives {shown(minimum)} or more"
                self._add_difference("the store", problem, None)
                self.faulty_tables.add("store")

    def _check_configurations(self) -> None:
        """Checks that the XML of every adopted configuration is there, unaltered.

        Only a backup has it otherwise, so what is wrong is a fault of the log.
        """
        adopted = {event.digest: position for position, event in reversed(self._log_fold.adoptions)}
        missing = dict(adopted)
        for digest, xml in self._db.rows("SELECT digest, xml FROM configurations ORDER BY digest"):
            problem = problem_of(digest, xml) if digest in adopted else "is adopted by no event of the log"
            if problem is not None:
                self._add_configuration_fault(digest, problem, adopted.get(digest))
            missing.pop(digest, None)
        for digest, position in missing.items():
            self._add_configuration_fault(digest, "is missing", position)

    def _add_configuration_fault(self, digest: object, problem: str, position: Position | None) -> None:
        self._add_fault(LogFault(f"the configuration {str(digest)[:12]}", f"it {problem}", position))

    def _compare_horizons(self) -> None:
        sql = "SELECT subject, connector, position, run, task FROM horizons"
        stored = {row[0]: row for row in self._db.all(sql)}
        for subject, expected in expected_horizons(stored, self._log_fold).items():
            if stored.get(subject) != expected:
                problem = "no discard in the log set it" if subject in stored else "it is missing"
                position = expected[2] if expected else stored[subject][2]
                self._add_difference(f"the horizon of {subject}", problem, position)

    def _compare_awaited(self) -> None:
        sql = "SELECT n.name, a.first, a.second FROM awaited a LEFT JOIN associations n ON n.id=a.association"
        expected, stored = self.awaited(), set(self._db.all(sql))
        for association, first, second in sorted(expected - stored, key=str):
            self._add_difference(f"{association} {first} → {second}", "the waiting pair is missing", None)
        for association, first, second in sorted(stored - expected, key=str):
            self._add_difference(f"{association} {first} → {second}", "the log has no event of the waiting pair", None)

    def awaited(self) -> set[tuple[str, str, str]]:
        """Returns the waiting pairs according to the log, each with its association."""
        waiting: dict[str, set[Pair]] = {}
        for _, event in sorted(self._log_fold.awaiting, key=itemgetter(0)):
            pairs = waiting.setdefault(event.association, set())
            pairs.difference_update(event.settled)
            pairs.update(event.awaited)
        return {(association, *pair) for association, pairs in waiting.items() for pair in pairs}


def expected_horizons(stored: Mapping[str, HorizonRow], log_fold: LogFold) -> dict[str, HorizonRow | None]:
    """Returns the right horizon of each subject, or None for one that must have none.

    The record of a discard names the entity types whose changes it removed, not every subject whose horizon it moved.
    So a stored horizon is right if a discard set it and it covers the snapshots. A subject with snapshots has one.
    """
    discards = [_horizon_of(event, log_fold) for _, event in log_fold.discards]
    newest = log_fold.discarded_to
    expected: dict[str, HorizonRow | None] = {}
    for subject in sorted({*stored, *newest}, key=str):
        row, needed = stored.get(subject), newest.get(subject, 0)
        if row is not None and row[1:] in discards and row[2] >= needed:
            expected[subject] = row
            continue
        covering = [discard for discard in discards if needed and discard[1] >= needed]
        expected[subject] = (subject, *min(covering, key=itemgetter(1))) if covering else None
    return expected


def _horizon_of(event: ChangesDiscarded, log_fold: LogFold) -> tuple[str, int, int, str]:
    planned = {task.ordinal: task.identifier for task in log_fold.planned.get(event.run, ())}
    return event.connector, event.up_to, event.run, planned.get(event.task, "")


def _duplicate_stream(db: Database, row: FoldedResource | FoldedLink) -> int | None:
    """Returns another stream of this resource or link that the state and the log both hold."""
    if isinstance(row, FoldedResource):
        stream = _stream_of(db, row.entity_type, row.key)
        return stream if stream is not None and _begins_with(db, stream, payload.resource_identity, row[1:3]) else None
    source, target = _stream_of(db, row.source_type, row.source_key), _stream_of(db, row.target_type, row.target_key)
    sql = """SELECT stream FROM links WHERE association=(SELECT id FROM associations WHERE name=?1)
        AND source=?2 AND target=?3"""
    stream = None if None in (source, target) else db.one(sql, (row.association, source, target))
    return stream if stream is not None and _begins_with(db, stream, payload.link_identity, row[1:6]) else None


def _stream_of(db: Database, entity_type: str, key: str) -> int | None:
    sql = f"""SELECT stream FROM resources WHERE entity_type=(SELECT id FROM entity_types WHERE name=?1)
        AND {db.same_key("key", "?2")}"""
    stream: int | None = db.one(sql, (entity_type, key))
    return stream


def _begins_with(db: Database, stream: int, identity: Callable[[Any], object], name: tuple[Any, ...]) -> bool:
    """Whether the beginning of a stream in the log names this resource or link."""
    state = db.one("SELECT state FROM snapshots WHERE stream=?1", (stream,)) or db.one(
        "SELECT state FROM stored_events WHERE originator_id=?1 ORDER BY originator_version LIMIT 1", (stream,)
    )
    try:
        return identity(orjson.loads(state)) == name
    except (ValueError, KeyError, TypeError):
        return False


def _problem(columns: tuple[str, ...], stored: tuple[Any, ...], expected: tuple[Any, ...]) -> str:
    """Returns what differs between two rows.

    Returns nothing if only the notation of a number differs.
    """
    return "; ".join(
        f"{column} is {shown(value)}; the log gives {shown(other)}"
        for column, value, other in zip(columns, stored, expected, strict=True)
        if value != other and not (column in _JSON_COLUMNS and _same_values(value, other))
    )


def _same_values(stored: object, expected: str) -> bool:
    """Whether two states hold the same values of the same types."""
    try:
        values, others = orjson.loads(stored), orjson.loads(expected)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return (
        isinstance(stored, str)
        and isinstance(values, dict)
        and list(values) == sorted(others)
        and all(same_value(value, others[name]) for name, value in values.items())
    )


def _position(row: Any) -> Position | None:
    position = row[-1] if len(row) == len(_RUN_COLUMNS) else row[-2] if len(row) == len(_LINK_COLUMNS) else row[4]
    return position if isinstance(position, int) else None


def _resource_name(row: Any) -> str:
    return f"{row[1]} {row[2]}"


def _link_name(row: Any) -> str:
    return f"{row[1]} {row[3]} → {row[5]}"


def _run_name(row: Any) -> str:
    return f"run {row[1]}"
