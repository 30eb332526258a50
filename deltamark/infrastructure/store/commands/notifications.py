"""Keeps what channels are told of, and how far the log was read for each.

It is not in the log: telling people is no change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson

from deltamark.domain.errors import store_damaged
from deltamark.domain.notifications.notification import Notification
from deltamark.domain.notifications.record import ChannelPlace, Delivery, NotificationRecord
from deltamark.domain.runs.run import RunEvent
from deltamark.infrastructure.store.events.mapper import from_micros, to_micros
from deltamark.infrastructure.store.events.run_events import RUN_ENDED, RUN_STARTED
from deltamark.infrastructure.store.queries.log import EVENT, RunQueries
from deltamark.infrastructure.store.row_seals import checked_rows
from deltamark.infrastructure.store.session import Session

_KEY = "channel=?1 AND id=?2"


class NotificationQueries(RunQueries):
    """Queries about notifications and what they are made of."""

    def channel_places(self) -> list[ChannelPlace]:
        return [
            ChannelPlace(name=name, position=position, since=from_micros(since))
            for name, position, since in sorted(checked_rows(self._db, "channels"))
        ]

    def notifications(self, channel: str | None = None) -> list[NotificationRecord]:
        condition, parameters = ("", ()) if channel is None else ("channel=?1", (channel,))
        rows = checked_rows(self._db, "notifications", *((condition, parameters) if condition else ()))
        store = str(self._db.one("SELECT epoch FROM store"))
        return [_record(row, store) for row in sorted(rows)]

    def run_ends(self, after: int) -> Iterator[tuple[int, RunEvent]]:
        sql = f"""SELECT {EVENT} FROM runs r {self._db.ordered_join} stored_events e ON e.originator_id = +r.stream
            WHERE r.last>?1 AND e.notification_id>?1 AND {self._db.among_texts("e.topic", 2)}
            ORDER BY e.notification_id"""
        for row in self._db.rows(sql, (after, self._db.array((RUN_STARTED, RUN_ENDED)))):
            yield self._event(row)


def _record(row: Sequence[Any], store: str) -> NotificationRecord:
    channel, identifier, delivery, tries, noted_at, tried_at, problem, document = row
    try:
        return NotificationRecord(
            channel=channel,
            notification=Notification.from_document(orjson.loads(document), store),
            delivery=Delivery(delivery),
            tries=tries,
            noted_at=from_micros(noted_at),
            tried_at=from_micros(tried_at) if tried_at else None,
            problem=problem,
        )
    except (TypeError, ValueError, LookupError, OverflowError) as e:
        raise store_damaged(f"notification {identifier} for channel {channel} cannot be read") from e


class NotificationCommands(Session, NotificationQueries):
    """Puts notifications on record."""

    def put_channel_place(self, place: ChannelPlace) -> None:
        with self._sealing("channels", "name=?1", (place.name,)):
            self._db.execute(
                """INSERT INTO channels (name, position, since) VALUES (?1, ?2, ?3)
                ON CONFLICT (name) DO UPDATE SET position=excluded.position, since=excluded.since""",
                (place.name, place.position, to_micros(place.since)),
            )

    def put_notification(self, record: NotificationRecord) -> None:
        key = (record.channel, record.notification.id)
        tried_at = 0 if record.tried_at is None else to_micros(record.tried_at)
        document = orjson.dumps(record.notification.document()).decode()
        values = (record.delivery.value, record.tries, to_micros(record.noted_at), tried_at, record.problem, document)
        with self._sealing("notifications", _KEY, key):
            self._db.execute(
                """INSERT INTO notifications (channel, id, delivery, tries, noted_at, tried_at, problem, document)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                ON CONFLICT (channel, id) DO UPDATE SET delivery=excluded.delivery, tries=excluded.tries,
                tried_at=excluded.tried_at, problem=excluded.problem""",
                (*key, *values),
            )

    def drop_notifications(self, before: datetime) -> None:
        condition, parameters = "noted_at<?1 AND delivery=?2", (to_micros(before), Delivery.SENT.value)
        if self._db.one(f"SELECT 1 FROM notifications WHERE {condition} LIMIT 1", parameters) is not None:
            with self._sealing("notifications", condition, parameters):
                self._db.execute(f"DELETE FROM notifications WHERE {condition}", parameters)
