"""Discarding changes: snapshots take their place, a horizon is set, the discard goes on record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

from deltamark.application.ports.store import Discarded, Subjects
from deltamark.domain.errors import StoreError
from deltamark.domain.run import ChangesDiscarded
from deltamark.infrastructure.store.mapper import CHANGE_TOPICS, LINK_SNAPSHOT, RESOURCE_SNAPSHOT
from deltamark.infrastructure.store.writing import RunWriting

_KEEP = """ON CONFLICT (stream) DO UPDATE SET version=excluded.version, position=excluded.position,
    topic=excluded.topic, state=excluded.state"""


class Discarding(RunWriting):
    """Retention, in the transaction of the task that asked for it."""

    def discard(
        self, subjects: Subjects, build: Callable[[str, int, datetime, Discarded], ChangesDiscarded], run: int
    ) -> Discarded | None:
        """See `Writing.discard`."""
        self._collect(subjects)
        row = self._db.row("SELECT min(position), max(position), count(*) FROM doomed")
        assert row is not None, "an aggregate has a row"
        first, last, count = row
        if not count:
            return None
        discarded = Discarded(first=first, last=last, count=count, digest=self._digest())
        self._keep_resources()
        self._keep_links()
        for subject in (*subjects.entity_types, *subjects.associations):
            self._db.execute(
                """INSERT INTO horizons (subject, connector, position, run, task) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT (subject) DO UPDATE SET connector=excluded.connector, position=excluded.position,
                run=excluded.run, task=excluded.task WHERE excluded.position > horizons.position""",
                (subject, subjects.connector, last, run, subjects.task),
            )
        self.append_to_run(lambda stream, version, at: build(stream, version, at, discarded), run)
        if self._db.discard_events(record=self._next - 1) != count:
            raise StoreError(
                f"the {count} changes to discard are not those that snapshots and the record of the run stand for. "
                "Nothing was discarded. The store was altered or is damaged: restore a backup."
            )
        return discarded

    def _collect(self, subjects: Subjects) -> None:
        """Fills `doomed` with the subjects' changes; those below their horizons are gone already."""
        names = [*subjects.entity_types, *subjects.associations]
        row = self._db.row(
            f"SELECT count(*), min(position) FROM horizons WHERE {self._db.among_texts('subject', 1)}",
            (self._db.array(names),),
        )
        assert row is not None, "an aggregate has a row"
        below = row[1] if row[0] == len(names) and names else 0
        self._db.temporary("doomed", {"position": "number", "stream": "number"})
        for projection, kind, kinds, subject in (
            ("resources", "entity_type", "entity_types", subjects.entity_types),
            ("links", "association", "associations", subjects.associations),
        ):
            self._db.execute(
                f"""INSERT INTO doomed (position, stream) SELECT e.notification_id, e.originator_id
                FROM stored_events e {self._db.straight} {projection} p ON p.stream = e.originator_id
                WHERE e.notification_id > ?1 AND {self._db.among_texts("e.topic", 2)} AND p.{kind} IN
                    (SELECT id FROM {kinds} WHERE {self._db.among_texts("name", 3)})""",
                (below, self._db.array(CHANGE_TOPICS), self._db.array(list(subject))),
            )

    def _keep_resources(self) -> None:
        quoted = self._db.json_string
        state = f"""'{{"a":' || CAST(?1 AS TEXT) || ',"e":' || {quoted("e.name")} || ',"k":' || {quoted("r.key")}
            || ',"v":' || r.state || CASE WHEN r.computed='{{}}' THEN '' ELSE ',"c":' || r.computed END
            || ',"live":' || CASE WHEN r.live THEN 'true' ELSE 'false' END || '}}'"""
        self._db.execute(
            f"""INSERT INTO snapshots (stream, version, position, topic, state)
            SELECT r.stream, r.version, r.position, '{RESOURCE_SNAPSHOT}', {self._db.as_bytes(state)}
            FROM (SELECT DISTINCT stream FROM doomed) d {self._db.straight} resources r ON r.stream = d.stream
            JOIN entity_types e ON e.id = r.entity_type WHERE TRUE {_KEEP}""",
            (str(self._micros),),
        )

    def _keep_links(self) -> None:
        quoted = self._db.json_string
        state = f"""'{{"a":' || CAST(?1 AS TEXT) || ',"n":' || {quoted("a.name")}
            || ',"e":' || {quoted("st.name")} || ',"k":' || {quoted("s.key")}
            || ',"f":' || {quoted("tt.name")} || ',"o":' || {quoted("t.key")}
            || ',"live":' || CASE WHEN l.live THEN 'true' ELSE 'false' END || '}}'"""
        self._db.execute(
            f"""INSERT INTO snapshots (stream, version, position, topic, state)
            SELECT l.stream, l.version, l.position, '{LINK_SNAPSHOT}', {self._db.as_bytes(state)}
            FROM (SELECT DISTINCT stream FROM doomed) d {self._db.straight} links l ON l.stream = d.stream
            JOIN associations a ON a.id = l.association
            JOIN resources s ON s.stream = l.source JOIN entity_types st ON st.id = s.entity_type
            JOIN resources t ON t.stream = l.target JOIN entity_types tt ON tt.id = t.entity_type
            WHERE TRUE {_KEEP}""",
            (str(self._micros),),
        )

    def _digest(self) -> str:
        """SHA-256 over position, stream, version, topic and payload of the doomed events, in position order."""
        digest = hashlib.sha256()
        rows = self._db.rows(
            f"""SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state FROM doomed d
            {self._db.straight} stored_events e ON e.notification_id = d.position ORDER BY d.position"""
        )
        for position, stream, version, topic, state in rows:
            digest.update(b"%d %d %d %b " % (position, stream, version, topic.encode()))
            digest.update(state)
        return digest.hexdigest()
