"""Rebuilds the stored state from the log, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from deltamark.application.ports.progress import Progress
from deltamark.domain.errors import store_damaged
from deltamark.domain.integrity.verification import Checkpoint, LogVerification, Replayed
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.commands.waiting_links import WaitingLinkCommands
from deltamark.infrastructure.store.database import Same
from deltamark.infrastructure.store.integrity.log_fold import Folded, FoldedLink, FoldedResource, LogFold
from deltamark.infrastructure.store.integrity.ownerless_rows import remove_ownerless_rows
from deltamark.infrastructure.store.integrity.state_check import Comparison, expected_horizons
from deltamark.infrastructure.store.integrity.table_check import LOG_END
from deltamark.infrastructure.store.integrity.table_repair import DERIVED, repair_tables
from deltamark.infrastructure.store.queries.repetitions import CORRECTED
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import SEALED, count_rows, seal_rows


class VerifyQueries(Queries):
    """Verifies the log."""

    def verify(self, progress: Progress, *, checkpoint: Checkpoint | None = None) -> LogVerification:
        comparison = Comparison(self._db, self._mapper, progress, checkpoint=checkpoint)
        comparison.check()
        return comparison.result()


class RebuildCommands(WaitingLinkCommands, VerifyQueries):
    """Rebuilds the stored state from the log.

    Streams, versions and positions do not change, so flags, places and keys, which refer to them, stay valid.
    """

    _last_stored: Mapping[str, int] = MappingProxyType({"resources": 0, "links": 0, "runs": 0})

    def replay(self, progress: Progress) -> Replayed:
        comparison = Comparison(self._db, self._mapper, progress, is_chained=False)
        comparison.check_database()
        refuse_damaged(comparison.result())
        if comparison.is_index_damaged:
            self._db.rebuild_indexes()
        self._is_rebuilding = True
        self._last_stored = {table: self._last_of(table) for table in ("resources", "links", "runs")}
        for folded in comparison.ranges():
            if not comparison.log_faults:
                self._correct(folded, comparison)
        verified = comparison.result()
        refuse_broken(verified)
        faulty = comparison.faulty_tables
        recomputes = comparison.has_wrong_values or not faulty.isdisjoint(DERIVED)
        self._continue_after(comparison)
        if not verified.differences:
            return Replayed(verified=verified)
        self._db.execute("DELETE FROM applied_rows")
        remove_ownerless_rows(self._delete_where, derived_only=False)
        self._put_all_awaited(comparison.awaited())
        repair_tables(self._db, faulty)
        remove_ownerless_rows(self._delete_where, derived_only=False)  # of what was just removed
        self._put_horizons(comparison.log_fold)
        if recomputes:
            # Derived values may have been computed from wrong values. Without places, everything is computed again.
            self._db.execute("DELETE FROM consumed")
        if not faulty.isdisjoint(DERIVED):
            self._db.execute("UPDATE store SET forgotten_flag=?1", (self.newest_flag(),))
        if LOG_END in faulty:
            self._db.set_log_end(self._db.one("SELECT max(position) FROM moments") or 0)
        if "table_seals" in faulty:
            self._db.execute("DELETE FROM table_seals")
        self._note_correction(self.head())
        seal_rows(self._db, SEALED)
        self._sums.forget()
        self._write_store()  # at once, so that this transaction reads what it has put right
        return Replayed(verified=verified, recomputes=recomputes)

    def _continue_after(self, comparison: Comparison) -> None:
        """Sets the counters by the log; those of the store hold too, unless they were altered."""
        stream, run = comparison.log_fold.last_stream + 1, comparison.next_run
        newest_time = comparison.log_fold.newest_time
        if "store" in comparison.faulty_tables:
            self._stream, self._run, self._micros = stream, run, max(self._began_at, newest_time + 1)
            self._flag = 1 + (self._db.one("SELECT max(number) FROM flags") or 0)
        else:
            self._stream, self._run = max(self._stream, stream), max(self._run, run)
            self._micros = max(self._micros, newest_time)

    def _note_correction(self, position: int) -> None:
        """Keeps up to where the state was corrected: before that, it may not have been what extracts say."""
        self._db.execute(
            """INSERT INTO places (consumer, position, digest) VALUES (?1, ?2, '')
            ON CONFLICT (consumer) DO UPDATE SET position=excluded.position""",
            (CORRECTED, position),
        )

    def _delete_where(self, table: str, condition: str) -> None:
        self._db.execute(f"DELETE FROM {table} WHERE {condition}")

    def remove_ownerless_rows(self) -> None:
        """Also counts the rows of the tables anew: some were not written by Deltamark, and others may be missing."""
        remove_ownerless_rows(self._delete_where, derived_only=True)
        count_rows(self._db, ("correlation_keys", "classifications", "flags", "consumed"))

    def _correct(self, folded: Folded, comparison: Comparison) -> None:
        """Writes the rows of one range that differ from the log.

        Differences are not kept in memory.

        A row of a later range may occupy the key of a row of this range. It is deleted, and is written again as missing
        when its range comes. Ends of links are no such rows: their streams are older than that of the link.
        """
        wrong = comparison.wrong()
        for table, streams in wrong.items():
            self._delete(table, streams)
        resources, links, runs = (set(wrong[table]) for table in ("resources", "links", "runs"))
        folded.resources = [row for row in folded.resources if row.stream in resources]
        folded.links = [row for row in folded.links if row.stream in links]
        folded.runs = [row for row in folded.runs if row.stream in runs]
        if folded.resources:
            self._make_room_for_resources(folded)
        if folded.runs:
            self._make_room_for_runs(folded)
        self.put_folded(folded)

    def _make_room_for_resources(self, folded: Folded) -> None:
        if self._last_stored["resources"] < folded.after:
            return
        for kind in dict.fromkeys(row.entity_type for row in folded.resources):
            keys = self._db.array([row.key for row in folded.resources if row.entity_type == kind])
            sql = f"""DELETE FROM resources WHERE stream IN (SELECT r.stream FROM {self._db.each_text(1, "w")}
                {self._db.lookup("resources", "r", self._by_key)} WHERE r.stream>=?3)"""
            self._db.execute(sql, (keys, self._type_id(kind), folded.after))

    def _make_room_for_links(self, association: int, ends: Sequence[tuple[int, int]], after: int) -> None:
        if self._last_stored["links"] >= after:
            sql = f"""DELETE FROM links WHERE stream IN (SELECT l.stream FROM {self._db.each_pair(1, "w")}
                {self._db.ordered_join} links l ON l.association=?2 AND l.source=w.first AND l.target=w.second
                WHERE l.stream>=?3)"""
            self._db.execute(sql, (self._db.array(ends), association, after))

    def _make_room_for_runs(self, folded: Folded) -> None:
        if self._last_stored["runs"] < folded.after:
            return
        numbers = self._db.array([row.number for row in folded.runs])
        sql = f"DELETE FROM runs WHERE stream>=?1 AND {self._db.among_numbers('number', 2)}"
        self._db.execute(sql, (folded.after, numbers))

    def _last_of(self, table: str) -> int:
        """Returns the highest stream of a table.

        It is asked only once: passing over deleted rows is slow.
        """
        return self._db.one(f"SELECT max(stream) FROM {table}") or 0

    def _delete(self, table: str, streams: Sequence[int]) -> None:
        if streams and min(streams) <= self._last_stored[table]:
            sql = f"DELETE FROM {table} WHERE {self._db.among_numbers('stream', 1)}"
            self._db.execute(sql, (self._db.array(streams),))

    def put_folded(self, folded: Folded) -> None:
        """Inserts rows of resources, links and runs, with the versions and positions of the log."""
        for live in (True, False):
            self._put_resources([row for row in folded.resources if row.live is live], live)
            self._put_links([row for row in folded.links if row.live is live], live, folded.after)
        for run in folded.runs:
            self._db.execute(
                "INSERT INTO runs (stream, number, version, first, last) VALUES (?1, ?2, ?3, ?4, ?5)", tuple(run)
            )

    def _put_resources(self, rows: Sequence[FoldedResource], live: bool) -> None:
        if not rows:
            return
        stream, kind, key, version, position, _, state, computed = zip(*rows, strict=True)
        numbers = {name: self._name_id("entity_types", name) for name in dict.fromkeys(kind)}
        self._db.insert(
            "resources",
            {
                "stream": stream,
                "entity_type": [numbers[name] for name in kind],
                "key": pa.array(key, pa.string()),
                "version": version,
                "position": position,
                "live": Same(live),
                "state": pa.array(state, pa.string()),
                "computed": pa.array(computed, pa.string()),
            },
        )

    def _put_links(self, rows: Sequence[FoldedLink], live: bool, after: int) -> None:
        if not rows:
            return
        stream, association, *ends, version, position, _ = zip(*rows, strict=True)
        numbers = {name: self._name_id("associations", name) for name in dict.fromkeys(association)}
        source, target = self._streams_of(ends[0], ends[1]), self._streams_of(ends[2], ends[3])
        for name, number in numbers.items():
            rows_of_all = zip(association, source, target, strict=True)
            pairs = [(source, target) for other, source, target in rows_of_all if other == name]
            self._make_room_for_links(number, pairs, after)
        self._db.insert(
            "links",
            {
                "stream": stream,
                "association": [numbers[name] for name in association],
                "source": source,
                "target": target,
                "version": version,
                "position": position,
                "live": Same(live),
            },
        )

    def _streams_of(self, kinds: Sequence[str], keys: Sequence[str]) -> list[int]:
        """Returns the streams of some resources, in their order."""
        streams: dict[tuple[str, str], int] = {}
        for kind in dict.fromkeys(kinds):
            keys_of_kind = dict.fromkeys(key for name, key in zip(kinds, keys, strict=True) if name == kind)
            sql = f"""SELECT r.key, r.stream FROM {self._db.each_text(1, "w")}
                {self._db.lookup("resources", "r", self._by_key)}"""
            for key, stream in self._db.all(sql, (self._db.array(list(keys_of_kind)), self._type_id(kind))):
                streams[kind, key] = stream
        try:
            return [streams[name] for name in zip(kinds, keys, strict=True)]
        except KeyError as e:
            kind, key = e.args[0]
            raise store_damaged(
                f"the log links {kind} {key}, but never created it", effect="Nothing was changed."
            ) from None

    def _put_horizons(self, log_fold: LogFold) -> None:
        columns = "SELECT subject, connector, position, run, task FROM horizons"
        stored = {row[0]: row for row in self._db.all(columns)}
        for subject, row in expected_horizons(stored, log_fold).items():
            if row == stored.get(subject):
                continue
            if subject in stored:
                self._db.execute("DELETE FROM horizons WHERE subject=?1", (subject,))
            if row is not None:
                self._db.execute(
                    "INSERT INTO horizons (subject, connector, position, run, task) VALUES (?1, ?2, ?3, ?4, ?5)", row
                )

    def _put_all_awaited(self, pairs: Iterable[tuple[str, str, str]]) -> None:
        self._db.execute("DELETE FROM awaited")
        for association, first, second in sorted(pairs):
            self._db.execute(
                "INSERT INTO awaited (association, first, second) VALUES (?1, ?2, ?3)",
                (self._name_id("associations", association), first, second),
            )


def refuse_damaged(verified: LogVerification) -> None:
    """Refuses a database with faults that its log cannot repair.

    :raises StoreError: if it has any.
    """
    fault = next((fault for fault in verified.discrepancies if fault.in_database and fault.needs_backup), None)
    if fault is not None:
        raise store_damaged(
            f"{fault.subject}: {fault.problem}",
            effect="Nothing was changed. `deltamark verify` shows all faults.",
        )


def refuse_broken(verified: LogVerification) -> None:
    """Refuses a log with faults, because its state would be wrong.

    :raises StoreError: if the log has faults.
    """
    if verified.log_faults:
        first = next(fault for fault in verified.discrepancies if fault.in_log)
        where = f" (position {first.position})" if first.position else ""
        raise store_damaged(
            f"the log is not whole: {first.subject}{where}: {first.problem}",
            effect="Nothing was changed. `deltamark verify` shows all faults.",
        )
