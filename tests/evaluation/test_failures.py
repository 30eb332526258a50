"""Failing expressions, and damaged states."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest
from attrs import evolve

from deltamark import DeltamarkError
from deltamark.application.ports.evaluator import EvaluationFailed
from deltamark.domain.errors import StoreError
from deltamark.infrastructure.duckdb import connection as duck
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.evaluation.company import MODEL, PLACE, Company, computed, evaluator, rule

FULL = computed("Full", "SQL:p: p.First || ' ' || p.Last")


@pytest.mark.parametrize(
    ("name", "expression", "person", "reason"),
    [
        ("Level", "SQL:p: cast(p.First as bigint)", {"First": "x1"}, "could not convert string 'x1' to INT64"),
        ("Score", "SQL:p: 1 / (p.Floor - 3)", {"Floor": 3}, "division by zero"),
        ("Big", "SQL:p: 9223372036854775807 * p.Floor", {"Floor": 2}, "overflow in multiplication of INT64"),
        ("Small", "SQL:p: p.Floor", {"Floor": 256}, '"256" where a whole number from 0 to 255 is expected'),
    ],
)
def test_a_failure_names_the_expression_the_resource_and_the_reason(name, expression, person, reason):
    company = Company({stream: {} for stream in range(1, 50)} | {17: person, 23: person})
    derivations = [FULL, computed(name, expression), computed("Label", "Literal:x")]

    with pytest.raises(EvaluationFailed) as failed:
        company.compute(derivations)

    assert failed.value.derivation == derivations[1]
    assert failed.value.stream == 17
    assert reason in failed.value.reason
    assert str(failed.value).startswith(
        f"the expression of Person:{name} failed for the resource with stream 17: {failed.value.reason}. "
        "Nothing was changed. Correct the expression"
    )


def test_the_first_portion_that_fails_is_reported():
    company = Company({stream: {"Floor": stream} for stream in range(1, 50)})

    with pytest.raises(EvaluationFailed) as failed:
        company.compute([computed("Score", "SQL:p: 1 / (p.Floor % 40 - 31)")], at_once=10)

    assert failed.value.stream == 31


def test_a_failure_in_a_reader_of_another_value_names_the_reader():
    company = Company({1: {"First": "12", "Last": "x"}})
    reader = computed("Level", "SQL:p: cast(p.Full as bigint)")

    with pytest.raises(EvaluationFailed) as failed:
        company.compute([FULL, reader], due=[(1, 0)])

    assert failed.value.derivation == reader


def test_a_failing_rule_is_named():
    company = Company({5: {"Floor": 1}, 6: {"Floor": 0}, 7: {"Floor": 0}})
    rules = [rule("Fine", "Literal:x"), rule("Ratio", "SQL:p: 1 / p.Floor > 2", decides=True)]

    with pytest.raises(EvaluationFailed) as failed:
        company.values(rules)

    assert (failed.value.derivation, failed.value.stream) == (rules[1], 6)
    assert str(failed.value).startswith("the expression of classification rule Ratio failed for the resource")


def test_a_failure_is_reported_in_one_printable_line():
    company = Company({1: {"First": "a\n\x1b[31mb" + "x" * 9_000}})

    with pytest.raises(EvaluationFailed) as failed:
        company.compute([computed("Level", "SQL:p: cast(p.First as bigint)")])

    assert failed.value.reason.isprintable()
    assert len(failed.value.reason) < 400


@pytest.mark.parametrize("place", ["state", "computed", "reached"])
def test_a_damaged_state_is_reported_as_damage_not_as_a_failing_expression(place):
    one = computed("Label", binding="Manager.First")
    company = Company({1: {"First": "Ann"}, 2: {"First": "Bob"}}, managers={(2, 1)})
    inputs = company.inputs([one])
    broken = pa.array(['{"First":"An', "{}"])
    damaged = inputs.resources.set_column(
        2 if place == "computed" else 1, place if place != "reached" else "state", broken
    )
    if place == "reached":
        inputs = evolve(inputs, reached={("Manager",): damaged})
    else:
        inputs = evolve(inputs, resources=damaged)

    with pytest.raises(StoreError) as failed:
        DuckEvaluator(MODEL).properties([one, FULL], inputs)

    assert str(failed.value) == (
        'the state of a Person cannot be read (stream 1: "{"First":"An"). The store was altered or is damaged. '
        "Verify it: that names the damage."
    )


def test_lack_of_memory_is_reported(monkeypatch):
    monkeypatch.setattr(duck, "MEMORY_LIMIT", "8MB")
    company = Company({stream: {"First": f"{stream:0100}" * 10} for stream in range(20_000)})
    inputs = company.inputs([FULL])

    with pytest.raises(DeltamarkError, match="needs more memory than 8MB"):
        DuckEvaluator(MODEL).properties([computed("Label", binding="First"), FULL], inputs)


def test_an_expression_that_cannot_be_evaluated_is_reported_with_its_location():
    (found,) = evaluator().faults(rule("Key", "SQL:p: cast('x' as bigint)"))

    assert found.location == PLACE
    assert found.message == (
        "the source expression of rule Key cannot be evaluated: could not convert string 'x' to INT64"
    )


def test_an_expression_that_fails_only_for_some_values_is_accepted():
    assert evaluator().faults(computed("Score", "SQL:p: 1 / coalesce(p.Floor, 0)")) == ()
    assert evaluator().faults(computed("Label", "SQL:p: array_to_string(p.Reports.First, ',')")) == ()


def test_several_threads_may_share_an_evaluator():
    company = Company({stream: {"First": f"N{stream}", "Last": "x"} for stream in range(2_000)})
    inputs = company.inputs([FULL])
    shared = DuckEvaluator(MODEL)
    derivations, necessary = [FULL, computed("Label", "ToSoundex", "First")], []

    def work():
        necessary.extend(shared.properties(derivations, inputs).necessary for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert necessary == [4_000] * 20
