"""Recorders that insert events by themselves, as the library's cases for recorders expect.

A store refuses that: events that no transaction writes have no seals. These recorders find out what the rest of a
recorder does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor

from deltamark.infrastructure.store.database import position_after
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.recorder import LOCK_LOG, stream_number
from deltamark.infrastructure.store.postgresql.recorder import ChangeRecorder as PostgreSQLRecorder
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from deltamark.infrastructure.store.sqlite.recorder import EVENTS_TABLE, stream_key
from deltamark.infrastructure.store.sqlite.recorder import ChangeRecorder as SQLiteRecorder

INSERT_EVENT = f"""INSERT INTO {EVENTS_TABLE}
    (notification_id, originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?, ?)"""


class InsertingSQLiteRecorder(SQLiteRecorder):
    """Inserts in one transaction, under the positions that a store would assign."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        with self.datastore.transaction(commit=True) as c:
            return self._insert_events(c, stored_events, **kwargs)

    def _insert_events(
        self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        first = position_after(SQLiteDatabase(c.sqlite_cursor.connection).newest_position())
        c.executemany(
            INSERT_EVENT,
            [
                (first + n, stream_key(e.originator_id), e.originator_version, e.topic, e.state)
                for n, e in enumerate(stored_events)
            ],
        )
        tracking = kwargs.get("tracking")
        if tracking is not None:
            self._insert_tracking(c, tracking)
        return list(range(first, first + len(stored_events)))


class InsertingPostgreSQLRecorder(PostgreSQLRecorder):
    """Inserts by COPY in one transaction, under the positions that a store would assign."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        with self.datastore.get_connection() as connection, connection.transaction():
            tracking = kwargs.get("tracking")
            if tracking is not None:
                self._insert_tracking(connection.cursor(), tracking)
            if not stored_events:
                return None if tracking is None else []
            connection.execute(LOCK_LOG)
            db = PostgreSQLDatabase(connection)
            first = position_after(db.newest_position())
            positions = range(first, first + len(stored_events))
            db.insert(
                EVENTS_TABLE,
                {
                    "notification_id": positions,
                    "originator_id": [stream_number(event.originator_id) for event in stored_events],
                    "originator_version": [event.originator_version for event in stored_events],
                    "topic": pa.array([event.topic for event in stored_events], type=pa.string()),
                    "state": pa.array([event.state for event in stored_events], type=pa.binary()),
                },
            )
            db.save_newest_position(positions[-1])
            return list(positions)
