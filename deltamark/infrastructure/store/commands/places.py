"""Moves and forgets places in sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from deltamark.domain.sources.places import PLACES, PlaceForgotten, PlaceMoved
from deltamark.infrastructure.store.queries.places import PlaceQueries
from deltamark.infrastructure.store.session import Session


class PlaceCommands(Session, PlaceQueries):
    """Writes places in sources."""

    def append_place(
        self, build: Callable[[str, int, datetime, Mapping[str, int]], PlaceMoved | PlaceForgotten]
    ) -> int:
        newest = self._newest_of_connections()
        return self._append(build(PLACES, max(newest.values(), default=0) + 1, self.now(), newest))
