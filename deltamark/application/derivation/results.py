"""Results of derivations: classifications of resources, and pairs with equal keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TypeAlias

from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.rules import ResourceClassificationRule, rule_names
from deltamark.domain.history.changes import Classification, CorrelationKey, MatchedPair
from deltamark.domain.resources.resource import ResourceRef

_Ranked: TypeAlias = "tuple[Mapping[str, ResourceClassificationRule], Mapping[str, tuple[int, int]]]"


def classifications(
    reading: Reading, configuration: Configuration, entity_type: str | None
) -> Iterator[Classification]:
    """The classification of each resource for which a rule holds, by entity type and key.

    Of several rules, the one with the highest confidence counts; of equals, the first in the configuration.
    """
    rules = dict(rule_names(configuration.classification_rules))
    targets = {owner.identifier: owner.target_entity_type for owner in configuration.resource_types}
    names = sorted({targets[rule.resource_type] for rule in rules.values()})
    ranked = _ranked(configuration)
    for name in names if entity_type is None else [entity_type]:
        for key, holding in reading.classifications(name):
            best = _best(ranked, ResourceRef(name, key), holding)
            if best is not None:
                yield best


def _ranked(configuration: Configuration) -> _Ranked:
    """The classification rules by name, and the rank of each."""
    rules = dict(rule_names(configuration.classification_rules))
    rank = {
        name: (-rule.resource_type_identification_confidence_level, number)
        for number, (name, rule) in enumerate(rules.items())
    }
    return rules, rank


def best_classification(
    configuration: Configuration, ref: ResourceRef, holding: Iterable[str]
) -> Classification | None:
    """The classification of a resource by the rules that hold for it; None where none of the configuration does."""
    return _best(_ranked(configuration), ref, holding)


def _best(ranked: _Ranked, ref: ResourceRef, holding: Iterable[str]) -> Classification | None:
    rules, rank = ranked
    best = min((name for name in holding if name in rules), key=lambda name: rank[name], default=None)
    if best is None:
        return None
    return Classification(
        entity_type=ref.entity_type,
        key=ref.key,
        resource_type=rules[best].resource_type,
        rule=best,
        confidence=rules[best].resource_type_identification_confidence_level,
    )


def pairs_of(reading: Reading, configuration: Configuration, stream: int) -> Iterator[MatchedPair]:
    """The pairs that one resource is in, by rule and the other resource."""
    confidence = {
        name: configured.source_matched_confidence_level
        for name, configured in rule_names(configuration.correlation_rules)
    }
    own = {(key.rule, key.side): key for key in reading.keys_of(stream)}
    for other in reading.keys_equal_to_those_of(stream):
        side = "target" if other.side == "source" else "source"
        key = own.get((other.rule, side))
        if key is None or other.rule not in confidence:
            continue
        source, target = (key, other) if side == "source" else (other, key)
        yield MatchedPair(
            rule=other.rule,
            value=other.value,
            source_entity_type=source.entity_type,
            source_key=source.key,
            target_entity_type=target.entity_type,
            target_key=target.key,
            confidence=confidence[other.rule],
        )


def matched_pairs(reading: Reading, configuration: Configuration, rule: str | None) -> Iterator[MatchedPair]:
    """The pairs with equal keys of a rule, or of all rules, by rule, value, source and target."""
    rules = [name for name, _ in rule_names(configuration.correlation_rules)] if rule is None else [rule]
    return pairs_with_equal_keys(configuration, reading.matching_keys(rules))


def pairs_with_equal_keys(configuration: Configuration, sorted_keys: Iterable[CorrelationKey]) -> Iterator[MatchedPair]:
    """The pairs among some keys, which are sorted by rule, value, side and resource."""
    confidence = {
        name: configured.source_matched_confidence_level
        for name, configured in rule_names(configuration.correlation_rules)
    }
    for (name, value), equal in groupby(sorted_keys, key=lambda key: (key.rule, key.value)):
        keys = list(equal)
        for source in (key for key in keys if key.side == "source"):
            for target in (key for key in keys if key.side == "target"):
                yield MatchedPair(
                    rule=name,
                    value=value,
                    source_entity_type=source.entity_type,
                    source_key=source.key,
                    target_entity_type=target.entity_type,
                    target_key=target.key,
                    confidence=confidence[name],
                )
