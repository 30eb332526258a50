"""Reads adopted configurations, and what was decided about what nothing feeds."""

from __future__ import annotations

import zlib
from typing import cast

from deltamark.domain.adoption.configuration_adopted import ADOPTIONS, ConfigurationAdopted, xml_digest
from deltamark.domain.adoption.decommission import Decommissioned, FedAgain
from deltamark.domain.configuration.entity_model import EntityAssociation, PropertyRef
from deltamark.domain.errors import store_damaged
from deltamark.infrastructure.store.events.adoption_events import CONFIGURATION_ADOPTED
from deltamark.infrastructure.store.queries.log import END_OF_LOG, EVENT, LogQueries


class ConfigurationQueries(LogQueries):
    """Queries about adopted configurations."""

    def adoptions(self) -> list[tuple[int, ConfigurationAdopted]]:
        sql = f"SELECT {EVENT} FROM stored_events WHERE originator_id=?1 AND topic=?2 ORDER BY originator_version"
        return [self._adoption(row) for row in self._db.all(sql, (int(ADOPTIONS), CONFIGURATION_ADOPTED))]

    def decisions(self) -> list[tuple[int, Decommissioned | FedAgain]]:
        sql = f"SELECT {EVENT} FROM stored_events WHERE originator_id=?1 AND topic<>?2 ORDER BY originator_version"
        found = []
        for row in self._db.all(sql, (int(ADOPTIONS), CONFIGURATION_ADOPTED)):
            position, event = self._event(row)
            if not isinstance(event, Decommissioned | FedAgain):
                raise store_damaged(f"the event at position {position} is no decision about what nothing feeds")
            found.append((position, event))
        return found

    def adoption_at(self, until: int | None) -> tuple[int, ConfigurationAdopted] | None:
        sql = f"""SELECT {EVENT} FROM stored_events WHERE originator_id=?1 AND +notification_id<=?2
            AND topic=?3 ORDER BY originator_version DESC LIMIT 1"""
        parameters = (int(ADOPTIONS), END_OF_LOG if until is None else until, CONFIGURATION_ADOPTED)
        row = self._db.row(sql, parameters)
        return None if row is None else self._adoption(row)

    def _adoption(self, row: tuple[object, ...]) -> tuple[int, ConfigurationAdopted]:
        position, event = self._event(row)
        if not isinstance(event, ConfigurationAdopted):
            raise store_damaged(f"the event at position {position} is no adoption of a configuration")
        return position, event

    def stored_entity_types(self) -> list[str]:
        return [name for (name,) in self._db.all("SELECT name FROM entity_types ORDER BY id")]

    def stored_associations(self) -> list[EntityAssociation]:
        sql = """SELECT a.name,
                (SELECT s.entity_type FROM links l JOIN resources s ON s.stream = l.source
                    WHERE l.association = a.id LIMIT 1) AS source,
                (SELECT t.entity_type FROM links l JOIN resources t ON t.stream = l.target
                    WHERE l.association = a.id LIMIT 1) AS target
            FROM associations a"""
        ends = f"""SELECT x.name, s.name, t.name FROM ({sql}) x
            JOIN entity_types s ON s.id = x.source JOIN entity_types t ON t.id = x.target ORDER BY x.name"""
        return [
            EntityAssociation(
                name,
                PropertyRef(source, ""),
                PropertyRef(target, ""),
                is_property1_collection=True,
                is_property2_collection=True,
            )
            for name, source, target in self._db.all(ends)
        ]

    def adopted_xml(self, digest: str) -> str:
        stored = self._db.one("SELECT xml FROM configurations WHERE digest=?1", (digest,))
        problem = problem_of(digest, stored)
        if problem is not None:
            raise store_damaged(f"the configuration {digest[:12]} {problem}")
        return decompressed(cast(bytes, stored))


def decompressed(stored: bytes) -> str:
    """Returns the XML of a stored configuration.

    :raises ValueError: if it cannot be read.
    """
    try:
        return zlib.decompress(stored).decode()
    except (zlib.error, TypeError, UnicodeError) as e:
        raise ValueError(str(e)) from e


def problem_of(digest: str, stored: object) -> str | None:
    """Returns what is wrong with a stored configuration, a clause without its subject; None if it is sound."""
    if stored is None:
        return "is missing"
    try:
        xml = decompressed(cast(bytes, stored))
    except ValueError as e:
        return f"cannot be read ({e})"
    return None if xml_digest(xml) == digest else "was altered: its digest is another one"
