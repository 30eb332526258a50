"""The log: the event-sourcing library's recorder with positions that followers see without gaps."""

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

# Rows are only added, until retention deletes many at once: a share of the table, not a million rows, is what makes
# them worth collecting. The library's own settings never vacuum a table of less than a hundred million rows.
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

# The newest position given. It is not taken from the events, of which the newest may be discarded, nor from a
# sequence, which counts on when a transaction is undone.
CREATE_LOG_END = """CREATE TABLE IF NOT EXISTS log_end (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    position BIGINT NOT NULL
)"""

LOCK_LOG = f"LOCK TABLE {WRITERS_TABLE} IN EXCLUSIVE MODE"
"""One writer at a time, from its first position to its commit: a follower that saw a position has seen all below.

Every writer takes its positions from this table. Only who may change a table may lock it, and the role that writes may
not change what stands in the log.
"""


class ChangeRecorder(PostgresProcessRecorder):
    """Inserts by COPY in a plain transaction, never by the library's pipeline, which hangs on large batches.

    Streams are our own numbers, written as text outside.
    """

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
        """One stream's events, as the library asks for them."""
        found = super().select_events(stream_number(originator_id), gt=gt, lte=lte, desc=desc, limit=limit)
        return [StoredEvent(str(e.originator_id), e.originator_version, e.topic, e.state) for e in found]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """A range of the log in position order."""
        found = super().select_notifications(start, limit, stop, list(topics), inclusive_of_start=inclusive_of_start)
        return [
            Notification(
                id=n.id,
                originator_id=str(n.originator_id),
                originator_version=n.originator_version,
                topic=n.topic,
                state=n.state,
            )
            for n in found
        ]


def stream_number(originator_id: UUID | str) -> int:
    """A stream as it is stored.

    :raises ProgrammingError: if it is not one of ours, which are whole numbers.
    """
    try:
        return int(str(originator_id))
    except ValueError:
        raise ProgrammingError(f"{originator_id!r} is no stream: streams are numbers, written as text") from None
