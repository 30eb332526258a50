"""Replaying the log: the stored state becomes what the log gives, in one transaction."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import pyarrow as pa

from deltamark.domain.checkpoints import Checkpoint
from deltamark.domain.errors import StoreError
from deltamark.domain.replaying import LogVerification, Replayed
from deltamark.infrastructure.store.awaiting import Awaiting
from deltamark.infrastructure.store.comparing import Comparison, Told
from deltamark.infrastructure.store.database import Same
from deltamark.infrastructure.store.folding import Folded, FoldedLink, FoldedResource, LogFolding
from deltamark.infrastructure.store.horizons import expected_horizons
from deltamark.infrastructure.store.queries import Queries

_DELETED_AT_A_TIME = 10_000


class ReplayQueries(Queries):
    """See `Reading.verify`."""

    def verify(self, told: Told, *, checkpoint: Checkpoint | None = None) -> LogVerification:
        """See `Reading.verify`."""
        comparison = Comparison(self._db, self._mapper, told, checkpoint=checkpoint)
        for _ in comparison.ranges():
            pass
        return comparison.result()


class Replaying(Awaiting, ReplayQueries):
    """See `Writing.replay`.

    Streams, versions and positions of the log do not change, so what refers to them stays true: flags, places, keys.
    """

    def replay(self, told: Told) -> Replayed:
        """See `Writing.replay`."""
        comparison = Comparison(self._db, self._mapper, told, chained=False)
        for _ in comparison.ranges():
            pass
        found = comparison.result()
        refuse_broken(found)
        self._stream = max(self._stream, comparison.folding.last_stream + 1)
        self._run = max(self._run, comparison.next_run)
        self._micros = max(self._micros, comparison.folding.newest_time)
        if not found.differences:
            return Replayed(verified=found)
        recomputes = bool(comparison.wrong_resources or comparison.wrong_links)
        self._delete("links", comparison.wrong_links)
        self._delete("resources", comparison.wrong_resources)
        self._delete("runs", comparison.wrong_runs)
        self._fold_again(comparison)
        self._put_horizons(comparison.folding)
        self._put_all_awaited(comparison.awaited())
        if recomputes:
            # What was derived may have been computed out of wrong values: without places, everything is computed.
            self._db.execute("DELETE FROM consumed")
        numbers = (self._micros, self._stream, self._run)
        self._db.execute("UPDATE store SET last_at=?1, next_stream=?2, next_run=?3", numbers)
        left = self._compared(told)
        if not left.is_sound:
            first = left.discrepancies[0]
            raise StoreError(
                f"a replay does not put {first.subject} right: {first.problem}. Nothing was changed. Restore a backup."
            )
        return Replayed(verified=found, recomputes=recomputes)

    def _compared(self, told: Told) -> LogVerification:
        comparison = Comparison(self._db, self._mapper, told, chained=False)
        for _ in comparison.ranges():
            pass
        return comparison.result()

    def _delete(self, table: str, streams: array[int]) -> None:
        for start in range(0, len(streams), _DELETED_AT_A_TIME):
            given = self._db.array(streams[start : start + _DELETED_AT_A_TIME].tolist())
            self._db.execute(f"DELETE FROM {table} WHERE {self._db.among_numbers('stream', 1)}", (given,))

    def _fold_again(self, comparison: Comparison) -> None:
        """Folds once more, and inserts what is missing now. Resources first: their streams are older than those of
        their links."""
        wrong_resources, wrong_links = set(comparison.wrong_resources), set(comparison.wrong_links)
        wrong_runs = set(comparison.wrong_runs)
        folding = LogFolding(self._db, self._mapper, lambda fault: None)
        for folded in folding.ranges():
            folded.resources = [row for row in folded.resources if row.stream in wrong_resources]
            folded.links = [row for row in folded.links if row.stream in wrong_links]
            folded.runs = [row for row in folded.runs if row.stream in wrong_runs]
            self.put_folded(folded)

    def put_folded(self, folded: Folded) -> None:
        """Inserts the rows of new resources, links and runs; their versions and positions are those of the log."""
        for live in (True, False):
            self._put_resources([row for row in folded.resources if row.live is live], live)
            self._put_links([row for row in folded.links if row.live is live], live)
        for run in folded.runs:
            self._db.execute(
                "INSERT INTO runs (stream, number, version, first, last) VALUES (?1, ?2, ?3, ?4, ?5)", tuple(run)
            )

    def _put_resources(self, rows: Sequence[FoldedResource], live: bool) -> None:
        if not rows:
            return
        stream, kind, key, version, position, _, state, computed = zip(*rows, strict=True)
        numbers = {name: self._named("entity_types", name) for name in dict.fromkeys(kind)}
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

    def _put_links(self, rows: Sequence[FoldedLink], live: bool) -> None:
        if not rows:
            return
        stream, association, *ends, version, position, _ = zip(*rows, strict=True)
        numbers = {name: self._named("associations", name) for name in dict.fromkeys(association)}
        source, target = self._streams_of(ends[0], ends[1]), self._streams_of(ends[2], ends[3])
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
        """The streams of some resources, in their order."""
        found: dict[tuple[str, str], int] = {}
        for kind in dict.fromkeys(kinds):
            wanted = dict.fromkeys(key for name, key in zip(kinds, keys, strict=True) if name == kind)
            sql = f"""SELECT r.key, r.stream FROM {self._db.each_text(1, "w")} {self._db.straight} resources r
                ON r.entity_type=?2 AND {self._db.same_key("r.key", "w.value")}"""
            for key, stream in self._db.all(sql, (self._db.array(list(wanted)), self._type_id(kind))):
                found[kind, key] = stream
        try:
            return [found[name] for name in zip(kinds, keys, strict=True)]
        except KeyError as e:
            kind, key = e.args[0]
            raise StoreError(
                f"the log links {kind} {key}, but never created it. Nothing was changed. The store was altered or is "
                "damaged. Restore a backup."
            ) from None

    def _put_horizons(self, folding: LogFolding) -> None:
        columns = "SELECT subject, connector, position, run, task FROM horizons"
        held = {row[0]: row for row in self._db.all(columns)}
        for subject, row in expected_horizons(held, folding).items():
            if row == held.get(subject):
                continue
            if subject in held:
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
                (self._named("associations", association), first, second),
            )


def refuse_broken(found: LogVerification) -> None:
    """Refuses a log that is not whole: what it gives is not what was.

    :raises StoreError: as said.
    """
    if found.log_faults:
        first = found.discrepancies[0]
        where = f" (position {first.position})" if first.position else ""
        raise StoreError(
            f"the log is not whole: {first.subject}{where}: {first.problem}. Nothing was changed. `deltamark verify` "
            "shows all that is wrong. Restore a backup."
        )
