"""Compares the derived values of two views of a store, set by set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.application.derivation.results import classifications
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.rules import DerivationKind, rule_names
from deltamark.domain.derivation.simulation import DerivedChange, DerivedDifference, DerivedKind
from deltamark.domain.values import Value, same_value

CHANGES = pa.schema(
    [
        ("kind", pa.string()),
        ("entity_type", pa.string()),
        ("name", pa.string()),
        ("key", pa.string()),
        ("other_key", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
    ]
)
"""All changes of a simulation. ``before`` and ``after`` are JSON; null is no value."""

MOST_PAIRS = 1_000_000
"""So many pairs of a rule are listed; all of them are counted."""

_ROWS = pa.schema([("key", pa.string()), ("other_key", pa.string()), ("before", pa.string()), ("after", pa.string())])
_VALUES = pa.schema([("key", pa.string()), ("value", pa.string())])
_KINDS = {
    DerivationKind.SOURCE_KEY: DerivedKind.SOURCE_KEY,
    DerivationKind.TARGET_KEY: DerivedKind.TARGET_KEY,
    DerivationKind.CLASSIFICATION: DerivedKind.CLASSIFICATION_RULE,
}


@frozen(kw_only=True)
class View:
    """A view of a store, and the configuration that says which rules count in it; None where it is not known."""

    reading: Reading
    configuration: Configuration | None


@frozen(kw_only=True)
class Differing:
    """The values of one property or rule that differ.

    :param rows: as `_ROWS`, in the order of keys.
    :param counts: how many were added, changed and removed; of pairs there may be more than rows.
    """

    kind: DerivedKind
    entity_type: str
    name: str
    rows: pa.Table
    counts: tuple[int, int, int]

    def difference(self, samples: int) -> DerivedDifference:
        """What a user is shown, with the first so many changes."""
        added, changed, removed = self.counts
        return DerivedDifference(
            kind=self.kind,
            entity_type=self.entity_type,
            name=self.name,
            added=added,
            changed=changed,
            removed=removed,
            samples=[
                DerivedChange(
                    key=row["key"],
                    other_key=row["other_key"],
                    before=_value(row["before"]),
                    after=_value(row["after"]),
                )
                for row in self.rows.slice(0, samples).to_pylist()
            ],
        )

    @property
    def changes(self) -> pa.Table:
        """Its rows among those of all."""
        rows = self.rows
        for name, value in (("name", self.name), ("entity_type", self.entity_type), ("kind", self.kind.value)):
            rows = rows.add_column(0, name, pa.repeat(pa.scalar(value), rows.num_rows))
        return rows.select(CHANGES.names).cast(CHANGES)


def differing(before: View, after: View) -> list[Differing]:
    """The properties and rules whose values differ, by kind, entity type and name."""
    found = [
        *_properties(before.reading, after.reading),
        *_RuleComparison(before, after).differing(),
        *_classifications(before, after),
    ]
    kinds = list(DerivedKind)
    return sorted(found, key=lambda item: (kinds.index(item.kind), item.entity_type, item.name))


def _properties(before: Reading, after: Reading) -> Iterator[Differing]:
    for entity_type in sorted({*before.stored_entity_types(), *after.stored_entity_types()}):
        both = _both(_computed(before, entity_type), _computed(after, entity_type))
        rows: dict[str, list[tuple[str, None, str | None, str | None]]] = {}
        keys, olds, news = (both.column(name).to_pylist() for name in ("key", "before", "after"))
        for key, old_text, new_text in zip(keys, olds, news, strict=True):
            old, new = _object(old_text), _object(new_text)
            for name in old.keys() | new.keys():
                if not same_value(old.get(name), new.get(name)):
                    rows.setdefault(name, []).append((key, None, _json(old.get(name)), _json(new.get(name))))
        for name, of_name in rows.items():
            columns = dict(zip(_ROWS.names, map(list, zip(*of_name, strict=True)), strict=True))
            yield _counted(DerivedKind.PROPERTY, entity_type, name, pa.table(columns, schema=_ROWS))


def _computed(reading: Reading, entity_type: str) -> pa.Table:
    rows = reading.resources_at(entity_type, None).select(["key", "computed"]).rename_columns(_VALUES.names)
    return rows.filter(pc.not_equal(rows.column("value"), "{}"))


def _both(before: pa.Table, after: pa.Table, *, differing_only: bool = True) -> pa.Table:
    """Two tables as `_VALUES` side by side, by key: ``key``, ``before``, ``after``."""
    both = before.rename_columns(["key", "before"]).join(
        after.rename_columns(["key", "after"]), "key", join_type="full outer"
    )
    both = both.filter(_differs(both)) if differing_only else both
    return both.sort_by("key")


def _differs(both: pa.Table) -> pa.ChunkedArray:
    before, after = both.column("before"), both.column("after")
    is_one_null = pc.xor(pc.is_null(before), pc.is_null(after))
    return pc.or_(is_one_null, pc.fill_null(pc.not_equal(before, after), False))


def _counted(kind: DerivedKind, entity_type: str, name: str, rows: pa.Table) -> Differing:
    added, removed = rows.column("before").null_count, rows.column("after").null_count
    return Differing(
        kind=kind,
        entity_type=entity_type,
        name=name,
        rows=rows,
        counts=(added, rows.num_rows - added - removed, removed),
    )


class _RuleComparison:
    """Compares keys, the pairs that they match, and the resources for which classification rules hold."""

    def __init__(self, before: View, after: View) -> None:
        self._before, self._after = before, after
        self._keys: dict[tuple[int, str], pa.Table] = {}
        self._sides: dict[str, dict[DerivationKind, dict[str, pa.Table]]] = {}
        """Rule -> side -> entity type -> key, before, after."""

    def differing(self) -> Iterator[Differing]:
        before, after = (_rules(view.reading) for view in (self._before, self._after))
        changed: dict[str, None] = {}
        for kind, entity_type, name in sorted(
            before.keys() | after.keys(), key=lambda rule: (rule[0].value, *rule[1:])
        ):
            named = kind, entity_type, name
            both = _both(
                self._values(self._before.reading, before.get(named)),
                self._values(self._after.reading, after.get(named)),
                differing_only=kind is DerivationKind.CLASSIFICATION,
            )
            if kind is not DerivationKind.CLASSIFICATION:
                self._sides.setdefault(name, {}).setdefault(kind, {})[entity_type] = both
                both = both.filter(_differs(both))
            if both.num_rows:
                changed |= {} if kind is DerivationKind.CLASSIFICATION else {name: None}
                rows = _as_rows(both, are_json=kind is DerivationKind.CLASSIFICATION)
                yield _counted(_KINDS[kind], entity_type, name, rows)
        counting = _correlating(self._before.configuration), _correlating(self._after.configuration)
        for name in dict.fromkeys([*changed, *_not_in_both(counting, self._sides)]):
            yield from self._pairs(name, counting)

    def _values(self, reading: Reading, rule: DerivedRule | None) -> pa.Table:
        """The keys that a rule gives, or true for each resource for which it holds, by the key of the resource."""
        if rule is None:
            return _VALUES.empty_table()
        if rule.kind is DerivationKind.CLASSIFICATION:
            streams = reading.classified(rule)
            values = pa.table({"stream": streams, "value": pa.repeat(pa.scalar("true"), len(streams))})
        else:
            values = reading.stored_keys(rule)
        place = (id(reading), rule.entity_type)
        if place not in self._keys:
            self._keys[place] = reading.resources_at(rule.entity_type, None).select(["stream", "key"])
        return self._keys[place].join(values, "stream", join_type="inner").select(_VALUES.names).cast(_VALUES)

    def _pairs(self, rule: str, counting: tuple[set[str] | None, set[str] | None]) -> Iterator[Differing]:
        sides = self._sides.get(rule, {})
        targets = [
            _counting(both, rule, counting).append_column("type", pa.repeat(pa.scalar(name), both.num_rows))
            for name, both in sides.get(DerivationKind.TARGET_KEY, {}).items()
        ]
        if not targets:
            return
        of_targets = pa.concat_tables(targets)
        for entity_type, both in sides.get(DerivationKind.SOURCE_KEY, {}).items():
            pairs = _differing_pairs(_counting(both, rule, counting), of_targets)
            if sum(pairs[1]):
                yield Differing(
                    kind=DerivedKind.MATCH, entity_type=entity_type, name=rule, rows=pairs[0], counts=pairs[1]
                )


def _rules(reading: Reading) -> dict[tuple[DerivationKind, str, str], DerivedRule]:
    return {
        (rule.kind, rule.entity_type, rule.name): rule
        for rule in reading.rules_computed()
        if rule.kind is not DerivationKind.PROPERTY
    }


def _correlating(configuration: Configuration | None) -> set[str] | None:
    return None if configuration is None else {name for name, _ in rule_names(configuration.correlation_rules)}


def _not_in_both(counting: tuple[set[str] | None, set[str] | None], names: Mapping[str, object]) -> list[str]:
    """The rules with keys that match in one configuration and not in the other."""
    return [name for name in names if _counts(name, counting[0]) != _counts(name, counting[1])]


def _counts(rule: str, configured: set[str] | None) -> bool:
    return configured is None or rule in configured


def _counting(both: pa.Table, rule: str, counting: tuple[set[str] | None, set[str] | None]) -> pa.Table:
    """Keys before and after, without those that match nothing because the rule is not configured."""
    nothing = pa.nulls(both.num_rows, pa.string())
    for name, configured in zip(("before", "after"), counting, strict=True):
        if not _counts(rule, configured):
            both = both.set_column(both.schema.get_field_index(name), name, nothing)
    return both.select(["key", "before", "after"])


def _differing_pairs(sources: pa.Table, targets: pa.Table) -> tuple[pa.Table, tuple[int, int, int]]:
    """The pairs that are matched before or after only, or by another key, and how many there are of each.

    They are counted without being made: a rule that gives all the same key matches all with all.

    :param sources: ``key``, ``before``, ``after``.
    :param targets: likewise, and ``type``, their entity type.
    """
    counted = sources
    for name, on in (("old", ["before"]), ("new", ["after"]), ("kept", ["before", "after"])):
        # A null is equal to none: resources without a key are no pair.
        number = targets.group_by(on).aggregate([([], "count_all")]).select([*on, "count_all"])
        number = number.rename_columns([*on, name])
        counted = counted.join(number, on, join_type="left outer")
    old, new, kept = (pc.fill_null(counted.column(name), 0) for name in ("old", "new", "kept"))
    same = pc.fill_null(pc.equal(counted.column("before"), counted.column("after")), False)
    changed = pc.if_else(same, pa.scalar(0, pa.int64()), kept)
    added, removed = pc.subtract(new, kept), pc.subtract(old, kept)
    totals = tuple(int(pc.sum(column).as_py() or 0) for column in (added, changed, removed))
    differing = pc.add(pc.add(added, removed), changed)
    chosen = counted.select(["key", "before", "after"]).append_column("pairs", differing)
    chosen = chosen.filter(pc.greater(differing, 0)).sort_by("key")
    above = pc.subtract(pc.cumulative_sum(chosen.column("pairs").combine_chunks()), chosen.column("pairs"))
    chosen = chosen.filter(pc.less(above, MOST_PAIRS)) if chosen.num_rows else chosen
    return _pairs_of(chosen.select(["key", "before", "after"]), targets), (totals[0], totals[1], totals[2])


def _pairs_of(sources: pa.Table, targets: pa.Table) -> pa.Table:
    """The pairs of some sources that differ, as `_ROWS`."""
    found = []
    for name in ("before", "after"):
        matched = sources.select(["key", name]).join(
            targets.select(["type", "key", name]).rename_columns(["type", "other_key", name]), name, join_type="inner"
        )
        found.append(matched.select(["key", "type", "other_key", name]))
    pairs = found[0].join(found[1], ["key", "type", "other_key"], join_type="full outer")
    pairs = pairs.filter(_differs(pairs)).sort_by([("key", "ascending"), ("other_key", "ascending")])
    return _as_rows(pairs)


def _classifications(before: View, after: View) -> Iterator[Differing]:
    """The resources whose resource type differs, by entity type."""
    old, new = _resource_types(before, after.configuration), _resource_types(after, after.configuration)
    for entity_type in sorted(old.keys() | new.keys()):
        both = _both(old.get(entity_type, _VALUES.empty_table()), new.get(entity_type, _VALUES.empty_table()))
        if both.num_rows:
            yield _counted(DerivedKind.CLASSIFICATION, entity_type, "", _as_rows(both))


def _resource_types(view: View, otherwise: Configuration | None) -> dict[str, pa.Table]:
    configuration = view.configuration or otherwise
    assert configuration is not None, "the other configuration is known"
    found: dict[str, tuple[list[str], list[str]]] = {}
    for item in classifications(view.reading, configuration, None):
        keys, types = found.setdefault(item.entity_type, ([], []))
        keys.append(item.key)
        types.append(item.resource_type)
    return {name: pa.table({"key": keys, "value": types}, schema=_VALUES) for name, (keys, types) in found.items()}


def _as_rows(both: pa.Table, *, are_json: bool = False) -> pa.Table:
    """Texts before and after as `_ROWS`, in JSON."""
    columns: dict[str, Any] = {
        "key": both.column("key"),
        "other_key": both.column("other_key") if "other_key" in both.column_names else pa.nulls(both.num_rows),
    }
    for name in ("before", "after"):
        column = both.column(name)
        columns[name] = column if are_json else pa.array([_json(text) for text in column.to_pylist()], pa.string())
    return pa.table(columns).cast(_ROWS)


def _json(value: Value) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _value(text: str | None) -> Value:
    value: Value = None if text is None else orjson.loads(text)
    return value


def _object(text: str | None) -> dict[str, Value]:
    values: dict[str, Value] = {} if text is None else orjson.loads(text)
    return values
