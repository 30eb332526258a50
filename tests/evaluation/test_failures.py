"""Failing expressions, and damaged states."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest
from attrs import evolve

from deltamark import DeltamarkError
from deltamark.domain.errors import StoreError
from deltamark.domain.work_limits import WorkLimits
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
def test_a_value_that_fails_is_none_and_all_others_are_computed(name, expression, person, reason):
    people = {stream: {"Floor": 1, "First": "1"} for stream in range(1, 50)}
    company = Company(people | {17: person, 23: person})

    outcome = company.compute([FULL, computed(name, expression), computed("Label", "Literal:x")])

    assert [value[:2] for value in outcome.refused] == [(17, 1), (23, 1)]
    assert all(reason in said for _, _, said in outcome.refused)
    assert {s for s, values in outcome.values.items() if name in values} == people.keys() - {17, 23}
    assert {s for s, values in outcome.values.items() if values["Label"] == "x"} == people.keys()


def test_a_value_that_can_no_longer_be_computed_is_removed():
    company = Company({1: {"Floor": 1}, 2: {"Floor": 1}})
    score = computed("Score", "SQL:p: 1 / p.Floor")
    company.keep(company.compute([score]))
    company.people[2] = {"Floor": 0}

    outcome = company.compute([score], due=[(2, 0)])

    assert (outcome.necessary, outcome.values, outcome.changes) == (1, {2: {}}, {2: {"Score": [1.0, None]}})


def test_portions_that_fail_and_others_are_computed():
    company = Company({stream: {"Floor": stream} for stream in range(1, 50)})
    score = computed("Score", "SQL:p: 1 / (p.Floor % 40 - 1)")

    outcome = company.compute([score], at_once=10)

    assert [stream for stream, _, _ in outcome.refused] == [1, 41]
    assert outcome.necessary == 47


def test_a_reader_of_a_value_that_fails_reads_none():
    company = Company({1: {"Floor": 0}, 2: {"Floor": 2}})
    derivations = [computed("Score", "SQL:p: 1 / p.Floor"), computed("Label", "SQL:p: coalesce(p.Score, 7)")]

    assert company.compute(derivations).values == {1: {"Label": "7.0"}, 2: {"Label": "0.5", "Score": 0.5}}


def test_of_expressions_that_share_a_part_only_those_that_need_it_fail():
    company = Company({1: {"Floor": 0}, 2: {"Floor": 2}})
    derivations = [
        computed("Score", "SQL:p: 1 / p.Floor"),
        computed("Big", "SQL:p: cast(1 / p.Floor as bigint)"),
        computed("Label", "SQL:p: case when p.Floor = 0 then 'none' else cast(1 / p.Floor as text) end"),
    ]

    outcome = company.compute(derivations)

    assert [value[:2] for value in outcome.refused] == [(1, 0), (1, 1)]
    assert outcome.values[1] == {"Label": "none"}


def test_the_reason_is_that_of_the_first_that_fails():
    company = Company({1: {"First": "1"}, 2: {"First": "b"}, 3: {"First": "c"}})

    refused = company.compute([computed("Level", "SQL:p: cast(p.First as bigint)")]).refused

    assert refused == [(stream, 0, "could not convert string 'b' to INT64") for stream in (2, 3)]


def test_a_failure_in_a_reader_of_another_value_is_of_the_reader():
    company = Company({1: {"First": "12", "Last": "x"}})
    reader = computed("Level", "SQL:p: cast(p.Full as bigint)")

    assert [number for _, number, _ in company.compute([FULL, reader], due=[(1, 0)]).refused] == [1]


def test_a_failing_rule_has_no_value():
    company = Company({5: {"Floor": 1}, 6: {"Floor": 0}, 7: {"Floor": 0}})
    rules = [rule("Fine", "Literal:x"), rule("Ratio", "SQL:p: 1 / p.Floor > 0.5", decides=True)]

    values = evaluator().values(rules, company.inputs(rules))

    assert [table.column("value").to_pylist() for table in values.tables] == [["x"] * 3, [True, None, None]]
    assert values.refused.to_pylist() == [
        {"stream": stream, "derivation": 1, "reason": "division by zero"} for stream in (6, 7)
    ]


def test_a_reason_is_one_printable_line():
    company = Company({1: {"First": "a\n\x1b[31mb" + "x" * 9_000}})

    ((_, _, reason),) = company.compute([computed("Level", "SQL:p: cast(p.First as bigint)")]).refused

    assert reason is not None
    assert reason.isprintable()
    assert len(reason) < 400


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
    monkeypatch.setattr(duck, "work_limits", lambda: WorkLimits(memory="8MB"))
    company = Company({stream: {"First": f"{stream:0100}" * 10} for stream in range(20_000)})
    inputs = company.inputs([FULL])

    with pytest.raises(DeltamarkError, match="needs more memory than 8MB"):
        DuckEvaluator(MODEL).properties([computed("Label", binding="First"), FULL], inputs)


def test_an_expression_that_cannot_be_evaluated_is_reported_with_its_location():
    (found,) = evaluator().faults([rule("Key", "SQL:p: cast('x' as bigint)")])

    assert found.location == PLACE
    assert found.message == (
        "the source expression of rule Key cannot be evaluated: could not convert string 'x' to INT64"
    )


def test_an_expression_that_fails_only_for_some_values_is_accepted():
    assert evaluator().faults([computed("Score", "SQL:p: 1 / coalesce(p.Floor, 0)")]) == ()
    assert evaluator().faults([computed("Label", "SQL:p: array_to_string(p.Reports.First, ',')")]) == ()


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
