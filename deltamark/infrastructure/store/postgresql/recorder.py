"""The recorder of the event-sourcing library, for a log that followers see without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import Notification, ProgrammingError, StoredEvent
from eventsourcing.postgres import PostgresProcessRecorder
from psycopg.sql import SQL, Composed

from deltamark.infrastructure.store.database import UNSEALED
from deltamark.infrastructure.store.postgresql.connection import ChangeDatastore
from deltamark.infrastructure.store.postgresql.errors import WRITERS_TABLE

EVENTS_TABLE = "stored_events"

# Rows are only added, until retention deletes many at once. A share of the table, not a million rows, makes a vacuum
# worthwhile. With the settings of the library, a table of less than a hundred million rows is never vacuumed.
_AUTOVACUUM = """WITH (autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_threshold = 10000, autovacuum_analyze_scale_factor = 0.02)"""

CREATE_EVENTS = f"""CREATE TABLE IF NOT EXISTS {EVENTS_TABLE} (
    notification_id BIGINT PRIMARY KEY,
    originator_id BIGINT NOT NULL,
    originator_version BIGINT NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    state BYTEA NOT NULL,
    UNIQUE (originator_id, originator_version)
) {_AUTOVACUUM}"""

# The newest position assigned. The events do not show it, because the newest may be discarded, and a sequence keeps
# counting when a transaction is undone.
CREATE_LOG_END = """CREATE TABLE IF NOT EXISTS log_end (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    position BIGINT NOT NULL
)"""

LOCK_LOG = f"LOCK TABLE {WRITERS_TABLE} IN EXCLUSIVE MODE"
"""Lets one writer at a time assign positions, until its commit: a follower that saw a position has seen all below it.

Every writer takes its positions from this table. Locking a table needs the right to change it, and the role that writes
may not change the log itself.
"""


class ChangeRecorder(PostgresProcessRecorder):
    """Reads the log. Streams are stored as numbers, and are texts outside."""

    def __init__(self, datastore: ChangeDatastore) -> None:
        super().__init__(datastore, events_table_name=EVENTS_TABLE)
        self._connections = datastore.connections
        self.channel_name = f"deltamark_{datastore.schema}"
        tracking = [s for s in self.sql_create_statements if self.tracking_table_name in s.as_string()]
        self.sql_create_statements = [
            *(Composed([SQL(text)]) for text in (CREATE_EVENTS, CREATE_LOG_END)),
            Composed([SQL("INSERT INTO log_end (one, position) VALUES (1, 0) ON CONFLICT DO NOTHING")]),
            *tracking,
        ]

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Refuses: only the transactions of a store write events, because they also write the seals.

        :raises ProgrammingError: always.
        """
        raise ProgrammingError(UNSEALED)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Returns the events of one stream."""
        events = super().select_events(stream_number(originator_id), gt=gt, lte=lte, desc=desc, limit=limit)
        return [StoredEvent(str(e.originator_id), e.originator_version, e.topic, e.state) for e in events]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Returns a range of the log in position order."""
        rows = super().select_notifications(start, limit, stop, list(topics), inclusive_of_start=inclusive_of_start)
        return [
            Notification(
                id=n.id,
                originator_id=str(n.originator_id),
                originator_version=n.originator_version,
                topic=n.topic,
                state=n.state,
            )
            for n in rows
        ]


def stream_number(originator_id: UUID | str) -> int:
    """Returns a stream as it is stored.

    :raises ProgrammingError: if it is not a whole number.
    """
    try:
        return int(str(originator_id))
    except ValueError:
        raise ProgrammingError(f"{originator_id!r} is not a stream: streams are numbers, written as text") from None
