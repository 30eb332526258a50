"""Appends adoptions of configurations, keeps their XML, and appends decisions about what nothing feeds."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import datetime

from deltamark.domain.adoption.configuration_adopted import ADOPTIONS, ConfigurationAdopted
from deltamark.domain.adoption.decommission import Decommissioned, FedAgain
from deltamark.infrastructure.store.queries.configurations import ConfigurationQueries
from deltamark.infrastructure.store.session import Session


class ConfigurationCommands(Session, ConfigurationQueries):
    """Writes adoptions."""

    def append_adoption(self, build: Callable[[str, int, datetime], ConfigurationAdopted], xml: str) -> int:
        event = build(ADOPTIONS, self._next_version(), self.now())
        if self._db.one("SELECT 1 FROM configurations WHERE digest=?1", (event.digest,)) is None:
            compressed = zlib.compress(xml.encode(), level=9)
            self._db.execute("INSERT INTO configurations (digest, xml) VALUES (?1, ?2)", (event.digest, compressed))
        return self._append(event)

    def append_decision(self, build: Callable[[str, int, datetime], Decommissioned | FedAgain]) -> int:
        return self._append(build(ADOPTIONS, self._next_version(), self.now()))

    def _next_version(self) -> int:
        sql = "SELECT max(originator_version) FROM stored_events WHERE originator_id=?1"
        return int(self._db.one(sql, (int(ADOPTIONS),)) or 0) + 1
