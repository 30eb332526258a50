"""Writing the projections: flags, places and correlation keys, set by set."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from deltamark.application.ports.store import KeyRule, Place
from deltamark.domain.flags import FLAG_PROJECTION
from deltamark.infrastructure.store.arrow_rows import chunks
from deltamark.infrastructure.store.mapper import LINK_TOPICS, RESOURCE_TOPICS
from deltamark.infrastructure.store.queries import STREAM_STATES
from deltamark.infrastructure.store.writing import Session


class FlagWriting(Session):
    """Flags and places."""

    def flag_changes(self, after: int) -> int:
        """See `Writing.flag_changes`."""
        beyond = f"e.notification_id > ?1 AND {self._db.among_texts('e.topic', 2)}"
        self._db.execute(
            f"""INSERT INTO flags (position, resource) SELECT e.notification_id, e.originator_id
            FROM stored_events e WHERE {beyond} ON CONFLICT DO NOTHING""",
            (after, self._db.array(RESOURCE_TOPICS)),
        )
        for end in ("source", "target"):
            self._db.execute(
                f"""INSERT INTO flags (position, resource) SELECT e.notification_id, l.{end} FROM stored_events e
                {self._db.straight} links l ON l.stream = e.originator_id WHERE {beyond} ON CONFLICT DO NOTHING""",
                (after, self._db.array(LINK_TOPICS)),
            )
        return int(self._db.one("SELECT count(DISTINCT resource) FROM flags WHERE position>?1", (after,)))

    def flag_all(self, entity_types: Iterable[str], position: int) -> int:
        """See `Writing.flag_all`."""
        self._db.execute(
            f"""INSERT INTO flags (position, resource) SELECT CAST(?1 AS BIGINT), stream FROM resources
            WHERE entity_type IN (SELECT id FROM entity_types WHERE {self._db.among_texts("name", 2)})
            ON CONFLICT DO NOTHING""",
            (position, self._db.array(list(entity_types))),
        )
        return int(self._db.one("SELECT count(*) FROM flags WHERE position=?1", (position,)))

    def forget_flags(self) -> None:
        """See `Writing.forget_flags`."""
        self._db.execute(
            "DELETE FROM flags WHERE position <= (SELECT min(position) FROM places WHERE consumer<>?1)",
            (FLAG_PROJECTION,),
        )

    def move_place(self, consumer: str, place: Place) -> None:
        """See `Writing.move_place`."""
        self._db.execute(
            """INSERT INTO places (consumer, position, digest) VALUES (?1, ?2, ?3)
            ON CONFLICT (consumer) DO UPDATE SET position=excluded.position, digest=excluded.digest""",
            (consumer, place.position, place.digest),
        )

    def flagged_states(self, entity_type: str, after: int) -> pa.Table:
        """See `Writing.flagged_states`."""
        sql = f"""SELECT r.stream, CASE WHEN r.live THEN r.state END FROM
            (SELECT DISTINCT resource FROM flags WHERE position>?1) f
            {self._db.straight} resources r ON r.stream = f.resource WHERE r.entity_type=?2"""
        return self._db.table(sql, (after, self._type_id(entity_type)), STREAM_STATES)

    def all_states(self, entity_type: str) -> pa.Table:
        """See `Writing.all_states`."""
        sql = f"SELECT stream, state FROM resources {self._db.unindexed} WHERE entity_type=?1 AND live"
        return self._db.table(sql, (self._type_id(entity_type),), STREAM_STATES)


class KeyWriting(Session):
    """Correlation keys."""

    def put_keys(self, rule: KeyRule, values: pa.Table, *, everything: bool) -> int:
        """See `Writing.put_keys`."""
        number = self._rule(rule)
        if everything:
            self._db.execute("UPDATE rules SET digest=?1 WHERE id=?2", (rule.digest, number))
        written = 0
        for chunk in chunks(values):
            self._db.temporary("fresh", {"resource": "number", "value": "text"})
            resources, texts = (chunk.column(name).combine_chunks() for name in ("stream", "value"))
            self._db.insert("fresh", {"resource": resources.to_pylist(), "value": texts})
            written += self._db.execute(
                """DELETE FROM correlation_keys WHERE rule=?1 AND resource IN
                (SELECT resource FROM fresh WHERE value IS NULL)""",
                (number,),
            )
            written += self._db.execute(
                """INSERT INTO correlation_keys (rule, resource, value)
                SELECT CAST(?1 AS BIGINT), resource, value FROM fresh WHERE value IS NOT NULL
                ON CONFLICT (rule, resource) DO UPDATE SET value=excluded.value
                WHERE correlation_keys.value<>excluded.value""",
                (number,),
            )
        return written

    def _rule(self, rule: KeyRule) -> int:
        names = (rule.name, rule.side, rule.entity_type)
        found = self._db.one("SELECT id FROM rules WHERE name=?1 AND side=?2 AND entity_type=?3", names)
        sql = "INSERT INTO rules (name, side, entity_type, digest) VALUES (?1, ?2, ?3, '') RETURNING id"
        return int(found or self._db.one(sql, names))

    def keep_rules(self, rules: Iterable[KeyRule]) -> int:
        """See `Writing.keep_rules`."""
        kept = {(rule.name, rule.side, rule.entity_type) for rule in rules}
        stored = self._db.all("SELECT id, name, side, entity_type FROM rules")
        gone = self._db.array([number for number, *names in stored if tuple(names) not in kept])
        removed = self._db.execute(f"DELETE FROM correlation_keys WHERE {self._db.among_numbers('rule', 1)}", (gone,))
        self._db.execute(f"DELETE FROM rules WHERE {self._db.among_numbers('id', 1)}", (gone,))
        return removed

    def drop_keys_of_deleted(self) -> int:
        """See `Writing.drop_keys_of_deleted`."""
        return self._db.execute(
            "DELETE FROM correlation_keys WHERE resource IN (SELECT stream FROM resources WHERE NOT live)"
        )
