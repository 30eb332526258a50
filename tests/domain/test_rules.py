"""Correlation rules: their names and their sides."""

from __future__ import annotations

from deltamark.domain.location import Location
from deltamark.domain.rules import KeySide, ResourceCorrelationRule, ResourceType, key_sides, rule_names


def rule(resource_type, identifier=None):
    return ResourceCorrelationRule(resource_type, "Mail", "ToLower", "Name", "ToUpper", identifier=identifier)


def test_rules_are_numbered_within_their_resource_type_unless_they_have_a_name():
    rules = [rule("A"), rule("B"), rule("A"), rule("A", "Mine"), rule("A")]

    assert [name for name, _ in rule_names(rules)] == ["A_1", "B_1", "A_2", "Mine", "A_4"]


def test_a_rule_has_a_source_side_and_a_target_side():
    sides = key_sides([rule("Account")], [ResourceType("Account", "Person", "User")])

    assert sides == (
        KeySide("Account_1", "source", "Person", "Mail", "ToLower"),
        KeySide("Account_1", "target", "User", "Name", "ToUpper"),
    )


def test_the_definition_of_a_side_changes_with_everything_but_its_place_in_a_file():
    base = KeySide("R", "source", "Person", "Mail", "ToLower")
    others = [
        KeySide("Q", "source", "Person", "Mail", "ToLower"),
        KeySide("R", "target", "Person", "Mail", "ToLower"),
        KeySide("R", "source", "User", "Mail", "ToLower"),
        KeySide("R", "source", "Person", "Name", "ToLower"),
        KeySide("R", "source", "Person", "Mail", "ToUpper"),
        KeySide("R", "source", "Person", "Mail", None),
    ]

    assert len({side.definition for side in [base, *others]}) == 7
    moved = KeySide("R", "source", "Person", "Mail", "ToLower", location=Location("a.xml", 3))
    assert moved.definition == base.definition
