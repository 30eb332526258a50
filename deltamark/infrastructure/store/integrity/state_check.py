"""Comparing the stored state with what the log gives, range by range of streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.records import Pair
from deltamark.domain.history.changes import Position
from deltamark.domain.integrity.verification import MOST_KEPT, Checkpoint, Discrepancy, LogVerification
from deltamark.domain.values import shown
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.mapper import ChangeMapper
from deltamark.infrastructure.store.integrity.chain import Chain, Link, differences_from
from deltamark.infrastructure.store.integrity.duplicate_streams import twin_of
from deltamark.infrastructure.store.integrity.horizon_check import expected_horizons
from deltamark.infrastructure.store.integrity.log_fold import Fault, Folded, FoldedRun, LogFolding

_RESOURCES = """SELECT r.stream, e.name, r.key, r.version, r.position, r.live, r.state, r.computed
    FROM resources r LEFT JOIN entity_types e ON e.id = r.entity_type WHERE r.stream>=?1 AND r.stream<?2"""
_LINKS = """SELECT l.stream, a.name, st.name, s.key, tt.name, t.key, l.version, l.position, l.live
    FROM links l LEFT JOIN associations a ON a.id = l.association
    LEFT JOIN resources s ON s.stream = l.source LEFT JOIN entity_types st ON st.id = s.entity_type
    LEFT JOIN resources t ON t.stream = l.target LEFT JOIN entity_types tt ON tt.id = t.entity_type
    WHERE l.stream>=?1 AND l.stream<?2"""
_RUNS = "SELECT stream, number, version, first, last FROM runs WHERE stream>=?1 AND stream<?2"

_RESOURCE_COLUMNS = ("stream", "entity type", "key", "version", "position", "live", "state", "computed values")
_LINK_COLUMNS = (
    "stream", "association", "source type", "source key", "target type", "target key", "version", "position", "live",
)  # fmt: skip
_RUN_COLUMNS = ("stream", "number", "version", "first position", "last position")
_JSON_COLUMNS = ("state", "computed values")


class Comparison:
    """One reading of the log beside the stored state. After `ranges`, the attributes say what was found.

    :param chained: whether the chain of digests is walked, too.
    :param checkpoint: what the log must begin with.
    """

    def __init__(
        self,
        database: Database,
        mapper: ChangeMapper,
        progress: Progress,
        *,
        chained: bool = True,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._db = database
        self._chained = chained
        self._checkpoint = checkpoint
        self._digest = ""
        self._progress = progress
        self._folding = LogFolding(database, mapper, self._fault)
        self._faults: list[Discrepancy] = []
        self._found: list[Discrepancy] = []
        self.log_faults = self.differences = 0
        self.resources = self.links = self.runs = 0
        self.has_wrong_values = False
        self._wrong: dict[str, list[int]] = {}
        self.next_run = 1
        self._looked = 0

    @property
    def folding(self) -> LogFolding:
        """What was read of the log besides the streams."""
        return self._folding

    def ranges(self) -> Iterator[Folded]:
        """What the log gives, range by range, each compared with what is stored."""
        last = (self._db.one("SELECT next_stream FROM store") or 1) - 1
        walked = self._head() if self._chained else 0
        if self._chained:
            self._walk(walked + last)
        for folded in self._folding.ranges():
            self._compare(folded)
            yield folded
            self._progress(walked + min(folded.after - 1, last), walked + last)
        self._compare_whole()

    def _walk(self, total: int) -> None:
        """Walks the chain of digests, past the checkpoint if there is one."""
        found: Link | None = None
        wanted = self._checkpoint
        for link in Chain(self._db, self._chain_fault).links():
            self._progress(link.position, total)
            self._digest = link.digest.hex()
            if wanted is not None and link.position <= wanted.position:
                found = link
        if wanted is not None:
            for problem in differences_from(wanted, self._db.one("SELECT log FROM store"), found):
                self._chain_fault(wanted.position, problem)

    def _head(self) -> Position:
        return self._db.one("SELECT max(notification_id) FROM stored_events") or 0

    def result(self) -> LogVerification:
        """What was found."""
        return LogVerification(
            head=self._head(),
            digest=self._digest,
            events=self._folding.events,
            resources=self.resources,
            links=self.links,
            runs=self.runs,
            log_faults=self.log_faults,
            differences=self.differences,
            discrepancies=[*self._faults, *self._found][:MOST_KEPT],
        )

    def _chain_fault(self, position: Position, problem: str) -> None:
        self._fault(Fault("the log", problem, position))

    def _fault(self, fault: Fault) -> None:
        self.log_faults += 1
        if len(self._faults) < MOST_KEPT:
            self._faults.append(
                Discrepancy(subject=fault.subject, problem=fault.problem, position=fault.position, in_log=True)
            )

    def _differs(self, subject: str, problem: str, position: Position | None) -> None:
        self.differences += 1
        if len(self._found) < MOST_KEPT:
            self._found.append(Discrepancy(subject=subject, problem=problem, position=position))

    def _compare(self, folded: Folded) -> None:
        between = (folded.first, folded.after)
        self.resources += len(folded.resources)
        self.links += len(folded.links)
        self.runs += len(folded.runs)
        self.next_run = max([self.next_run, *(run.number + 1 for run in folded.runs)])
        self._wrong = {"links": [], "resources": [], "runs": []}
        for sql, given, columns, name, wrong in (
            (_RESOURCES, folded.resources, _RESOURCE_COLUMNS, _resource, self._wrong["resources"]),
            (_LINKS, folded.links, _LINK_COLUMNS, _link, self._wrong["links"]),
            (_RUNS, folded.runs, _RUN_COLUMNS, _run, self._wrong["runs"]),
        ):
            stored = {row[0]: row for row in self._db.all(sql, between)}
            for row in given:
                held = stored.pop(row[0], None)
                if held == row:
                    continue
                problem = "it is not there" if held is None else _problem(columns, held, row)
                if problem:
                    if held is None:
                        self._look_for_twin(row, name(row))
                    self._differs(name(row), problem, _position(row))
                    wrong.append(row[0])
            for stream, held in stored.items():
                self._differs(name(held), "no event speaks of it", _position(held))
                wrong.append(stream)

        self.has_wrong_values = self.has_wrong_values or bool(self._wrong["resources"] or self._wrong["links"])

    def wrong(self) -> dict[str, list[int]]:
        """The streams of the range compared last whose rows are not what the log gives, by table; links first."""
        return self._wrong

    def _look_for_twin(self, row: Any, name: str) -> None:
        """Where a row was lost, a run may have begun a second stream: then the log is not whole any more."""
        if isinstance(row, FoldedRun) or self._looked >= MOST_KEPT:
            return
        self._looked += 1
        twin = twin_of(self._db, row)
        if twin is not None:
            self._fault(Fault(name, f"the log has two streams of it, {row.stream} and {twin}", row.position))

    def _compare_whole(self) -> None:
        self._compare_horizons()
        self._compare_awaited()
        row = self._db.row("SELECT next_stream, next_run, last_at FROM store")
        wanted = (self._folding.last_stream + 1, self.next_run, self._folding.newest_time)
        names = ("the next stream", "the next run", "the newest time")
        for name, held, least in zip(names, row or (None, None, None), wanted, strict=True):
            if not isinstance(held, int) or held < least:
                self._differs("the store", f"{name} is {shown(held)}; the log gives {shown(least)} or more", None)

    def _compare_horizons(self) -> None:
        held = {row[0]: row for row in self._db.all("SELECT subject, connector, position, run, task FROM horizons")}
        for subject, wanted in expected_horizons(held, self._folding).items():
            if held.get(subject) != wanted:
                is_missing = subject not in held
                problem = "it is not there" if is_missing else "no discard on record set it so"
                self._differs(f"the horizon of {subject}", problem, wanted[2] if wanted else held[subject][2])

    def _compare_awaited(self) -> None:
        given, held = (
            self.awaited(),
            set(
                self._db.all(
                    "SELECT n.name, a.first, a.second FROM awaited a LEFT JOIN associations n ON n.id=a.association"
                )
            ),
        )
        for association, first, second in sorted(given - held, key=str):
            self._differs(f"{association} {first} → {second}", "the pair waits, but it is not there", None)
        for association, first, second in sorted(held - given, key=str):
            self._differs(f"{association} {first} → {second}", "no event speaks of the pair that waits", None)

    def awaited(self) -> set[tuple[str, str, str]]:
        """The pairs that wait by the log: association and pair."""
        waiting: dict[str, set[Pair]] = {}
        for _, event in sorted(self._folding.awaiting, key=lambda found: found[0]):
            pairs = waiting.setdefault(event.association, set())
            pairs.difference_update(event.settled)
            pairs.update(event.awaited)
        return {(association, *pair) for association, pairs in waiting.items() for pair in pairs}


def _problem(columns: tuple[str, ...], held: tuple[Any, ...], given: tuple[Any, ...]) -> str:
    """What differs between two rows; nothing where it is only how a number is spelled."""
    return "; ".join(
        f"{column} is {shown(one)}; the log gives {shown(other)}"
        for column, one, other in zip(columns, held, given, strict=True)
        if one != other and not (column in _JSON_COLUMNS and _same_values(one, other))
    )


def _same_values(held: object, given: str) -> bool:
    """Whether two states hold the same values. Truth is no number, though Python takes it for one."""
    try:
        one, other = orjson.loads(held), orjson.loads(given)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return (
        isinstance(one, dict)
        and one == other
        and list(one) == sorted(one)
        and all(isinstance(one[name], bool) is isinstance(other[name], bool) for name in one)
    )


def _position(row: Any) -> Position | None:
    position = row[-1] if len(row) == len(_RUN_COLUMNS) else row[-2] if len(row) == len(_LINK_COLUMNS) else row[4]
    return position if isinstance(position, int) else None


def _resource(row: Any) -> str:
    return f"{row[1]} {row[2]}"


def _link(row: Any) -> str:
    return f"{row[1]} {row[3]} → {row[5]}"


def _run(row: Any) -> str:
    return f"run {row[1]}"
