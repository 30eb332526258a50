"""Keys, pairs, ambiguous values and classifications, some at a time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice

from deltamark.application.derivation.results import best_classification, pairs_with_equal_keys
from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.rules import DerivationKind, rule_names
from deltamark.domain.history.changes import Classification, CorrelationKey, MatchedPair
from deltamark.domain.history.pages import AmbiguousKey
from deltamark.domain.resources.resource import ResourceRef

_AT_ONCE = 500

_SHOWN = 10
"""So many of the resources that share a value are named."""


def some_keys(reading: Reading, rule: str | None, after: CorrelationKey | None, limit: int) -> list[CorrelationKey]:
    """Some correlation keys by rule, side, entity type and resource."""
    found: list[CorrelationKey] = []
    for number, side in reading.key_rules(rule):
        begin = None
        if after is not None:
            place = (side.name, side.kind.value, side.entity_type)
            last = (after.rule, after.side, after.entity_type)
            if place < last:
                continue
            begin = after.key if place == last else None
        for key, value in reading.keys_after(number, begin, limit - len(found)):
            found.append(
                CorrelationKey(rule=side.name, side=side.kind.value, entity_type=side.entity_type, key=key, value=value)
            )
        if len(found) == limit:
            break
    return found


def some_pairs(
    reading: Reading, configuration: Configuration, rule: str | None, after: MatchedPair | None, limit: int
) -> list[MatchedPair]:
    """Some pairs with equal keys, by rule, value, source and target."""
    names = sorted({name for name, _ in rule_names(configuration.correlation_rules) if rule in (None, name)})
    pairs = (pair for name in names for pair in _pairs_of_rule(reading, configuration, name, after))
    return list(islice(pairs, limit))


def _pairs_of_rule(
    reading: Reading, configuration: Configuration, name: str, after: MatchedPair | None
) -> Iterator[MatchedPair]:
    if after is not None and name < after.rule:
        return
    first = after.value if after is not None and name == after.rule else ""
    is_first = True
    sources, targets = _sides(reading, name)
    begin: MatchedPair | None = after if after is not None and name == after.rule else None
    while True:
        values = _values(reading, sources, first, targets, is_first)
        if not values:
            return
        for pair in pairs_with_equal_keys(configuration, reading.keys_with_values([*sources, *targets], values)):
            if begin is None or _place(pair) > _place(begin):
                yield pair
        first, is_first = values[-1], False


def _place(pair: MatchedPair) -> tuple[bytes, ...]:
    parts = (pair.value, pair.source_key, pair.source_entity_type, pair.target_key, pair.target_entity_type)
    return tuple(part.encode() for part in parts)


def _sides(reading: Reading, name: str) -> tuple[list[int], list[int]]:
    rules = reading.key_rules(name)
    sources = [number for number, side in rules if side.kind is DerivationKind.SOURCE_KEY]
    return sources, [number for number, side in rules if side.kind is DerivationKind.TARGET_KEY]


def _values(reading: Reading, rules: Iterable[int], first: str, others: list[int], is_first: bool) -> list[str]:
    """The first values that a side of a rule shares with others."""
    if not others:
        return []
    of_each = [
        [value for value, _ in reading.key_values(rule, first, _AT_ONCE, inclusive=is_first, others=others)]
        for rule in rules
    ]
    merged = heapq.merge(*of_each, key=str.encode)
    return list(islice(dict.fromkeys(merged), _AT_ONCE))


def ambiguous_keys(reading: Reading, rule: str, after: str | None, limit: int) -> list[AmbiguousKey]:
    """Values of a correlation rule that several resources have on one side, ascending."""
    sources, targets = _sides(reading, rule)
    of_each = [
        [value for value, _ in reading.key_values(number, after or "", limit, inclusive=after is None)]
        for number in (*sources, *targets)
    ]
    values = list(islice(dict.fromkeys(heapq.merge(*of_each, key=str.encode)), limit))
    sides: dict[str, tuple[list[ResourceRef], list[ResourceRef]]] = {value: ([], []) for value in values}
    for key in reading.keys_with_values([*sources, *targets], values):
        sides[key.value][key.side == DerivationKind.TARGET_KEY.value].append(ResourceRef(key.entity_type, key.key))
    return [
        AmbiguousKey(
            rule=rule,
            value=value,
            source_count=len(on_source),
            target_count=len(on_target),
            sources=tuple(on_source[:_SHOWN]),
            targets=tuple(on_target[:_SHOWN]),
        )
        for value, (on_source, on_target) in sides.items()
    ]


def some_classifications(
    reading: Reading, configuration: Configuration, entity_type: str | None, after: ResourceRef | None, limit: int
) -> list[Classification]:
    """Some classifications by entity type and key."""
    rules = dict(rule_names(configuration.classification_rules))
    targets = {owner.identifier: owner.target_entity_type for owner in configuration.resource_types}
    names = sorted({targets[rule.resource_type] for rule in rules.values()}) if entity_type is None else [entity_type]
    found: list[Classification] = []
    for name in names:
        if after is not None and name < after.entity_type:
            continue
        key = after.key if after is not None and name == after.entity_type else None
        while len(found) < limit:
            classified, reached = reading.classifications_after(name, key, _AT_ONCE)
            for of_key, holding in classified:
                best = best_classification(configuration, ResourceRef(name, of_key), holding)
                found += [] if best is None else [best]
            if reached is None:
                break
            key = reached
    return found[:limit]
