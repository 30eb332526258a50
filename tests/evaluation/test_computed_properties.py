"""Computed properties: which values are computed, for which resources, and which are changes."""

from __future__ import annotations

import orjson
import pyarrow as pa
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from deltamark.application.ports.evaluator import Inputs
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.evaluation.company import MODEL, Company, computed
from tests.tiers import examples

FULL = computed("Full", "SQL:p: p.First || ' ' || p.Last")
LOGIN = computed("Login", "SQL:p: lower(p.Full)")
MAIL = computed("Mail", "SQL:p: p.Login || '@x.example'")
BADGE = "00000000-0000-0000-0000-0000000000ab"
ANN = {"First": "Ann", "Last": "Lee"}


def test_the_first_values_are_all_changes():
    company = Company({1: ANN})

    outcome = company.compute([FULL])

    assert outcome.values == {1: {"Full": "Ann Lee"}}
    assert outcome.changes == {1: {"Full": [None, "Ann Lee"]}}
    assert (outcome.executed, outcome.necessary) == (1, 1)


def test_a_value_that_stays_the_same_is_no_change():
    company = Company({1: ANN, 2: {"First": "Bob", "Last": "Ray"}}, stored={1: {"Full": "Ann Lee"}, 2: {"Full": "B"}})

    outcome = company.compute([FULL])

    assert outcome.changes == {2: {"Full": ["B", "Bob Ray"]}}
    assert (outcome.executed, outcome.necessary) == (2, 1)


def test_a_later_expression_reads_the_new_value_of_an_earlier_one():
    company = Company({1: ANN}, stored={1: {"Full": "Old Name", "Login": "old name", "Mail": "old name@x.example"}})

    outcome = company.compute([FULL, LOGIN, MAIL])

    assert outcome.values == {1: {"Full": "Ann Lee", "Login": "ann lee", "Mail": "ann lee@x.example"}}


def test_only_values_that_are_due_are_computed():
    company = Company({1: ANN, 2: ANN, 3: ANN}, stored={stream: {"Full": "Wrong", "Level": 7} for stream in (1, 2, 3)})
    level = computed("Level", "SQL:p: 8")

    outcome = company.compute([FULL, level], due=[(1, 0), (2, 1)])

    assert outcome.changes == {1: {"Full": ["Wrong", "Ann Lee"]}, 2: {"Level": [7, 8]}}
    assert (outcome.executed, outcome.necessary) == (2, 2)


def test_readers_of_a_changed_value_are_computed_too_and_nothing_else():
    stored = {"Full": "Ann Li", "Login": "ann li", "Mail": "ann li@x.example", "Level": 1}
    company = Company({1: ANN}, stored={1: stored})

    outcome = company.compute([FULL, LOGIN, MAIL, computed("Level", "SQL:p: 2")], due=[(1, 0)])

    assert outcome.values == {1: {"Full": "Ann Lee", "Login": "ann lee", "Mail": "ann lee@x.example", "Level": 1}}
    assert (outcome.executed, outcome.necessary) == (3, 3)


def test_readers_of_an_unchanged_value_are_not_computed():
    company = Company({1: ANN}, stored={1: {"Full": "Ann Lee", "Login": "not computed again"}})

    outcome = company.compute([FULL, LOGIN], due=[(1, 0)])

    assert outcome.changes == {}
    assert (outcome.executed, outcome.necessary) == (1, 0)


def test_an_unchanged_value_in_the_middle_of_a_chain_stops_the_computation():
    company = Company({1: {**ANN, "First": "ANN"}}, stored={1: {"Full": "Ann Lee", "Login": "ann lee", "Mail": "kept"}})

    outcome = company.compute([FULL, LOGIN, MAIL], due=[(1, 0)])

    assert outcome.changes == {1: {"Full": ["Ann Lee", "ANN Lee"]}}
    assert (outcome.executed, outcome.necessary) == (2, 1)


def test_an_expression_that_is_not_due_does_not_fail():
    company = Company({1: {"Floor": 0}, 2: {"Floor": 2}})
    level = computed("Level", "SQL:p: cast(6 / p.Floor as bigint)")

    assert company.compute([level], due=[(2, 0)]).values == {2: {"Level": 3}}


