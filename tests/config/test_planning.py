"""Expressions are read once, before anything runs, and all their faults are reported together."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from attrs import evolve, field, frozen

from deltamark.application.derivation.plan import derivation_plan
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityType, Property
from deltamark.domain.configuration.rules import EntityPropertyExpression
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, Read
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.location import Location
from deltamark.domain.validation.validate import MOST_FAULTS


@frozen
class FakeEvaluator:
    """Takes the names that an expression reads for the expression; `?` is refused, `!` cannot be evaluated."""

    asked: list[str] = field(factory=list)

    def reads(self, derivation: Derivation) -> tuple[Read, ...]:
        self.asked.append(derivation.name)
        if derivation.expression == "?":
            raise ExpressionRefused("is a riddle; write it plainly")
        return tuple(Read((), name) for name in (derivation.expression or "").split() if name != "!")

    def faults(self, derivations: Iterable[Derivation]) -> tuple[Fault, ...]:
        return tuple(
            Fault(derivation.location, f"{derivation.described} cannot be evaluated")
            for derivation in derivations
            if "!" in (derivation.expression or "")
        )


def configured(**expressions: str) -> Configuration:
    """Properties of T with their expressions, one per line, in reverse order."""
    lines = {name: len(expressions) - number for number, name in enumerate(expressions)}
    return Configuration(
        entity_types=[EntityType("T", [Property("Key", is_key=True), *(Property(name) for name in expressions)])],
        property_expressions=[
            EntityPropertyExpression(name, "T", name, expression=text, location=Location("a.xml", lines[name]))
            for name, text in expressions.items()
        ],
    )


def faults_of(configuration: Configuration) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        derivation_plan(configuration, FakeEvaluator())
    return [str(fault) for fault in refused.value.faults]


def test_valid_expressions_give_the_plan_and_are_read_once_each():
    evaluator = FakeEvaluator()

    plan = derivation_plan(configured(A="B", B="C", C="Key"), evaluator)

    assert [item.derivation.name for item in plan.derived] == ["C", "B", "A"]
    assert evaluator.asked == ["A", "B", "C"]


def test_all_faults_of_expressions_are_reported_in_file_order():
    messages = faults_of(configured(Odd="?", Own="Own", There="Back", Back="There", Wrong="!", Right="Key"))

    assert messages == [
        "a.xml:2: the expression of T:Wrong cannot be evaluated",
        "a.xml:3: computed properties read each other in a cycle: T:Back -> T:There -> T:Back; let one of them read "
        "something else",
        "a.xml:5: the expression of T:Own reads the property that it computes; a value cannot depend on itself",
        "a.xml:6: the expression of T:Odd is a riddle; write it plainly",
    ]


def test_reading_a_refused_expression_is_not_a_second_fault():
    assert faults_of(configured(Odd="?", Reader="Odd")) == [
        "a.xml:2: the expression of T:Odd is a riddle; write it plainly"
    ]


def test_the_number_of_reported_faults_is_limited():
    messages = faults_of(configured(**{f"P{number}": "?" for number in range(MOST_FAULTS + 5)}))

    assert len(messages) == MOST_FAULTS + 1
    assert any("there are more than 200 faults of this kind" in message for message in messages)


def test_a_configuration_without_rules_has_an_empty_plan():
    assert derivation_plan(evolve(configured(), property_expressions=[]), FakeEvaluator()).derived == ()
