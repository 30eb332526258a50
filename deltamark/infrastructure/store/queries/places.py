"""Reads how far the source of each connection was applied."""

from __future__ import annotations

from deltamark.domain.errors import store_damaged
from deltamark.domain.sources.places import PLACES, PlaceForgotten, PlaceMoved
from deltamark.infrastructure.store.queries.log import EVENT, LogQueries


class PlaceQueries(LogQueries):
    """Queries about places in sources: each event names the newest one of every other connection."""

    def source_place(self, connection: str) -> tuple[int, PlaceMoved] | None:
        version = self._newest_of_connections().get(connection)
        return None if version is None else self._moved(version)

    def source_places(self) -> list[tuple[int, PlaceMoved]]:
        moved = (self._moved(version) for _, version in sorted(self._newest_of_connections().items()))
        return [place for place in moved if place is not None]

    def _newest_of_connections(self) -> dict[str, int]:
        """Connection -> the version of its newest event."""
        sql = f"SELECT {EVENT} FROM stored_events WHERE originator_id=?1 ORDER BY originator_version DESC LIMIT 1"
        row = self._db.row(sql, (int(PLACES),))
        if row is None:
            return {}
        event = self._place_event(row)[1]
        return {**event.newest, event.connection: event.originator_version}

    def _moved(self, version: int) -> tuple[int, PlaceMoved] | None:
        """The move of that version, or None where the place was forgotten."""
        sql = f"SELECT {EVENT} FROM stored_events WHERE originator_id=?1 AND originator_version=?2"
        row = self._db.row(sql, (int(PLACES), version))
        if row is None:
            raise store_damaged(f"event {version} of the stream of places in sources is missing")
        position, event = self._place_event(row)
        return (position, event) if isinstance(event, PlaceMoved) else None

    def _place_event(self, row: tuple[object, ...]) -> tuple[int, PlaceMoved | PlaceForgotten]:
        position, event = self._event(row)
        if not isinstance(event, PlaceMoved | PlaceForgotten):
            raise store_damaged(f"the event at position {position} is no place in a source")
        return position, event
