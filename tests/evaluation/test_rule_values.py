"""The values of keys and classifications."""

from __future__ import annotations

from tests.evaluation.company import Company, rule

PEOPLE = {1: {"First": "Ann", "Floor": 3}, 2: {"First": "", "Floor": 9}, 3: {}, 4: None}


def test_all_rules_are_evaluated_at_once():
    company = Company(PEOPLE, managers={(2, 1)})

    keys, high, manager = company.values(
        [
            rule("Key", "ToLower", "First"),
            rule("High", "SQL:p: p.Floor > 5", decides=True),
            rule("Manager", binding="Manager.First"),
        ]
    )

    assert keys == {1: "ann", 2: None, 3: None, 4: None}
    assert high == {1: False, 2: True, 3: None, 4: None}
    assert manager == {1: None, 2: "Ann", 3: None, 4: None}


def test_a_rule_gives_values_only_for_resources_for_which_it_is_due():
    company = Company(PEOPLE)

    keys, high, other = company.values(
        [
            rule("Key", "ToLower", "First"),
            rule("High", "SQL:p: p.Floor > 5", decides=True),
            rule("Other", "Literal:x"),
        ],
        due=[(1, 0), (2, 0), (2, 1), (4, 0)],
    )

    assert keys == {1: "ann", 2: None, 4: None}
    assert high == {2: True}
    assert other == {}


def test_a_key_of_more_than_4096_characters_is_none():
    company = Company({1: {"First": "é" * 4_096}, 2: {"First": "é" * 4_097}})

    assert company.values([rule("Key", binding="First")]) == [{1: "é" * 4_096, 2: None}]


def test_a_rule_reads_computed_values_before_synchronized_ones():
    company = Company({1: {"Full": "old"}, 2: {"Full": "kept"}}, stored={1: {"Full": "new"}})

    assert company.values([rule("Key", binding="Full")]) == [{1: "new", 2: "kept"}]


def test_a_deleted_person_has_no_key_and_no_classification():
    company = Company({1: None})

    assert company.values([rule("Key", "Literal:x"), rule("All", "SQL:p: true", decides=True)]) == [
        {1: None},
        {1: None},
    ]


def test_no_rules_or_no_people_give_an_empty_result():
    assert Company(PEOPLE).values([]) == []
    assert Company({}).values([rule("Key", "Literal:x")]) == [{}]
    assert Company(PEOPLE).values([rule("Key", "Literal:x")], due=[]) == [{}]


def test_the_size_of_portions_does_not_change_the_result():
    company = Company({stream: {"First": f"N{stream}"} for stream in range(20)})
    rules = [rule("Key", binding="First"), rule("All", "SQL:p: true", decides=True)]

    assert company.values(rules, at_once=6) == company.values(rules)
    assert company.values(rules, at_once=6, due=[(19, 1)]) == [{}, {19: True}]
