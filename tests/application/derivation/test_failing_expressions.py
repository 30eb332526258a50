"""A value that its expression fails for is none: the task ends in warning and names the resource."""

from __future__ import annotations

import pytest

from deltamark import ConfigurationError, ResourceCorrelationRule, TaskState
from tests.scenarios.house import RULES, task

FRAGILE = ResourceCorrelationRule("Owner", None, "SQL:p: p.Name", None, "SQL:p: cast(p.Mail as bigint) + 1")


def test_a_value_that_fails_is_none_until_it_is_corrected(new_house):
    house = new_house(rules=[FRAGILE]).people({"1": {"Name": "Ann", "Mail": "41"}})
    house.run("Incremental")
    assert house.keys() == {("source", "1"): "Ann", ("target", "1"): "42"}
    house.people({"1": {"Name": "Anna", "Mail": "forty"}, "2": {"Name": "Bob", "Mail": "1"}})

    run = house.engine.run_job("Incremental")

    assert (run.state, task(run, "Keys").state) == (TaskState.WARNING, TaskState.WARNING)
    assert task(run, "Keys").messages == (
        'the target expression of rule Owner_1 has no value for 1 resource of Person ("1"): could not convert string '
        "'forty' to INT64. Correct the values that it reads, or the expression so that it holds for every value.",
    )
    incremental = house.keys()
    assert incremental == {("source", "1"): "Anna", ("source", "2"): "Bob", ("target", "2"): "2"}
    assert house.engine.dirty(task="Keys") == []
    house.engine.run_job("Complete")
    assert house.keys() == incremental

    again = house.people({"1": {"Name": "Anna", "Mail": "41"}, "2": {"Name": "Bob", "Mail": "1"}}).run("Incremental")

    assert (again.state, task(again, "Keys").counts.computed) == (TaskState.COMPLETED, 1)
    assert house.keys()["target", "1"] == "42"


@pytest.mark.parametrize(
    ("expression", "value", "reason"),
    [
        ("cast(p.Mail as decimal) * cast(p.Mail as decimal)", "9" * 38, "the result has 76 digits"),
        ("round(100 / cast(p.Mail as decimal), 2)", "0", "division by zero"),
        ("cast(cast(p.Mail as bigint) * 10 as text)", str(2**63 - 1), "overflow in multiplication of INT64"),
        ("cast(p.Mail as date)", "soon", "is not a date"),
    ],
)
def test_one_value_fails_no_run(new_house, expression, value, reason):
    rule = ResourceCorrelationRule("Owner", None, f"SQL:p: {expression}", "Name", "ToLower")
    people = {"1": {"Name": "Ann", "Mail": "2026" if "date" not in expression else "2026-11-30"}}
    house = new_house(rules=[rule]).people(people | {"2": {"Name": "Bob", "Mail": value}})

    run = house.engine.run_job("Incremental")

    assert run.state is TaskState.WARNING
    message = task(run, "Keys").messages[-1]
    assert message.startswith('the source expression of rule Owner_1 has no value for 1 resource of Person ("2"): ')
    assert reason in message
    assert house.keys().keys() == {("source", "1"), ("target", "1"), ("target", "2")}
    assert house.engine.verify_derived().differences == ()


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("SQL:p: p.Nmae", 'names "Nmae", which is no property of Person; did you mean "Name"?'),
        ("SQL:p: p.Name + 1", "calculates with a text; join texts with ||"),
        ("SQL:p: cast('x' as bigint)", "cannot be evaluated: could not convert string"),
        ("Frobnicate", 'uses "Frobnicate", which is no function'),
    ],
)
def test_an_expression_that_always_fails_is_refused_when_the_engine_opens(new_house, expression, told):
    rule = ResourceCorrelationRule("Owner", "Name", expression, "Name", "ToLower")

    with pytest.raises(ConfigurationError) as refused:
        new_house(rules=[rule])

    (fault,) = refused.value.faults
    assert fault.message.startswith(f"the source expression of rule Owner_1 {told}")


def test_all_wrong_expressions_are_reported_together(new_house):
    rules = [
        ResourceCorrelationRule("Owner", "A", None, "B", None),
        ResourceCorrelationRule("Owner", "C", None, "Name", None),
    ]

    with pytest.raises(ConfigurationError) as refused:
        new_house(rules=rules)

    assert len(refused.value.faults) == 3


def test_an_edited_side_of_a_rule_is_computed_for_all_once_with_the_reason(new_house):
    house = new_house().people({"1": {"Name": "Ann", "Mail": "A@b"}, "2": {"Name": "Bob"}})
    house.run("Incremental")
    other = [ResourceCorrelationRule("Owner", "Mail", "ToUpper", "Name", "ToUpper")]

    run = house.configured(rules=other).run("Incremental")

    assert task(run, "Keys").counts.computed == 2
    assert task(run, "Keys").counts.executed == 2
    assert task(run, "Keys").messages == (
        "computed Person:Owner_1 of all resources: the rule changed since the task last ran",
    )
    assert house.keys()["source", "1"] == "A@B"
    assert task(house.run("Incremental"), "Keys").state is TaskState.SKIPPED


def test_keys_of_another_form_of_the_rule_are_computed_for_all(new_house):
    house = new_house().people({"1": {"Name": "Ann", "Mail": "A@b"}})
    house.run("Incremental")
    other = [ResourceCorrelationRule("Owner", "Mail", "ToUpper", "Name", "ToLower")]
    house.configured(rules=other).run("Complete")
    assert house.keys() == {("source", "1"): "A@B", ("target", "1"): "ann"}

    run = house.configured(rules=RULES).run("Incremental")

    assert task(run, "Keys").messages == (
        "computed everything: another task computed with another rule since the task last ran",
    )
    assert house.keys() == {("source", "1"): "a@b", ("target", "1"): "ANN"}


def test_keys_of_a_restored_rule_are_complete(new_house):
    house = new_house().people({"1": {"Name": "Ann", "Mail": "A@b"}})
    house.run("Incremental")
    removed = house.configured(rules=[]).run("Complete")
    assert task(removed, "AllKeys").messages == (
        "there are no correlation keys of the entity types of this task",
        "removed 2 keys of rules that are no longer configured",
    )

    house.configured(rules=RULES).run("Incremental")

    assert house.keys() == {("source", "1"): "a@b", ("target", "1"): "ANN"}
