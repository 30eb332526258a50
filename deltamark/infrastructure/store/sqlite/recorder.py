"""The recorder of the event-sourcing library, for a log whose positions are never reused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import Notification, ProgrammingError, StoredEvent
from eventsourcing.sqlite import SQLiteDatastore, SQLiteProcessRecorder

from deltamark.infrastructure.store.database import UNSEALED
from deltamark.infrastructure.store.events.mapper import is_stream_number

EVENTS_TABLE = "stored_events"

CREATE_EVENTS = f"""CREATE TABLE IF NOT EXISTS {EVENTS_TABLE} (
    notification_id INTEGER PRIMARY KEY AUTOINCREMENT,
    originator_id NOT NULL,
    originator_version INTEGER NOT NULL,
    topic TEXT NOT NULL,
    state BLOB NOT NULL,
    UNIQUE (originator_id, originator_version)
)"""


def stream_key(originator_id: UUID | str) -> str | int:
    """Returns a stream as it is stored: numbers as integers, which are small and stay in order."""
    if isinstance(originator_id, UUID):
        return originator_id.hex
    return int(originator_id) if is_stream_number(originator_id) else originator_id


class ChangeRecorder(SQLiteProcessRecorder):
    """Reads the log.

    Its positions come from an AUTOINCREMENT sequence, which never assigns one twice.

    The table of the library uses SQLite's rowid, which is assigned again after the newest rows were deleted. A reader
    that has seen the old row would never see the new one.
    """

    def __init__(self, datastore: SQLiteDatastore, *, events_table_name: str = EVENTS_TABLE) -> None:
        assert events_table_name == EVENTS_TABLE, "the name of the table is fixed: SQL texts contain it"
        super().__init__(datastore, events_table_name=events_table_name)
        self.select_max_notification_id_statement = f"SELECT MAX(notification_id) FROM {EVENTS_TABLE}"
        self.select_events_statement = (
            f"SELECT originator_id, originator_version, topic, state FROM {EVENTS_TABLE} WHERE originator_id=? "
        )

    def construct_create_table_statements(self) -> list[str]:
        """Returns the statements of the library, with the table of events replaced."""
        return [
            CREATE_EVENTS if EVENTS_TABLE in statement else statement
            for statement in super().construct_create_table_statements()
        ]

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Refuses: only the transactions of a store write events, because they also write the seals.

        :raises ProgrammingError: always.
        """
        raise ProgrammingError(UNSEALED)

    def convert_originator_id(self, originator_id: Any) -> UUID | str:
        """Returns a stream as the library knows it."""
        return super().convert_originator_id(str(originator_id))

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
        statement = self.select_events_statement
        params: list[Any] = [stream_key(originator_id)]
        if gt is not None:
            statement += "AND originator_version>? "
            params.append(gt)
        if lte is not None:
            statement += "AND originator_version<=? "
            params.append(lte)
        statement += f"ORDER BY originator_version {'DESC' if desc else 'ASC'} LIMIT ?"
        params.append(-1 if limit is None else limit)
        with self.datastore.transaction(commit=False) as c:
            c.execute(statement, params)
            return [StoredEvent(self.convert_originator_id(row[0]), row[1], row[2], row[3]) for row in c.fetchall()]

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
        first = None if start is None else start + (0 if inclusive_of_start else 1)
        conditions = ["notification_id >= ?"] * (first is not None) + ["notification_id <= ?"] * (stop is not None)
        params: list[Any] = [bound for bound in (first, stop) if bound is not None]
        if topics:
            conditions.append(f"topic IN ({','.join('?' * len(topics))})")
            params += topics
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        with self.datastore.transaction(commit=False) as c:
            c.execute(
                "SELECT notification_id, originator_id, originator_version, topic, state "
                f"FROM {EVENTS_TABLE} {where}ORDER BY notification_id LIMIT ?",
                [*params, limit],
            )
            return [
                Notification(
                    id=row[0],
                    originator_id=self.convert_originator_id(row[1]),
                    originator_version=row[2],
                    topic=row[3],
                    state=row[4],
                )
                for row in c.fetchall()
            ]
