"""Derivations: what a configuration derives from each kind of rule."""

from __future__ import annotations

from attrs import evolve

from deltamark.domain.configuration.rules import (
    DerivationKind,
    EntityPropertyExpression,
    ResourceClassificationRule,
    ResourceCorrelationRule,
)
from deltamark.domain.derivation.derivations import Derivation, derivations
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType
from tests.domain.model import MODEL


def test_every_rule_gives_its_derivations():
    place = Location("rules.xml", 7)
    configuration = evolve(
        MODEL,
        property_expressions=[
            EntityPropertyExpression("Years", "Person", "Age", "Mail", "Trim", priority=3, location=place)
        ],
        correlation_rules=[ResourceCorrelationRule("Head", "Mail", "ToLower", "Label", "Trim", location=place)],
        classification_rules=[ResourceClassificationRule("Head", "SQL:d: true", identifier="All", location=place)],
    )

    configured = derivations(configuration)

    assert configured == (
        Derivation(
            kind=DerivationKind.PROPERTY,
            name="Age",
            entity_type="Person",
            binding="Mail",
            expression="Trim",
            result=PropertyType.INT32,
            priority=3,
        ),
        Derivation(
            kind=DerivationKind.SOURCE_KEY, name="Head_1", entity_type="Person", binding="Mail", expression="ToLower"
        ),
        Derivation(
            kind=DerivationKind.TARGET_KEY, name="Head_1", entity_type="Department", binding="Label", expression="Trim"
        ),
        Derivation(
            kind=DerivationKind.CLASSIFICATION,
            name="All",
            entity_type="Department",
            expression="SQL:d: true",
            result=PropertyType.BOOL,
        ),
    )
    assert {derivation.location for derivation in configured} == {place}


def test_rules_about_unknown_types_give_no_derivations():
    configuration = evolve(
        MODEL,
        property_expressions=[
            EntityPropertyExpression("A", "Person", "Unknown", "Mail"),
            EntityPropertyExpression("B", "Unknown", "Age", "Mail"),
        ],
        correlation_rules=[ResourceCorrelationRule("Unknown", "Mail", None, "Label", None)],
        classification_rules=[ResourceClassificationRule("Unknown", "SQL:d: true")],
    )

    assert derivations(configuration) == ()


BASE = Derivation(kind=DerivationKind.SOURCE_KEY, name="R", entity_type="Person", binding="Mail", expression="ToLower")


def test_the_definition_changes_with_everything_that_determines_the_value():
    others = [
        evolve(BASE, name="Q"),
        evolve(BASE, kind=DerivationKind.TARGET_KEY),
        evolve(BASE, kind=DerivationKind.PROPERTY),
        evolve(BASE, entity_type="User"),
        evolve(BASE, binding="Name"),
        evolve(BASE, binding=None),
        evolve(BASE, expression="ToUpper"),
        evolve(BASE, expression=None),
        evolve(BASE, result=PropertyType.INT32),
    ]

    assert len({derivation.definition for derivation in [BASE, *others]}) == 10


def test_the_definition_depends_neither_on_location_nor_on_notation():
    assert evolve(BASE, location=Location("a.xml", 3)).definition == BASE.definition
    assert evolve(BASE, priority=4).definition == BASE.definition
    assert evolve(BASE, binding=" Person:Mail ").definition == BASE.definition


def test_a_binding_may_begin_only_with_its_own_entity_type():
    assert evolve(BASE, binding="Person:Manager.Mail").bound_to == "Manager.Mail"
    assert evolve(BASE, binding="User:Mail").bound_to == "User:Mail"
    assert evolve(BASE, binding=None).bound_to == ""


def test_a_derivation_is_the_subject_of_a_sentence():
    assert evolve(BASE, kind=DerivationKind.PROPERTY, name="Age").described == "the expression of Person:Age"
    assert BASE.described == "the source expression of rule R"
    assert evolve(BASE, kind=DerivationKind.TARGET_KEY).described == "the target expression of rule R"
    assert evolve(BASE, kind=DerivationKind.CLASSIFICATION).described == "the expression of classification rule R"
