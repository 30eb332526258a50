"""Keeps how far programs have read the log.

It is not in the log: reading is no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from deltamark.domain.errors import store_damaged
from deltamark.domain.history.consumer import ConsumerPlace
from deltamark.infrastructure.store.events.mapper import CHANGE_TOPICS, from_micros, to_micros
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import checked_rows
from deltamark.infrastructure.store.session import Session

_LAST = 2**63 - 1


class ConsumerQueries(Queries):
    """Queries about the places of programs."""

    def consumers(self) -> list[ConsumerPlace]:
        return [self._place_of(row) for row in sorted(checked_rows(self._db, "consumers"), key=itemgetter(0))]

    def consumer(self, name: str) -> ConsumerPlace | None:
        rows = checked_rows(self._db, "consumers", "name=?1", (name,))
        return self._place_of(rows[0]) if rows else None

    def _place_of(self, row: Sequence[Any]) -> ConsumerPlace:
        name, position, began_at, moved_at, moves = row
        head = self._db.one("SELECT max(notification_id) FROM stored_events") or 0
        if position > head:
            raise store_damaged(
                f"consumer {name} is at position {position}, but the log ends at {head}: it would miss changes"
            )
        return ConsumerPlace(
            name=name,
            position=position,
            began_at=from_micros(began_at),
            moved_at=from_micros(moved_at),
            moves=moves,
        )

    def changes_beyond(self, position: int, until: int | None = None) -> tuple[int, int | None]:
        sql = f"""SELECT count(*), min(notification_id) FROM stored_events
            WHERE notification_id>?1 AND notification_id<=?3 AND {self._db.among_texts("topic", 2)}"""
        row = self._db.row(sql, (position, self._db.array(CHANGE_TOPICS), _LAST if until is None else until))
        assert row is not None, "an aggregate has a row"
        return row[0], row[1]


class ConsumerCommands(Session, ConsumerQueries):
    """Moves and drops the places of programs."""

    def put_consumer(self, place: ConsumerPlace) -> None:
        with self._sealing("consumers", "name=?1", (place.name,)):
            self._db.execute(
                """INSERT INTO consumers (name, position, began_at, moved_at, moves) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT (name) DO UPDATE SET position=excluded.position, began_at=excluded.began_at,
                moved_at=excluded.moved_at, moves=excluded.moves""",
                (place.name, place.position, to_micros(place.began_at), to_micros(place.moved_at), place.moves),
            )

    def drop_consumer(self, name: str) -> None:
        with self._sealing("consumers", "name=?1", (name,)):
            self._db.execute("DELETE FROM consumers WHERE name=?1", (name,))
