"""Writes derived values, set by set, and the places of their consumers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deltamark.application.ports.records import DerivedRule, Place
from deltamark.domain.errors import ConcurrentRun
from deltamark.infrastructure.store.arrow import pa, pc
from deltamark.infrastructure.store.arrow_rows import chunks
from deltamark.infrastructure.store.session import Session


class DerivedCommands(Session):
    """Writes correlation keys, classifications and places."""

    def put_keys(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        number = self._rule(rule)
        self._db.temporary("fresh", {"resource": "number", "value": "text"})
        for chunk in chunks(values):
            resources, texts = (chunk.column(name).combine_chunks() for name in ("stream", "value"))
            self._db.insert("fresh", {"resource": resources.to_pylist(), "value": texts})
        self._db.analyze("fresh")
        written = self._drop("correlation_keys", number, everything=everything)
        written += self._db.execute(
            """INSERT INTO correlation_keys (rule, resource, value)
            SELECT CAST(?1 AS BIGINT), resource, value FROM fresh WHERE value IS NOT NULL
            ON CONFLICT (rule, resource) DO UPDATE SET value=excluded.value
            WHERE correlation_keys.value<>excluded.value""",
            (number,),
        )
        if everything:
            self.mark_complete([rule])
        return written

    def put_classifications(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        number = self._rule(rule)
        self._db.temporary("fresh", {"resource": "number", "value": "text"})
        for chunk in chunks(values):
            holds = pc.if_else(chunk.column("value"), "1", pa.scalar(None, pa.string())).combine_chunks()
            self._db.insert("fresh", {"resource": chunk.column("stream").to_pylist(), "value": holds})
        self._db.analyze("fresh")
        written = self._drop("classifications", number, everything=everything)
        written += self._db.execute(
            """INSERT INTO classifications (rule, resource)
            SELECT CAST(?1 AS BIGINT), resource FROM fresh WHERE value IS NOT NULL
            ON CONFLICT (rule, resource) DO NOTHING""",
            (number,),
        )
        if everything:
            self.mark_complete([rule])
        return written

    def _drop(self, table: str, rule: int, *, everything: bool) -> int:
        """Drops the values of resources without a fresh value.

        With `everything`, also those of all other resources.
        """
        missing = "NOT EXISTS (SELECT 1 FROM fresh f WHERE f.resource = {}.resource AND f.value IS NOT NULL)"
        without = "resource IN (SELECT resource FROM fresh WHERE value IS NULL)"
        which = missing.format(table) if everything else without
        return self._db.execute(f"DELETE FROM {table} WHERE rule=?1 AND {which}", (rule,))

    def mark_complete(self, rules: Iterable[DerivedRule]) -> None:
        for rule in rules:
            self._db.execute("UPDATE rules SET digest=?1 WHERE id=?2", (rule.digest, self._rule(rule)))

    def remove_rules(self, rules: Iterable[DerivedRule]) -> int:
        numbers = self._db.array([self._rule_id(rule) for rule in rules])
        removed = 0
        for table in ("correlation_keys", "classifications"):
            removed += self._db.execute(f"DELETE FROM {table} WHERE {self._db.among_numbers('rule', 1)}", (numbers,))
        self._db.execute(f"DELETE FROM consumed WHERE {self._db.among_numbers('rule', 1)}", (numbers,))
        self._db.execute(f"DELETE FROM rules WHERE {self._db.among_numbers('id', 1)}", (numbers,))
        return removed

    def _rule(self, rule: DerivedRule) -> int:
        sql = "INSERT INTO rules (name, side, entity_type, digest) VALUES (?1, ?2, ?3, '') RETURNING id"
        names = (rule.name, rule.kind.value, rule.entity_type)
        return self._rule_id(rule) or int(self._db.one(sql, names))

    def move_place(self, consumer: str, rules: Iterable[DerivedRule], place: Place) -> None:
        forgotten = self._db.one("SELECT forgotten_flag FROM store")
        if place.flag < forgotten:  # a new place, or one that was dropped while its consumer ran
            raise ConcurrentRun(
                f"flags that {consumer} has not read yet were dropped while it ran. Nothing was changed. Run again."
            )
        for rule in rules:
            self._db.execute(
                """INSERT INTO consumed (consumer, rule, flag, position, digest) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT (consumer, rule) DO UPDATE SET
                flag=excluded.flag, position=excluded.position, digest=excluded.digest""",
                (consumer, self._rule(rule), place.flag, place.position, rule.digest),
            )

    def keep_consumers(self, kept: Mapping[str, Iterable[DerivedRule]]) -> list[str]:
        kept_places = {(consumer, self._rule_id(rule)) for consumer, rules in kept.items() for rule in rules}
        stored = self._db.all("SELECT consumer, rule FROM consumed ORDER BY consumer, rule")
        for place in stored:
            if place not in kept_places:
                self._db.execute("DELETE FROM consumed WHERE consumer=?1 AND rule=?2", place)
        remaining = {consumer for consumer, _ in kept_places.intersection(stored)}
        return [consumer for consumer in dict.fromkeys(consumer for consumer, _ in stored) if consumer not in remaining]
