"""Expressions are read once, before anything runs, and everything that is wrong with them is told together."""

from __future__ import annotations

import pytest
from attrs import evolve, field, frozen

from deltamark.application.derivation.plan import planned
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
    """Expressions are the names that they read, with blanks between them, `?` (refused) or `!` (not evaluated)."""

    asked: list[str] = field(factory=list)

    def reads(self, derivation: Derivation) -> tuple[Read, ...]:
        self.asked.append(derivation.name)
        if derivation.expression == "?":
            raise ExpressionRefused("is a riddle; write it plainly")
        return tuple(Read((), name) for name in (derivation.expression or "").split() if name != "!")

    def fault(self, derivation: Derivation) -> Fault | None:
        wrong = "!" in (derivation.expression or "")
        return Fault(derivation.location, f"{derivation.described} cannot be evaluated") if wrong else None


def configured(**expressions: str) -> Configuration:
    """Properties of T with their expressions, one a line, the last one first in the file."""
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
        planned(configuration, FakeEvaluator())
    return [str(fault) for fault in refused.value.faults]


def test_sound_expressions_give_the_plan_and_are_read_once_each():
    evaluator = FakeEvaluator()

    found = planned(configured(A="B", B="C", C="Key"), evaluator)

    assert [one.derivation.name for one in found.derived] == ["C", "B", "A"]
    assert evaluator.asked == ["A", "B", "C"]


def test_what_is_refused_what_is_a_circle_and_what_cannot_be_evaluated_is_told_in_file_order():
    told = faults_of(configured(Odd="?", Own="Own", There="Back", Back="There", Wrong="!", Right="Key"))

    assert told == [
        "a.xml:2: the expression of T:Wrong cannot be evaluated",
        "a.xml:3: computed properties read each other in a cycle: T:Back -> T:There -> T:Back; let one of them read "
        "something else",
        "a.xml:5: the expression of T:Own reads the property that it computes; a value cannot need itself",
        "a.xml:6: the expression of T:Odd is a riddle; write it plainly",
    ]


def test_what_reads_a_refused_expression_is_no_fault_of_its_own():
    assert faults_of(configured(Odd="?", Reader="Odd")) == [
        "a.xml:2: the expression of T:Odd is a riddle; write it plainly"
    ]


def test_no_more_faults_are_told_than_help():
    assert len(faults_of(configured(**{f"P{number}": "?" for number in range(MOST_FAULTS + 5)}))) == MOST_FAULTS


def test_a_configuration_without_rules_has_an_empty_plan():
    assert planned(evolve(configured(), property_expressions=[]), FakeEvaluator()).derived == ()
