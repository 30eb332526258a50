"""Names of rules."""

from __future__ import annotations

from deltamark.domain.configuration.rules import ResourceClassificationRule, ResourceCorrelationRule, rule_names


def rule(resource_type, identifier=None):
    return ResourceCorrelationRule(resource_type, "Mail", "ToLower", "Name", "ToUpper", identifier=identifier)


def test_rules_without_identifier_are_numbered_within_their_resource_type():
    rules = [rule("A"), rule("B"), rule("A"), rule("A", "Mine"), rule("A")]

    assert [name for name, _ in rule_names(rules)] == ["A_1", "B_1", "A_2", "Mine", "A_4"]


def test_classification_rules_are_numbered_separately():
    rules = [ResourceClassificationRule("A", "…"), ResourceClassificationRule("A", "…")]

    assert [name for name, _ in rule_names(rules)] == ["A_1", "A_2"]
