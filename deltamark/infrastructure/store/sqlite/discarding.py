"""Discarding changes: snapshots take their place, a horizon is set, the discard goes on record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

import orjson

from deltamark.application.ports.store import Discarded, Subjects
from deltamark.domain.run import ChangesDiscarded
from deltamark.infrastructure.store.mapper import CHANGE_TOPICS, LINK_SNAPSHOT, RESOURCE_SNAPSHOT
from deltamark.infrastructure.store.sqlite.writing import RunWriting

_DOOMED = """INSERT INTO temp.doomed
    SELECT e.notification_id, e.originator_id FROM stored_events e CROSS JOIN resources r ON r.stream = e.originator_id
    WHERE e.notification_id > ?1 AND e.topic IN (SELECT value FROM json_each(?2)) AND r.entity_type IN
        (SELECT id FROM entity_types WHERE name IN (SELECT value FROM json_each(?3)))
    UNION ALL
    SELECT e.notification_id, e.originator_id FROM stored_events e CROSS JOIN links l ON l.stream = e.originator_id
    WHERE e.notification_id > ?1 AND e.topic IN (SELECT value FROM json_each(?2)) AND l.association IN
        (SELECT id FROM associations WHERE name IN (SELECT value FROM json_each(?4)))"""

_RESOURCE_SNAPSHOTS = f"""INSERT OR REPLACE INTO snapshots (stream, version, position, topic, state)
    SELECT r.stream, r.version, r.position, '{RESOURCE_SNAPSHOT}', CAST('{{"a":' || ?1 || ',"e":' || json_quote(e.name)
        || ',"k":' || json_quote(r.key) || ',"v":' || r.state || ',"live":'
        || CASE WHEN r.live THEN 'true' ELSE 'false' END || '}}' AS BLOB)
    FROM (SELECT DISTINCT stream FROM temp.doomed) d
    CROSS JOIN resources r ON r.stream = d.stream JOIN entity_types e ON e.id = r.entity_type"""

_LINK_SNAPSHOTS = f"""INSERT OR REPLACE INTO snapshots (stream, version, position, topic, state)
    SELECT l.stream, l.version, l.position, '{LINK_SNAPSHOT}', CAST('{{"a":' || ?1 || ',"n":' || json_quote(a.name)
        || ',"e":' || json_quote(st.name) || ',"k":' || json_quote(s.key)
        || ',"f":' || json_quote(tt.name) || ',"o":' || json_quote(t.key) || ',"live":'
        || CASE WHEN l.live THEN 'true' ELSE 'false' END || '}}' AS BLOB)
    FROM (SELECT DISTINCT stream FROM temp.doomed) d
    CROSS JOIN links l ON l.stream = d.stream JOIN associations a ON a.id = l.association
    JOIN resources s ON s.stream = l.source JOIN entity_types st ON st.id = s.entity_type
    JOIN resources t ON t.stream = l.target JOIN entity_types tt ON tt.id = t.entity_type"""


class Discarding(RunWriting):
    """Retention, in the transaction of the task that asked for it."""

    def discard(
        self, subjects: Subjects, build: Callable[[str, int, datetime, Discarded], ChangesDiscarded], run: int
    ) -> Discarded | None:
        """See `Writing.discard`."""
        self._collect(subjects)
        first, last, count = self._cursor("SELECT min(position), max(position), count(*) FROM temp.doomed").fetchone()
        if not count:
            return None
        discarded = Discarded(first=first, last=last, count=count, digest=self._digest())
        for statement in (_RESOURCE_SNAPSHOTS, _LINK_SNAPSHOTS):
            self._execute(statement, (str(self._micros),))
        self._execute("DELETE FROM stored_events WHERE notification_id IN (SELECT position FROM temp.doomed)")
        self._many(
            """INSERT INTO horizons (subject, connector, position, run, task) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (subject) DO UPDATE SET connector=excluded.connector, position=excluded.position,
            run=excluded.run, task=excluded.task WHERE excluded.position > position""",
            [
                (subject, subjects.connector, last, run, subjects.task)
                for subject in (*subjects.entity_types, *subjects.associations)
            ],
        )
        self.append_to_run(lambda stream, version, at: build(stream, version, at, discarded), run)
        return discarded

    def _collect(self, subjects: Subjects) -> None:
        """Fills `doomed` with the subjects' changes; those below their horizons are gone already."""
        names = orjson.dumps([*subjects.entity_types, *subjects.associations]).decode()
        known, lowest = self._cursor(
            "SELECT count(*), min(position) FROM horizons WHERE subject IN (SELECT value FROM json_each(?))",
            (names,),
        ).fetchone()
        below = lowest if known == len(subjects.entity_types) + len(subjects.associations) else 0
        self._connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS doomed (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL)"
        )
        self._connection.execute("DELETE FROM temp.doomed")
        self._execute(
            _DOOMED,
            (
                below,
                orjson.dumps(CHANGE_TOPICS).decode(),
                orjson.dumps(subjects.entity_types).decode(),
                orjson.dumps(subjects.associations).decode(),
            ),
        )

    def _digest(self) -> str:
        """SHA-256 over position, stream, version, topic and payload of the doomed events, in position order."""
        digest = hashlib.sha256()
        rows = self._rows(
            """SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state
            FROM temp.doomed d CROSS JOIN stored_events e ON e.notification_id = d.position ORDER BY d.position"""
        )
        for position, stream, version, topic, state in rows:
            digest.update(b"%d %d %d %b " % (position, stream, version, topic.encode()))
            digest.update(state)
        return digest.hexdigest()
