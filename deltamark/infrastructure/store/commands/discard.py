"""Discards changes: snapshots replace them, a horizon is set, and the discard is recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache

from deltamark.application.ports.records import Discarded, Subjects
from deltamark.domain.errors import store_damaged
from deltamark.domain.resources.link import LinkFact, LinkSnapshot, fold_link
from deltamark.domain.resources.resource import ResourceFact, ResourceSnapshot, fold
from deltamark.domain.runs.run import ChangesDiscarded
from deltamark.infrastructure.store.arrow import np, npt, pa
from deltamark.infrastructure.store.commands.stubs import StubCommands, ranges_of
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.mapper import CHANGE_TOPICS, LINK_SNAPSHOT, RESOURCE_SNAPSHOT
from deltamark.infrastructure.store.queries.retention import RetentionQueries
from deltamark.infrastructure.store.row_seals import SEALED, numeric_seal
from deltamark.infrastructure.store.session import RunCommands

_END = 2**63 - 1
"""Above every position."""


@cache
def _positions() -> pa.Schema:
    return pa.schema([("position", pa.int64())])


_FOLDED = 2_000
"""Streams folded at a time: memory does not grow with the number of discarded changes."""

_KEEP = """ON CONFLICT (stream) DO UPDATE SET version=excluded.version, position=excluded.position,
    topic=excluded.topic, state=excluded.state, seal=excluded.seal"""


class DiscardCommands(StubCommands, RunCommands, RetentionQueries):
    """Discards changes in the transaction of the task that asks for it."""

    def discard(
        self,
        subjects: Subjects,
        build: Callable[[str, int, datetime, Discarded], ChangesDiscarded],
        run: int,
        *,
        up_to: int | None = None,
        at_most: int | None = None,
    ) -> Discarded | None:
        self._collect(subjects, _END if up_to is None else up_to, at_most)
        positions = self._positions_to_discard()
        if not len(positions):
            return None
        first, last, count = int(positions[0]), int(positions[-1]), len(positions)
        self.keep_digests(positions)
        discarded = Discarded(first=first, last=last, count=count, ranges=ranges_of(positions), digest=self._digest())
        self._keep_resources(last)
        self._keep_links(last)
        if up_to is not None:
            self._keep_changed_later(last)
        with self._sealing("horizons"):
            for subject in (*subjects.entity_types, *subjects.associations):
                self._db.execute(
                    """INSERT INTO horizons (subject, connector, position, run, task) VALUES (?1, ?2, ?3, ?4, ?5)
                    ON CONFLICT (subject) DO UPDATE SET connector=excluded.connector, position=excluded.position,
                    run=excluded.run, task=excluded.task WHERE excluded.position > horizons.position""",
                    (subject, subjects.connector, last, run, subjects.task),
                )
        self.append_to_run(lambda stream, version, at: build(stream, version, at, discarded), run)
        if self._db.discard_events(record=self._next - 1) != count:
            raise store_damaged(
                f"the {count} changes to discard differ from the snapshots or from the record of the run",
                effect="Nothing was discarded.",
            )
        return discarded

    def _collect(self, subjects: Subjects, up_to: int, at_most: int | None) -> None:
        """Fills `to_discard` with the oldest changes of the subjects, above their horizons."""
        names = [*subjects.entity_types, *subjects.associations]
        row = self._db.row(
            f"SELECT count(*), min(position) FROM horizons WHERE {self._db.among_texts('subject', 1)}",
            (self._db.array(names),),
        )
        assert row is not None, "an aggregate has a row"
        below = row[1] if row[0] == len(names) and names else 0
        if at_most is not None:
            up_to = self._end_of_oldest(names, below, up_to, at_most)
        self._db.temporary("to_discard", {"position": "number", "stream": "number"})
        for projection, kind, kinds, subject in (
            ("resources", "entity_type", "entity_types", subjects.entity_types),
            ("links", "association", "associations", subjects.associations),
        ):
            self._db.execute(
                f"""INSERT INTO to_discard (position, stream) SELECT e.notification_id, e.originator_id
                FROM stored_events e {self._db.ordered_join} {projection} p ON p.stream = e.originator_id
                WHERE e.notification_id > ?1 AND e.notification_id <= ?4
                AND {self._db.among_texts("e.topic", 2)} AND p.{kind} IN
                    (SELECT id FROM {kinds} WHERE {self._db.among_texts("name", 3)})""",
                (below, self._db.array(CHANGE_TOPICS), self._db.array(list(subject)), up_to),
            )

    def _end_of_oldest(self, names: Sequence[str], below: int, up_to: int, count: int) -> int:
        """Returns the position of the last of the oldest `count` changes in a range.

        The range is above `below` and up to `up_to`.
        """
        position: int | None = self._db.one(
            f"""SELECT e.notification_id FROM {self._of_subjects(1, 2)}
            AND e.notification_id > ?3 AND e.notification_id <= ?4 ORDER BY e.notification_id LIMIT 1 OFFSET ?5""",
            (self._db.array(CHANGE_TOPICS), self._db.array(names), below, up_to, count - 1),
        )
        return up_to if position is None else position

    def _positions_to_discard(self) -> npt.NDArray[np.int64]:
        positions = self._db.table("SELECT position FROM to_discard ORDER BY position", (), _positions())
        return np.asarray(positions.column("position"), np.int64)

    def _keep_resources(self, last: int) -> None:
        """Takes snapshots of the resources that did not change after that position.

        The snapshots hold the current state.
        """
        quoted = self._db.json_string
        computed = f"""CASE WHEN r.computed='{{}}' THEN '' ELSE ',"{payload.COMPUTED_VALUES}":' || r.computed END"""
        state = payload.sql_object(
            {
                payload.AT: "CAST(?1 AS TEXT)",
                payload.ENTITY_TYPE: quoted("e.name"),
                payload.KEY: quoted("r.key"),
                payload.VALUES: f"r.state || {computed}",
                payload.LIVE: "CASE WHEN r.live THEN 'true' ELSE 'false' END",
            }
        )
        self._db.execute(
            f"""INSERT INTO snapshots (stream, version, position, topic, state, seal)
            SELECT r.stream, r.version, r.position, '{RESOURCE_SNAPSHOT}', {self._db.as_bytes(state)},
                {numeric_seal(("r.stream", "r.version", "r.position"))}
            FROM (SELECT DISTINCT stream FROM to_discard) d {self._db.ordered_join} resources r ON r.stream = d.stream
            JOIN entity_types e ON e.id = r.entity_type WHERE r.position <= ?2 {_KEEP}""",
            (str(self._micros), last),
        )

    def _keep_links(self, last: int) -> None:
        """Takes snapshots of the links that did not change after that position."""
        quoted = self._db.json_string
        state = payload.sql_object(
            {
                payload.AT: "CAST(?1 AS TEXT)",
                payload.ASSOCIATION: quoted("a.name"),
                payload.ENTITY_TYPE: quoted("st.name"),
                payload.KEY: quoted("s.key"),
                payload.TARGET_TYPE: quoted("tt.name"),
                payload.TARGET_KEY: quoted("t.key"),
                payload.LIVE: "CASE WHEN l.live THEN 'true' ELSE 'false' END",
            }
        )
        self._db.execute(
            f"""INSERT INTO snapshots (stream, version, position, topic, state, seal)
            SELECT l.stream, l.version, l.position, '{LINK_SNAPSHOT}', {self._db.as_bytes(state)},
                {numeric_seal(("l.stream", "l.version", "l.position"))}
            FROM (SELECT DISTINCT stream FROM to_discard) d {self._db.ordered_join} links l ON l.stream = d.stream
            JOIN associations a ON a.id = l.association
            JOIN resources s ON s.stream = l.source JOIN entity_types st ON st.id = s.entity_type
            JOIN resources t ON t.stream = l.target JOIN entity_types tt ON tt.id = t.entity_type
            WHERE l.position <= ?2 {_KEEP}""",
            (str(self._micros), last),
        )

    def _keep_changed_later(self, last: int) -> None:
        """Takes snapshots of the resources and links that changed after that position.

        The snapshots hold the state at that position.
        """
        kept = {"stream": "number", "version": "number", "position": "number", "topic": "text", "state": "text"}
        for projection, snapshot in (("resources", self._resource_snapshot), ("links", self._link_snapshot)):
            rows = self._db.all(
                f"""SELECT d.stream, max(d.position) FROM to_discard d
                {self._db.ordered_join} {projection} p ON p.stream = d.stream
                WHERE p.position > ?1 GROUP BY d.stream""",
                (last,),
            )
            for begin in range(0, len(rows), _FOLDED):
                positions = dict(rows[begin : begin + _FOLDED])
                events = [
                    self._mapper.to_stored_event(snapshot(facts))
                    for _, facts in self._facts_by_stream(list(positions), last)
                ]
                streams = [int(event.originator_id) for event in events]
                self._db.temporary("folded", kept)
                self._db.insert(
                    "folded",
                    {
                        "stream": streams,
                        "version": [event.originator_version for event in events],
                        "position": [positions[stream] for stream in streams],
                        "topic": pa.array([event.topic for event in events], pa.string()),
                        "state": pa.array([event.state.decode() for event in events], pa.string()),
                    },
                )
                self._db.execute(
                    f"""INSERT INTO snapshots (stream, version, position, topic, state, seal)
                    SELECT stream, version, position, topic, {self._db.as_bytes("state")},
                        {SEALED["snapshots"].seal} FROM folded WHERE TRUE {_KEEP}"""
                )

    def _resource_snapshot(self, facts: Iterator[ResourceFact]) -> ResourceSnapshot:
        resource = fold(facts)
        assert resource is not None, "a stream with a change has a first event"
        return ResourceSnapshot(
            originator_id=resource.originator_id,
            originator_version=resource.version,
            at=self.now(),
            ref=resource.ref,
            values=resource.synchronized,
            computed=resource.computed,
            live=resource.live,
        )

    def _link_snapshot(self, facts: Iterator[LinkFact]) -> LinkSnapshot:
        link = fold_link(facts)
        assert link is not None, "a stream with a change has a first event"
        return LinkSnapshot(
            originator_id=link.originator_id,
            originator_version=link.version,
            at=self.now(),
            ref=link.ref,
            live=link.live,
        )

    def _digest(self) -> str:
        """Returns a digest of the events to discard.

        It is SHA-256 over position, stream, version, topic and payload, in order.
        """
        digest = hashlib.sha256()
        rows = self._db.rows(
            f"""SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state FROM to_discard d
            {self._db.ordered_join} stored_events e ON e.notification_id = d.position ORDER BY d.position"""
        )
        for position, stream, version, topic, state in rows:
            digest.update(b"%d %d %d %b " % (position, stream, version, topic.encode()))
            digest.update(state)
        return digest.hexdigest()
