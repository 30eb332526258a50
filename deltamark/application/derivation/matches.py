"""Matching: which source and target resources have equal correlation keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from deltamark.application.ports.reading import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.rules import rule_names
from deltamark.domain.history.changes import MatchedPair


def matched_pairs(reading: Reading, configuration: Configuration, rule: str | None) -> Iterator[MatchedPair]:
    """The pairs of a rule, or of all rules, by rule, value, source and target."""
    confidence = {
        name: found.source_matched_confidence_level for name, found in rule_names(configuration.correlation_rules)
    }
    rules = list(confidence) if rule is None else [rule]
    for (name, value), keys in groupby(reading.matching_keys(rules), key=lambda key: (key.rule, key.value)):
        found = list(keys)
        for source in (key for key in found if key.side == "source"):
            for target in (key for key in found if key.side == "target"):
                yield MatchedPair(
                    rule=name,
                    value=value,
                    source_entity_type=source.entity_type,
                    source_key=source.key,
                    target_entity_type=target.entity_type,
                    target_key=target.key,
                    confidence=confidence[name],
                )
