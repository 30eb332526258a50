"""Classifying: which resource type each target resource is, of all the rules that hold for it."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application.ports.reading import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.rules import rule_names
from deltamark.domain.history.changes import Classification


def classifications(
    reading: Reading, configuration: Configuration, entity_type: str | None
) -> Iterator[Classification]:
    """The classification of each resource that some rule holds for, by entity type and key.

    Of several rules, that with the highest confidence counts; of equals, the first in the configuration.
    """
    rules = dict(rule_names(configuration.classification_rules))
    order = {
        name: (-rule.resource_type_identification_confidence_level, n) for n, (name, rule) in enumerate(rules.items())
    }
    targets = {owner.identifier: owner.target_entity_type for owner in configuration.resource_types}
    names = sorted({targets[rule.resource_type] for rule in rules.values()})
    for name in names if entity_type is None else [entity_type]:
        for key, holding in reading.classifications(name):
            known = [rule for rule in holding if rule in rules]
            if known:
                best = min(known, key=lambda rule: order[rule])
                yield Classification(
                    entity_type=name,
                    key=key,
                    resource_type=rules[best].resource_type,
                    rule=best,
                    confidence=rules[best].resource_type_identification_confidence_level,
                )