@pytest.mark.parametrize("place", [0, 59, 60, 61, 119, 120, 129])
def test_each_of_many_derivations_is_due_independently(place):
    company = Company({1: ANN, 2: ANN})
    many = [evolve(computed("Label", "Literal:x"), name=f"Label{number}") for number in range(130)]
    many[place] = FULL

    outcome = company.compute(many, due=[(2, place)])

    assert outcome.values == {2: {"Full": "Ann Lee"}}
    assert outcome.executed == 1


def test_a_deleted_person_has_no_values():
    company = Company({1: None, 2: ANN}, stored={1: {"Full": "Gone"}})

    outcome = company.compute([FULL, computed("Level", "SQL:p: 1")])

    assert set(outcome.changes) == {2}
    assert outcome.executed == 2
    assert company.compute([FULL], due=[(1, 0)]).executed == 0


def test_an_empty_text_is_no_value():
    company = Company({1: {"First": ""}, 2: {"First": "x"}}, stored={1: {"Label": "old"}})

    outcome = company.compute([computed("Label", binding="First")])

    assert outcome.changes == {1: {"Label": ["old", None]}, 2: {"Label": [None, "x"]}}
    assert outcome.values[1] == {}


def test_values_of_other_expressions_are_kept_and_all_are_sorted():
    company = Company({1: ANN}, stored={1: {"Level": 3, "Zone": "of a rule that is gone", "Big": 2**62, "A": "ü\n"}})

    outcome = company.compute([FULL])

    assert outcome.texts == {
        1: (
            '{"A":"ü\\n","Big":4611686018427387904,"Full":"Ann Lee","Level":3,"Zone":"of a rule that is gone"}',
            '{"Full":[null,"Ann Lee"]}',
        )
    }


def test_equal_numbers_written_differently_are_no_change_unless_they_are_of_another_type():
    company = Company({1: {"Weight": 1.0}, 2: {"Weight": 0.0}})
    score = computed("Score", "SQL:p: p.Weight")
    spelled = company.inputs([score]).resources.set_column(2, "computed", pa.array(['{"Score":1}', '{"Score":-0.0}']))

    found = DuckEvaluator(MODEL).properties([score], Inputs(entity_type="Person", resources=spelled))

    assert found.rows.column("changes").to_pylist() == ['{"Score":[1,1.0]}']
    assert (found.executed, found.necessary) == (2, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Label", "x"),
        ("Score", 1.5),
        ("Level", 3),
        ("Level", "of old"),
        ("Boss", False),
        ("Since", "2020-01-01T00:00:00Z"),
    ],
)
def test_a_property_that_is_no_longer_computed_is_cleared(name, value):
    stored = {"Full": "Ann Lee", name: value}
    company = Company({1: ANN, 2: ANN}, stored={1: stored, 2: {"Full": "Ann Lee"}})

    outcome = company.compute([computed(name)])

    assert outcome.changes == {1: {name: [value, None]}}
    assert outcome.values == {1: {"Full": "Ann Lee"}}
    assert (outcome.executed, outcome.necessary) == (1, 1)


def test_readers_of_a_cleared_value_are_computed_too():
    company = Company({1: ANN}, stored={1: {"Full": "Ann Lee", "Login": "ann lee"}})

    outcome = company.compute([LOGIN, computed("Full")], due=[(1, 1)])

    assert outcome.changes == {1: {"Full": ["Ann Lee", None], "Login": ["ann lee", None]}}


def test_a_property_has_its_synchronized_value_once_the_computed_one_is_cleared():
    company = Company({1: {"Full": "From the source"}}, stored={1: {"Full": "Computed"}})

    outcome = company.compute([computed("Full"), LOGIN])

    assert outcome.values == {1: {"Login": "from the source"}}


def test_the_old_value_of_a_formerly_synchronized_property_is_the_synchronized_one():
    company = Company({1: {**ANN, "Full": "From the source"}})

    outcome = company.compute([FULL])

    assert outcome.changes == {1: {"Full": ["From the source", "Ann Lee"]}}


def test_a_computed_value_equal_to_the_synchronized_one_is_stored():
    company = Company({1: {**ANN, "Full": "Ann Lee"}})

    outcome = company.compute([FULL])
    company.keep(outcome)

    assert outcome.values == {1: {"Full": "Ann Lee"}}
    assert company.compute([FULL]).changes == {}


