"""Reads derived values and their inputs: values, links, keys and classifications."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from deltamark.application.ports.records import DerivedRule
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import Hop
from deltamark.domain.history.changes import CorrelationKey
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.queries.flags import rule_of
from deltamark.infrastructure.store.queries.state import Queries, without_nul
from deltamark.infrastructure.store.row_seals import checked_rows


@cache
def _states() -> pa.Schema:
    return pa.schema([("stream", pa.int64()), ("state", pa.string()), ("computed", pa.string())])


@cache
def _names() -> pa.Schema:
    return pa.schema([("stream", pa.int64()), ("entity_type", pa.string()), ("key", pa.string()), ("live", pa.bool_())])


@cache
def _name_rows() -> pa.Schema:
    return _names().set(3, pa.field("live", pa.int8()))


@cache
def _streams() -> pa.Schema:
    return pa.schema([("stream", pa.int64())])


@cache
def _rule_values() -> pa.Schema:
    return pa.schema([("stream", pa.int64()), ("value", pa.string())])


@cache
def _ends() -> pa.Schema:
    return pa.schema([("near", pa.int64()), ("far", pa.int64())])


_KEYS = """SELECT n.name, n.side, e.name, r.key, k.value FROM correlation_keys k
    JOIN rules n ON n.id = k.rule JOIN resources r ON r.stream = k.resource
    JOIN entity_types e ON e.id = r.entity_type"""


class DerivedQueries(Queries):
    """Reads derived values and their inputs."""

    def states(self, entity_type: str, among: pa.Array | None = None) -> pa.Table:
        if among is None:
            return self._db.live_rows(self._type_id(entity_type), _states())
        rows = self._db.rows_of_streams(among, _states())
        if rows is not None:
            return rows
        sql = f"""SELECT stream, CASE WHEN live THEN state END, computed FROM resources
            WHERE {self._db.among_numbers("stream", 1)} ORDER BY stream"""
        return self._db.table(sql, (self._db.array(among.to_pylist()),), _states())

    def states_between(self, entity_type: str, first: int, last: int) -> pa.Table:
        sql = """SELECT stream, state, computed FROM resources
            WHERE stream BETWEEN ?2 AND ?3 AND entity_type=?1 AND live ORDER BY stream"""
        return self._db.table(sql, (self._type_id(entity_type), first, last), _states())

    def live_streams(self, entity_type: str) -> pa.Array:
        found = self._db.live_rows(self._type_id(entity_type), _streams())
        return found.column("stream").combine_chunks()

    def names(self, streams: pa.Array) -> pa.Table:
        sql = f"""SELECT r.stream, e.name, r.key, CASE WHEN r.live THEN 1 ELSE 0 END
            FROM resources r JOIN entity_types e ON e.id = r.entity_type
            WHERE {self._db.among_numbers("r.stream", 1)} ORDER BY e.name, r.key"""
        return self._db.table(sql, (self._db.array(streams.to_pylist()),), _name_rows()).cast(_names())

    def ends(self, hop: Hop, near: pa.Array | None = None) -> pa.Table:
        here, there = ("source", "target") if hop.forward else ("target", "source")
        sql = f"SELECT {here}, {there} FROM links WHERE association=?1 AND live"
        association = self._association_id(hop.association)
        if near is None:
            sql = sql.replace("links", f"links {self._db.unindexed}")
            return self._db.table(sql, (association,), _ends())
        sql = f"{sql} AND {self._db.among_numbers(here, 2)}"
        return self._db.table(sql, (association, self._db.array(near.to_pylist())), _ends())

    def rules_computed(self) -> set[DerivedRule]:
        return {rule_of(*row) for _, *row in checked_rows(self._db, "rules", "digest<>''")}

    def classifications(self, entity_type: str) -> Iterator[tuple[str, list[str]]]:
        sql = """SELECT r.key, n.name FROM classifications c JOIN rules n ON n.id = c.rule
            JOIN resources r ON r.stream = c.resource WHERE r.entity_type=?1 ORDER BY r.key, n.name"""
        for key, rows in groupby(self._db.rows(sql, (self._type_id(entity_type),)), key=itemgetter(0)):
            yield key, [name for _, name in rows]

    def classified(self, rule: DerivedRule) -> pa.Array:
        sql = "SELECT resource FROM classifications WHERE rule=?1 ORDER BY resource"
        rows = self._db.table(sql, (self._rule_id(rule),), _streams())
        return rows.column("stream").combine_chunks()

    def stored_keys(self, rule: DerivedRule) -> pa.Table:
        sql = "SELECT resource, value FROM correlation_keys WHERE rule=?1 ORDER BY resource"
        return self._db.table(sql, (self._rule_id(rule),), _rule_values())

    def _rule_id(self, rule: DerivedRule) -> int:
        """Returns the number of a derivation, whatever its definition, or 0 if it has none."""
        sql = "SELECT id FROM rules WHERE name=?1 AND side=?2 AND entity_type=?3"
        return self._db.one(sql, (rule.name, rule.kind.value, rule.entity_type)) or 0

    def keys_of(self, stream: int) -> list[CorrelationKey]:
        sql = f"""SELECT n.name, n.side, e.name, r.key, k.value FROM rules n
            {self._db.ordered_join} correlation_keys k ON k.rule = n.id AND k.resource=?1
            JOIN resources r ON r.stream = k.resource JOIN entity_types e ON e.id = r.entity_type
            ORDER BY n.name, n.side"""
        return list(self._keys(sql, (stream,)))

    def keys_equal_to_those_of(self, stream: int) -> list[CorrelationKey]:
        sql = f"""SELECT m.name, m.side, e.name, r.key, o.value FROM rules n
            {self._db.ordered_join} correlation_keys k ON k.rule = n.id AND k.resource=?1
            {self._db.ordered_join} rules m ON m.name = n.name AND m.side <> n.side
            {self._db.ordered_join} correlation_keys o ON o.rule = m.id AND {self._db.same("o.value", "k.value")}
            JOIN resources r ON r.stream = o.resource JOIN entity_types e ON e.id = r.entity_type
            ORDER BY m.name, m.side, r.key"""
        return list(self._keys(sql, (stream,)))

    def rules_that_hold(self, stream: int) -> list[str]:
        sql = f"""SELECT n.name FROM rules n {self._db.ordered_join} classifications c
            ON c.rule = n.id AND c.resource=?1 ORDER BY n.name"""
        return [name for (name,) in self._db.all(sql, (stream,))]

    def key_rules(self, rule: str | None = None) -> list[tuple[int, DerivedRule]]:
        kinds = self._db.array([kind.value for kind in (DerivationKind.SOURCE_KEY, DerivationKind.TARGET_KEY)])
        named = "" if rule is None else " AND name=?2"
        sql = f"""SELECT id, name, side, entity_type, digest FROM rules
            WHERE {self._db.among_texts("side", 1)}{named} ORDER BY name, side, entity_type"""
        rows = self._db.all(sql, (kinds,) if rule is None else (kinds, rule))
        return [(number, rule_of(*row)) for number, *row in rows]

    def keys_after(self, rule: int, after: str | None, at_most: int) -> list[tuple[str, str]]:
        entity_type = self._db.one("SELECT entity_type FROM rules WHERE id=?1", (rule,)) or ""
        # By the index of keys: a rule has a key for most resources, and only some are asked for.
        beyond = self._db.key_beyond(2, inclusive=after is None)
        sql = f"""SELECT key, (SELECT k.value FROM correlation_keys k WHERE k.rule=?3 AND k.resource=r.stream)
            FROM resources r WHERE entity_type=?1 AND {beyond}
            ORDER BY entity_type, {self._db.key_order}"""
        found: list[tuple[str, str]] = []
        rows = self._db.rows(sql, (self._type_id(entity_type), without_nul(after or ""), rule))
        for key, value in rows:
            if len(found) == at_most:
                break
            if value is not None:
                found.append((key, value))
        return found

    def key_values(
        self, rule: int, first: str, at_most: int, *, inclusive: bool = False, others: Sequence[int] = ()
    ) -> list[tuple[str, int]]:
        parameters: list[Any] = [rule, without_nul(first), at_most]
        matched = ""
        having = "HAVING count(*) > 1"
        if others:
            parameters.append(self._db.array(list(others)))
            same = self._db.same("o.value", "k.value")
            each = self._db.each_number(4, "w")
            matched = f"""AND EXISTS (SELECT 1 FROM {each} {self._db.ordered_join} correlation_keys o
                ON o.rule = w.value AND {same})"""
            having = ""
        beyond = self._db.value_beyond("k.value", 2, inclusive=inclusive)
        order = self._db.value_order("k.value")
        sql = f"""SELECT k.value, count(*) FROM correlation_keys k WHERE k.rule=?1 AND {beyond} {matched}
            GROUP BY {order} {having} ORDER BY {order} LIMIT ?3"""
        return [(value, int(count)) for value, count in self._db.all(sql, parameters)]

    def keys_with_values(self, rules: Sequence[int], values: Sequence[str]) -> Iterator[CorrelationKey]:
        sql = f"""SELECT n.name, n.side, e.name, r.key, k.value FROM {self._db.each_number(1, "a")}
            CROSS JOIN {self._db.each_text(2, "v")}
            {self._db.ordered_join} correlation_keys k ON k.rule = a.value AND {self._db.same("k.value", "v.value")}
            JOIN rules n ON n.id = k.rule JOIN resources r ON r.stream = k.resource
            JOIN entity_types e ON e.id = r.entity_type ORDER BY n.name, k.value, n.side, r.key"""
        return self._keys(sql, (self._db.array(list(rules)), self._db.array(list(values))))

    def classifications_after(
        self, entity_type: str, after: str | None, at_most: int
    ) -> tuple[list[tuple[str, list[str]]], str | None]:
        beyond = self._db.key_beyond(2, inclusive=after is None)
        sql = f"""SELECT key, stream FROM resources WHERE entity_type=?1 AND {beyond}
            ORDER BY entity_type, {self._db.key_order} LIMIT ?3"""
        rows = self._db.all(sql, (self._type_id(entity_type), without_nul(after or ""), at_most))
        holding = f"""SELECT c.resource, n.name FROM rules n CROSS JOIN {self._db.each_number(1, "w")}
            {self._db.ordered_join} classifications c ON c.rule = n.id AND c.resource = w.value
            WHERE n.entity_type=?2 ORDER BY n.name"""
        names: dict[int, list[str]] = {}
        for stream, name in self._db.all(holding, (self._db.array([stream for _, stream in rows]), entity_type)):
            names.setdefault(stream, []).append(name)
        found = [(key, names[stream]) for key, stream in rows if stream in names]
        return found, rows[-1][0] if len(rows) == at_most else None

    def correlation_keys(self, rules: Sequence[str] | None) -> Iterator[CorrelationKey]:
        order = "ORDER BY n.name, n.side, r.key"
        if rules is None:
            return self._keys(f"{_KEYS} {order}", ())
        sql = f"{_KEYS} WHERE {self._db.among_texts('n.name', 1)} {order}"
        return self._keys(sql, (self._db.array(list(rules)),))

    def matching_keys(self, rules: Sequence[str]) -> Iterator[CorrelationKey]:
        sql = f"""{_KEYS} WHERE {self._db.among_texts("n.name", 1)} AND EXISTS (
                SELECT 1 FROM rules m {self._db.ordered_join} correlation_keys o
                ON o.rule = m.id AND {self._db.same("o.value", "k.value")}
                WHERE m.name = n.name AND m.side <> n.side)
            ORDER BY n.name, k.value, n.side, r.key"""
        return self._keys(sql, (self._db.array(list(rules)),))

    def _keys(self, sql: str, parameters: Sequence[Any]) -> Iterator[CorrelationKey]:
        for rule, side, entity_type, key, value in self._db.rows(sql, parameters):
            yield CorrelationKey(rule=rule, side=side, entity_type=entity_type, key=key, value=value)
