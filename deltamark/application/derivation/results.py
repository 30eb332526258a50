"""Results of derivations: classifications of resources, and pairs with equal keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.rules import rule_names
from deltamark.domain.history.changes import Classification, MatchedPair


def classifications(
    reading: Reading, configuration: Configuration, entity_type: str | None
) -> Iterator[Classification]:
    """The classification of each resource for which a rule holds, by entity type and key.

    Of several rules, the one with the highest confidence counts; of equals, the first in the configuration.
    """
    rules = dict(rule_names(configuration.classification_rules))
    rank = {
        name: (-rule.resource_type_identification_confidence_level, number)
        for number, (name, rule) in enumerate(rules.items())
    }
    targets = {owner.identifier: owner.target_entity_type for owner in configuration.resource_types}
    names = sorted({targets[rule.resource_type] for rule in rules.values()})
    for name in names if entity_type is None else [entity_type]:
        for key, holding in reading.classifications(name):
            configured = [rule for rule in holding if rule in rules]
            if configured:
                best = min(configured, key=lambda rule: rank[rule])
                yield Classification(
                    entity_type=name,
                    key=key,
                    resource_type=rules[best].resource_type,
                    rule=best,
                    confidence=rules[best].resource_type_identification_confidence_level,
                )


def matched_pairs(reading: Reading, configuration: Configuration, rule: str | None) -> Iterator[MatchedPair]:
    """The pairs with equal keys of a rule, or of all rules, by rule, value, source and target."""
    confidence = {
        name: configured.source_matched_confidence_level
        for name, configured in rule_names(configuration.correlation_rules)
    }
    rules = list(confidence) if rule is None else [rule]
    for (name, value), equal in groupby(reading.matching_keys(rules), key=lambda key: (key.rule, key.value)):
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