def test_a_stored_value_of_another_type_than_declared_is_replaced():
    company = Company({1: {}, 2: {"Floor": 4}, 3: {}}, stored={1: {"Level": "high"}, 2: {"Level": "low"}})
    level = computed("Level", "SQL:p: p.Floor")

    outcome = company.compute([level])

    assert outcome.changes == {1: {"Level": ["high", None]}, 2: {"Level": ["low", 4]}}
    assert company.compute([level], due=[(2, 0)]).changes == {2: {"Level": ["low", 4]}}


def test_a_computed_value_takes_precedence_over_a_synchronized_one():
    company = Company({1: {"Full": "old"}}, stored={1: {"Full": "New"}})

    assert company.compute([LOGIN]).values[1]["Login"] == "new"


def test_the_size_of_portions_does_not_change_the_result():
    company = Company(
        {n: {"First": f"N{n}", "Last": "x", "Floor": n} for n in range(1, 30)},
        managers={(n, n // 2) for n in range(2, 30)},
    )
    derivations = [
        FULL,
        LOGIN,
        computed("Mail", binding="Manager.First"),
        computed("Label", "SQL:p: array_to_string(p.Reports.First, ',')"),
    ]

    assert company.compute(derivations, at_once=7) == company.compute(derivations)
    assert company.compute(derivations, at_once=1, due=[(3, 0), (29, 2)]) == company.compute(
        derivations, due=[(3, 0), (29, 2)]
    )


def test_no_derivations_or_no_people_give_an_empty_result():
    assert Company({1: ANN}).compute([]).values == {}
    assert Company({}).compute([FULL]) == Company({}).compute([FULL], due=[])


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@given(
    st.lists(
        TEXTS | st.sampled_from(['"', "\\", "\\u001F", "\x0b", "\x1f", "\x7f", "/", "\u2028", "\\\x0e"]),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=examples(40), deadline=None)
def test_computed_texts_have_the_form_of_synchronized_ones(texts):
    company = Company({stream: {"First": text} for stream, text in enumerate(texts)})

    outcome = company.compute([computed("Label", binding="First")])

    for stream, text in enumerate(texts):
        assert outcome.texts[stream] == (
            orjson.dumps({"Label": text}).decode(),
            orjson.dumps({"Label": [None, text]}).decode(),
        )


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
@settings(max_examples=examples(40), deadline=None)
def test_computed_numbers_have_the_form_of_synchronized_ones(numbers):
    company = Company({stream: {"Weight": number} for stream, number in enumerate(numbers)})

    outcome = company.compute([computed("Score", "SQL:p: p.Weight")])

    for stream, number in enumerate(numbers):
        assert outcome.texts[stream][0] == orjson.dumps({"Score": number + 0.0}).decode()


@pytest.mark.parametrize(
    ("name", "expression", "person", "json"),
    [
        ("Level", "SQL:p: p.Floor", {"Floor": -3}, "-3"),
        ("Big", "SQL:p: 9223372036854775807", {}, "9223372036854775807"),
        ("Score", "SQL:p: p.Floor", {"Floor": 3435}, "3435.0"),
        ("Score", "SQL:p: p.Weight * 100000", {"Weight": 1e-10}, "0.00001"),
        ("Boss", "SQL:p: p.Active", {"Active": True}, "true"),
        ("Boss", "SQL:p: not p.Active", {"Active": True}, "false"),
        ("Since", "SQL:p: p.Start", {"Start": "2020-02-29T01:02:03Z"}, '"2020-02-29T01:02:03Z"'),
        ("Since", "SQL:p: p.Start", {"Start": "0999-02-28T01:02:03.040500Z"}, '"0999-02-28T01:02:03.040500Z"'),
        ("Token", None, {"Badge": BADGE}, f'"{BADGE}"'),
        ("Token", "SQL:p: '{' || upper(p.Badge) || '}'", {"Badge": BADGE}, f'"{BADGE}"'),
        ("Photo", "SQL:p: p.First", {"First": "/+ 8="}, '"/+8="'),
    ],
)  # fmt: skip
def test_every_type_has_its_canonical_form(name, expression, person, json):
    company = Company({1: person})
    one = computed(name, expression, "Badge" if expression is None else None)

    outcome = company.compute([one])
    company.keep(outcome)

    assert outcome.texts[1][0] == f'{{"{name}":{json}}}'
    assert company.compute([one]).changes == {}, "what was stored is read as the same value"
