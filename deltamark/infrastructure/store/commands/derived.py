"""Writes derived values, set by set, and the places of their consumers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from deltamark.application.ports.records import DerivedRule, Place
from deltamark.domain.errors import ConcurrentRun
from deltamark.infrastructure.store.arrow import pa, pc
from deltamark.infrastructure.store.arrow_rows import are_ascending, chunks
from deltamark.infrastructure.store.database import KEY_VALUES, Same
from deltamark.infrastructure.store.row_seals import KEYS as KEY_TABLE
from deltamark.infrastructure.store.row_seals import key_seals, numeric_seal, sum_of
from deltamark.infrastructure.store.session import Session

_FRESH = {"resource": "number", "value": "text", "seal": "number"}


class DerivedCommands(Session):
    """Writes correlation keys, classifications and places."""

    def put_keys(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        number = self._rule(rule)
        if everything and not self._has_values(KEY_TABLE, number):
            written = self._insert_keys(KEY_TABLE, number, values.filter(pc.is_valid(values.column("value"))))
            self.mark_complete([rule])
            return written
        self._db.temporary("fresh", _FRESH)
        self._insert_keys("fresh", number, values)
        self._db.analyze("fresh")
        with self._counting(KEY_TABLE, number, everything=everything):
            written = self._drop(KEY_TABLE, number, everything=everything)
            written += self._db.execute(
                """INSERT INTO correlation_keys (rule, resource, value, seal)
                SELECT CAST(?1 AS BIGINT), resource, value, seal FROM fresh WHERE value IS NOT NULL
                ON CONFLICT (rule, resource) DO UPDATE SET value=excluded.value, seal=excluded.seal
                WHERE correlation_keys.value<>excluded.value""",
                (number,),
            )
        if everything:
            self.mark_complete([rule])
        return written

    def _has_values(self, table: str, rule: int) -> bool:
        return self._db.one(f"SELECT rule FROM {table} WHERE rule=?1 LIMIT 1", (rule,)) is not None

    def _insert_keys(self, table: str, rule: int, values: pa.Table) -> int:
        """Inserts keys of a rule into the table of keys, which has none of it yet, or into `fresh`."""
        of_rule = {"rule": Same(rule)} if table == KEY_TABLE else {}
        if (
            of_rule
            and values.num_rows >= self._db.many
            and self._db.one(f"SELECT rule FROM {KEY_TABLE} LIMIT 1") is None
        ):
            self._db.defer_index(KEY_VALUES)
        if of_rule and not are_ascending(values.column("stream")):
            values = values.sort_by("stream")
        for chunk in chunks(values):
            resources, texts = (chunk.column(name).combine_chunks() for name in ("stream", "value"))
            streams = resources.to_pylist()
            seals = key_seals(rule, streams, texts.fill_null("").cast(pa.binary()).to_pylist())
            self._db.insert(table, {**of_rule, "resource": streams, "value": texts, "seal": seals})
            if of_rule:
                self._sums.add(KEY_TABLE, (0, 0), (len(streams), sum(seals)))
        return int(values.num_rows)

    def put_classifications(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        number = self._rule(rule)
        self._db.temporary("fresh", _FRESH)
        for chunk in chunks(values):
            holds = pc.if_else(chunk.column("value"), "1", pa.scalar(None, pa.string())).combine_chunks()
            self._db.insert("fresh", {"resource": chunk.column("stream").to_pylist(), "value": holds, "seal": Same(0)})
        self._db.analyze("fresh")
        seal = numeric_seal(("CAST(?1 AS BIGINT)", "resource"))
        with self._counting("classifications", number, everything=everything):
            written = self._drop("classifications", number, everything=everything)
            written += self._db.execute(
                f"""INSERT INTO classifications (rule, resource, seal)
                SELECT CAST(?1 AS BIGINT), resource, {seal} FROM fresh WHERE value IS NOT NULL
                ON CONFLICT (rule, resource) DO NOTHING""",
                (number,),
            )
        if everything:
            self.mark_complete([rule])
        return written

    @contextmanager
    def _counting(self, table: str, rule: int, *, everything: bool) -> Iterator[None]:
        """Counts the rows of a rule that the block writes, those of fresh values alone unless it writes everything."""
        rows = self._db.lookup(table, "v", "v.rule=?1 AND v.resource=f.resource")
        source = f"(SELECT v.seal FROM fresh f {rows}) s"
        before = sum_of(self._db, *((table, "rule=?1") if everything else (source, "TRUE")), (rule,))
        yield
        after = sum_of(self._db, *((table, "rule=?1") if everything else (source, "TRUE")), (rule,))
        self._sums.add(table, before, after)

    def _drop(self, table: str, rule: int, *, everything: bool) -> int:
        """Drops the values of resources without a fresh value.

        With `everything`, also those of all other resources.
        """
        missing = "NOT EXISTS (SELECT 1 FROM fresh f WHERE f.resource = {}.resource AND f.value IS NOT NULL)"
        without = "resource IN (SELECT resource FROM fresh WHERE value IS NULL)"
        which = missing.format(table) if everything else without
        return self._db.execute(f"DELETE FROM {table} WHERE rule=?1 AND {which}", (rule,))

    def mark_complete(self, rules: Iterable[DerivedRule]) -> None:
        digests = {self._rule(rule): rule.digest for rule in rules}
        with self._sealing("rules", self._db.among_numbers("id", 1), (self._db.array(list(digests)),)):
            for number, digest in digests.items():
                self._db.execute("UPDATE rules SET digest=?1 WHERE id=?2", (digest, number))

    def remove_rules(self, rules: Iterable[DerivedRule]) -> int:
        numbers = self._db.array([self._rule_id(rule) for rule in rules])
        removed = 0
        for table in ("correlation_keys", "classifications"):
            removed += self._delete_sealed(table, self._db.among_numbers("rule", 1), (numbers,))
        for table, column in (("consumed", "rule"), ("rules", "id")):
            condition = self._db.among_numbers(column, 1)
            with self._sealing(table, condition, (numbers,)):
                self._db.execute(f"DELETE FROM {table} WHERE {condition}", (numbers,))
        return removed

    def _rule(self, rule: DerivedRule) -> int:
        sql = "INSERT INTO rules (name, side, entity_type, digest) VALUES (?1, ?2, ?3, '') RETURNING id"
        names = (rule.name, rule.kind.value, rule.entity_type)
        number = self._rule_id(rule)
        if not number:
            with self._sealing("rules", "name=?1 AND side=?2 AND entity_type=?3", names):
                number = int(self._db.one(sql, names))
        return number

    def move_place(self, consumer: str, rules: Iterable[DerivedRule], place: Place) -> None:
        forgotten = self._db.one("SELECT forgotten_flag FROM store")
        if place.flag < forgotten:  # a new place, or one that was dropped while its consumer ran
            raise ConcurrentRun(
                f"flags that {consumer} has not read yet were dropped while it ran. Nothing was changed. Run again."
            )
        with self._sealing("consumed", "consumer=?1", (consumer,)):
            for rule in rules:
                self._db.execute(
                    """INSERT INTO consumed (consumer, rule, flag, position, digest) VALUES (?1, ?2, ?3, ?4, ?5)
                    ON CONFLICT (consumer, rule) DO UPDATE SET
                    flag=excluded.flag, position=excluded.position, digest=excluded.digest""",
                    (consumer, self._rule(rule), place.flag, place.position, rule.digest),
                )

    def keep_consumers(self, kept: Mapping[str, Iterable[DerivedRule]]) -> list[str]:
        numbers = {rule: self._rule_id(rule) for rules in kept.values() for rule in rules}
        kept_places = {(consumer, numbers[rule]) for consumer, rules in kept.items() for rule in rules}
        stored = self._db.all("SELECT consumer, rule FROM consumed ORDER BY consumer, rule")
        for place in stored:
            if place not in kept_places:
                condition = "consumer=?1 AND rule=?2"
                with self._sealing("consumed", condition, place):
                    self._db.execute(f"DELETE FROM consumed WHERE {condition}", place)
        remaining = {consumer for consumer, _ in kept_places.intersection(stored)}
        return [consumer for consumer in dict.fromkeys(consumer for consumer, _ in stored) if consumer not in remaining]
