"""Fills a new store from another store of any kind.

It gets the log as it is, and the state that it gives. See ADR 0028.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.queries import Reading
from deltamark.domain.errors import UsageError, store_damaged
from deltamark.domain.integrity.verification import LogVerification, Replayed
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.database import Column, Database
from deltamark.infrastructure.store.integrity.rebuild import RebuildCommands, refuse_broken, refuse_damaged
from deltamark.infrastructure.store.integrity.state_check import Comparison
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import SEALED, seal_rows

_ROWS = 10_000

_INT, _TEXT, _BYTES = "int64", "string", "binary"
"""Types of columns, by their names in pyarrow."""

_MUST_BE_EMPTY = (
    "stored_events", "snapshots", "resources", "links", "runs", "moments", "horizons", "places", "flags", "leases",
    "pending", "blocked", "schedules", "consumers", "dead_letters", "channels", "notifications",
    "verifications", "rules", "dependencies", "awaited", "stubs", "configurations",
)  # fmt: skip

EVENTS = {
    "notification_id": _INT, "originator_id": _INT, "originator_version": _INT, "topic": _TEXT, "state": _BYTES,
    "seal": _BYTES,
}  # fmt: skip
MOMENTS = {"position": _INT, "at": _INT, "segments": _BYTES, "digest": _BYTES}
STUBS = {"position": _INT, "stream": _INT, "version": _INT, "topic": _TEXT, "leaf": _BYTES}
CONFIGURATIONS = {"digest": _TEXT, "xml": _BYTES}
SNAPSHOTS = {"stream": _INT, "version": _INT, "position": _INT, "topic": _TEXT, "state": _BYTES}
PENDING = {"run": _INT, "task": _INT, "part": _INT, "head": _TEXT, "digest": _TEXT, "content": _BYTES}


class StoreCopy(RebuildCommands):
    """Fills a new store from another one.

    Streams, versions, positions and numbers of flags stay the same, so everything that refers to them is copied
    unchanged. Numbers that are only used inside a store (of names, rules, dependencies) are assigned anew.
    """

    def fill_from(self, source: Reading, progress: Progress) -> Replayed:
        if not isinstance(source, Queries):
            raise TypeError(f"stores of all kinds are read by the same queries, not by {type(source).__name__}.")
        self._check_empty()
        self._is_rebuilding = True
        db = source._db
        self._copy(db, "stored_events", EVENTS, "notification_id")
        self._copy(db, "snapshots", SNAPSHOTS, "stream")
        self._copy(db, "moments", MOMENTS, "position")
        self._copy(db, "stubs", STUBS, "position")
        self._copy(db, "configurations", CONFIGURATIONS, "digest")
        comparison = Comparison(db, source._mapper, progress)
        comparison.check_database()
        refuse_any_damage(comparison.result())
        for folded in comparison.ranges():
            if not comparison.log_faults:
                self.put_folded(folded)
        verified = comparison.result()
        refuse_broken(verified)
        refuse_faulty_tables(comparison)
        self._copy_small(db, "horizons", "subject, connector, position, run, task")
        self._put_horizons(comparison.log_fold)
        self._put_all_awaited(comparison.awaited())
        recomputes = comparison.has_wrong_values
        self._copy_derived(db, with_places=not recomputes)
        self._copy(db, "pending", PENDING, "run, task, part")
        self._copy_small(db, "blocked", "connector, run, task, since, needs_complete")
        self._copy_small(db, "schedules", "job, timing, handled_to, run")
        self._copy_small(db, "consumers", "name, position, began_at, moved_at, moves")
        self._copy_small(
            db,
            "dead_letters",
            "sink, position, part, state, refused_at, tries, problem, decided_at, decided_by, reason",
        )
        self._copy_small(db, "channels", "name, position, since")
        self._copy_small(db, "notifications", "channel, id, delivery, tries, noted_at, tried_at, problem, document")
        self._copy_small(db, "verifications", "number, part, at, position, faults, sample")
        self._continue_like(db, comparison)
        if verified.differences:
            self._note_correction(self.head())
        seal_rows(self._db, SEALED)
        self._sums.forget()
        return Replayed(verified=verified, recomputes=recomputes)

    def _check_empty(self) -> None:
        for table in _MUST_BE_EMPTY:
            if self._db.one(f"SELECT 1 FROM {table} LIMIT 1") is not None:
                raise UsageError(
                    "the store to fill is not empty. Nothing was changed. Name one that is new or does not exist yet."
                )

    def _copy(
        self,
        db: Database,
        table: str,
        columns: Mapping[str, str],
        order: str,
        condition: str = "TRUE",
        **mapped: Mapping[int, int],
    ) -> None:
        """Copies a table, portion by portion, or the rows of it under a condition.

        :param columns: each with its type.
        :param mapped: columns whose numbers differ in this store: number there -> number here.
        """
        names = ", ".join(columns)
        for rows in _portions(db.rows(f"SELECT {names} FROM {table} WHERE {condition} ORDER BY {order}")):
            values = zip(*rows, strict=True)
            copied: dict[str, Column] = {}
            for (name, kind), column in zip(columns.items(), values, strict=True):
                if name in mapped:
                    copied[name] = [mapped[name][number] for number in column]
                else:
                    copied[name] = column if kind == _INT else pa.array(column, kind)
            self._db.insert(table, copied)

    def _copy_small(self, db: Database, table: str, columns: str) -> None:
        """Copies a table with few rows, row by row, because numbers may be null."""
        count = columns.count(",") + 1
        marks = ", ".join(f"?{n}" for n in range(1, count + 1))
        for row in db.all(f"SELECT {columns} FROM {table}"):
            if table == "blocked":
                row = (*row[:-1], bool(row[-1]))
            self._db.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)

    def _copy_derived(self, db: Database, *, with_places: bool) -> None:
        """Copies derived values, and how far they were computed."""
        rules = self._copy_numbered(db, "rules", "name, side, entity_type, digest")
        dependencies = self._copy_numbered(db, "dependencies", "entity_type, hops, path, property, leads_to, since")
        flags = dict.fromkeys(("number", "position", "resource", "dependency", "newest"), _INT)
        self._copy(db, "flags", flags, "number", dependency=dependencies)
        keys = {"rule": _INT, "resource": _INT, "value": _TEXT}
        self._copy(db, "correlation_keys", keys, "rule, resource", rule=rules)
        self._copy(db, "classifications", {"rule": _INT, "resource": _INT}, "rule, resource", rule=rules)
        self._copy_small(db, "places", "consumer, position, digest")
        if with_places:
            columns = {"consumer": _TEXT, "rule": _INT, "flag": _INT, "position": _INT, "digest": _TEXT}
            self._copy(db, "consumed", columns, "consumer, rule", rule=rules)

    def _copy_numbered(self, db: Database, table: str, columns: str) -> dict[int, int]:
        """Copies a table that assigns numbers, and returns the number here for each number there."""
        count = columns.count(",") + 1
        marks = ", ".join(f"?{n}" for n in range(1, count + 1))
        sql = f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING id"
        rows = db.all(f"SELECT id, {columns} FROM {table} ORDER BY id")
        return {number: int(self._db.one(sql, row)) for number, *row in rows}

    def _continue_like(self, db: Database, comparison: Comparison) -> None:
        """Continues streams, runs, flags, positions and time from those of the source."""
        row = db.row("SELECT last_at, next_stream, next_run, next_flag, forgotten_flag FROM store")
        assert row is not None, "every store has this row"
        last_at, stream, run, self._flag, forgotten = row
        self._micros = max(last_at, comparison.log_fold.newest_time)
        self._stream = max(stream, comparison.log_fold.last_stream + 1)
        self._run = max(run, comparison.next_run)
        log = db.one("SELECT log FROM store")
        self._db.execute("UPDATE store SET forgotten_flag=?1, log=?2", (forgotten, log))
        newest = self._db.one("SELECT max(position) FROM moments")
        if newest:
            self._db.save_newest_position(newest)


def refuse_any_damage(verified: LogVerification) -> None:
    """Refuses to copy from a damaged database: what its indexes leave out would be missing in the copy.

    :raises StoreError: if it has any fault.
    """
    refuse_damaged(verified)
    if verified.database_faults:
        fault = verified.discrepancies[0]
        raise store_damaged(
            f"{fault.subject}: {fault.problem}",
            effect="Nothing was copied.",
            alternative="replay the log of the store first, which builds its indexes again",
        )


def refuse_faulty_tables(comparison: Comparison) -> None:
    """Refuses to copy from tables with altered, lost or added rows: they would look right in the copy.

    :raises StoreError: if there is any.
    """
    if comparison.faulty_tables:
        raise store_damaged(
            f"rows of the tables {', '.join(sorted(comparison.faulty_tables))} are not what was written",
            effect="Nothing was copied.",
            alternative="replay the log of the store first, which puts them right: `deltamark replay`",
        )


def _portions(rows: Iterator[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    while portion := list(islice(rows, _ROWS)):
        yield portion
