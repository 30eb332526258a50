"""A view of each kind that the library keeps, which holds every event that it was given, and a projection into it."""

from __future__ import annotations

from typing import Any

from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Tracking, TrackingRecorder
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection
from eventsourcing.sqlite import SQLiteTrackingRecorder
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from deltamark.eventsourcing import ResourceEvent, topics_of


class InMemory(POPOTrackingRecorder):
    def __init__(self) -> None:
        super().__init__()
        self._seen: list[tuple[int, str]] = []

    def add(self, kind: str, tracking: Tracking) -> None:
        with self._database_lock:
            self._assert_tracking_uniqueness(tracking)
            self._insert_tracking(tracking)
            self._seen.append((tracking.notification_id, kind))

    def seen(self) -> list[tuple[int, str]]:
        with self._database_lock:
            return list(self._seen)


class InAFile(SQLiteTrackingRecorder):
    def construct_create_table_statements(self) -> list[str]:
        return [
            *super().construct_create_table_statements(),
            "CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, position INTEGER, kind TEXT)",
        ]

    def add(self, kind: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as c:
            self._insert_tracking(c, tracking)
            c.execute("INSERT INTO seen (position, kind) VALUES (?, ?)", (tracking.notification_id, kind))

    def seen(self) -> list[tuple[int, str]]:
        with self.datastore.transaction(commit=False) as c:
            c.execute("SELECT position, kind FROM seen ORDER BY number")
            return [tuple(row) for row in c.fetchall()]


class OnAServer(PostgresTrackingRecorder):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._table = SQL("{}.{}").format(Identifier(self.datastore.schema), Identifier("seen"))
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS {} (number bigserial, position bigint, kind text)").format(self._table)
        )

    def add(self, kind: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as c:
            self._insert_tracking(c, tracking)
            insert = SQL("INSERT INTO {} (position, kind) VALUES (%s, %s)").format(self._table)
            c.execute(insert, (tracking.notification_id, kind))

    def seen(self) -> list[tuple[int, str]]:
        with self.datastore.transaction(commit=False) as c:
            c.execute(SQL("SELECT position, kind FROM {} ORDER BY number").format(self._table))
            return [(row["position"], row["kind"]) for row in c.fetchall()]


class Seen(Projection[TrackingRecorder]):
    """All events by position and class."""

    name = "seen"

    @singledispatchmethod
    def process_event(self, event: Any, tracking: Tracking) -> None:
        self.view.add(type(event).__name__, tracking)  # type: ignore[attr-defined]


class SeenResources(Seen):
    """Only those of resources."""

    name = "seen"
    topics = topics_of(ResourceEvent)


class OutOfOrder(Seen):
    """Raises at the first event that is to be processed."""

    name = "seen"

    @singledispatchmethod
    def process_event(self, event: Any, tracking: Tracking) -> None:
        raise ZeroDivisionError(tracking.notification_id)


def in_a_file(path: object) -> dict[str, str]:
    """The environment of a view in an SQLite file."""
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}


def on_a_server(url: str, schema: str) -> dict[str, str]:
    """The environment of a view in a schema of a PostgreSQL database."""
    known = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(known["dbname"]),
        "POSTGRES_HOST": str(known.get("host", "")),
        "POSTGRES_PORT": str(known.get("port", "5432")),
        "POSTGRES_USER": str(known.get("user", "")),
        "POSTGRES_PASSWORD": str(known.get("password", "")),
        "POSTGRES_SCHEMA": schema,
    }
