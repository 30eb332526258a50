"""Values that expressions read over dependency paths."""

from __future__ import annotations

import pyarrow as pa
import pytest
from attrs import evolve

from deltamark.infrastructure.evaluation import path_joins as reading_paths
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.evaluation.company import MODEL, Company, computed

PEOPLE = {
    1: {"First": "Ann", "Floor": 3, "Weight": 50.5, "Active": True, "Start": "2020-01-01T00:00:00Z"},
    2: {"First": "Bob", "Floor": 10},
    3: {"First": "Cid", "Floor": 9},
    4: {"First": "Bob", "Floor": 1},
}


def label(binding=None, expression=None):
    return computed("Label", expression, binding)


def labels(company, expression=None, binding=None):
    """The values of an expression, by stream; None if there is none."""
    found = company.compute([computed("Label", expression, binding)]).values
    return {stream: found.get(stream, {}).get("Label") for stream in company.people}


def test_a_path_leads_over_one_link():
    company = Company(PEOPLE, managers={(2, 1), (3, 1)})

    assert labels(company, binding="Manager.First") == {1: None, 2: "Ann", 3: "Ann", 4: None}


def test_a_path_leads_over_several_links():
    company = Company(PEOPLE, {91: {"Name": "IT"}}, managers={(2, 1), (3, 2)}, members={(1, 91)})

    assert labels(company, binding="Manager.Manager.First") == {1: None, 2: None, 3: "Ann", 4: None}
    assert labels(company, binding="Manager.Department.Name") == {1: None, 2: "IT", 3: None, 4: None}


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("Level", "Manager.Floor", 3),
        ("Score", "Manager.Weight", 50.5),
        ("Boss", "Manager.Active", True),
        ("Since", "Manager.Start", "2020-01-01T00:00:00Z"),
    ],
)
def test_a_value_over_a_path_has_the_type_of_its_property(name, path, value):
    company = Company(PEOPLE, managers={(2, 1)})

    assert company.compute([computed(name, binding=path)]).values == {2: {name: value}}


def test_several_links_on_a_single_path_give_the_smallest_value():
    company = Company(PEOPLE, managers={(4, 3), (4, 2)})

    assert labels(company, binding="Manager.First")[4] == "Bob"
    assert company.compute([computed("Level", binding="Manager.Floor")]).values == {4: {"Level": 9}}


def test_a_collection_gives_its_values_sorted_and_without_nulls():
    company = Company({**PEOPLE, 5: {"Floor": 2}, 6: {"First": "Abe"}}, managers={(n, 1) for n in (2, 3, 4, 5, 6)})

    assert labels(company, "SQL:p: array_to_string(p.Reports.First, ',')")[1] == "Abe,Bob,Bob,Cid"
    assert labels(company, "SQL:p: array_to_string(p.Reports.Floor, ',')")[1] == "1,2,9,10", "numbers as numbers"


def test_a_resource_reached_in_several_ways_counts_once():
    company = Company(
        {1: {"First": "Ann"}, 2: {}, 3: {}, 4: {"First": "Dan"}}, managers={(2, 1), (3, 1), (4, 2), (4, 3)}
    )

    assert labels(company, "SQL:p: array_to_string(p.Reports.Reports.First, ',')")[1] == "Dan"


def test_without_links_a_single_path_gives_null_and_a_collection_is_empty():
    for managers in (set(), {(4, 3)}):
        company = Company(PEOPLE, managers=managers)

        assert labels(company, "SQL:p: coalesce(p.Manager.First, 'nobody')")[1] == "nobody"
        assert labels(company, "SQL:p: len(p.Reports.First)")[1] == "0"
        assert labels(company, "SQL:p: len(p.Reports.Reports.First)")[1] == "0"


def test_a_deleted_resource_is_not_reached():
    company = Company(
        {**PEOPLE, 1: None}, managers={(2, 1), (1, 3), (4, 3)}, stored={1: {"First": "Was computed once"}}
    )

    assert labels(company, "SQL:p: coalesce(p.Manager.First, 'nobody')")[2] == "nobody"
    assert labels(company, "SQL:p: array_to_string(p.Reports.First, ',')")[3] == "Bob"


def test_computed_values_are_read_over_paths_too():
    company = Company(PEOPLE, managers={(2, 1), (3, 2)}, stored={1: {"Full": "Ann Lee"}, 2: {"First": "Computed"}})

    assert labels(company, binding="Manager.Full")[2] == "Ann Lee"
    assert labels(company, binding="Manager.First")[3] == "Computed"


def test_a_path_reads_the_stored_value_even_if_a_new_one_is_computed():
    company = Company(PEOPLE, managers={(2, 1)}, stored={1: {"Full": "Old"}})

    outcome = company.compute([computed("Full", binding="First"), computed("Label", binding="Manager.Full")])

    assert outcome.values[2] == {"Full": "Bob", "Label": "Old"}


def test_a_path_after_a_collection_is_a_collection():
    company = Company(
        PEOPLE,
        {91: {"Name": "IT"}, 92: {"Name": "HR"}},
        managers={(2, 1), (3, 1), (4, 1)},
        members={(2, 91), (3, 92), (4, 92)},
    )

    assert labels(company, "SQL:p: array_to_string(p.Reports.Department.Name, ',')")[1] == "HR,IT"


def test_properties_may_be_called_like_what_the_engine_calls_its_columns():
    named = {"Stream": "a", "State": "b", "Near": "c"}
    company = Company({1: named, 2: named}, managers={(2, 1)})
    reading = "p.Stream || p.State || p.Near"
    over_links = "p.Manager.Stream || p.Manager.State || p.Manager.Near"

    outcome = company.compute(
        [computed("Computed", f"SQL:p: {reading}"), computed("Changes", f"SQL:p: p.Computed || {over_links}")]
    )

    assert outcome.values[2] == {"Computed": "abc", "Changes": "abcabc"}


def test_inputs_may_have_more_rows_than_the_paths_reach():
    company = Company(PEOPLE, managers={(2, 1), (3, 2)})
    one = label("Manager.First")
    inputs = company.inputs([one])
    only_second = inputs.resources.filter(pa.array([False, True, False, False]))

    found = DuckEvaluator(MODEL).properties([one], evolve(inputs, resources=only_second))

    assert found.rows["computed"].to_pylist() == ['{"Label":"Ann"}']


def test_wide_collections_are_read_in_smaller_portions(monkeypatch):
    people = {stream: {"First": f"N{stream:03}"} for stream in range(1, 101)}
    company = Company(people, {9_000: {}}, members={(stream, 9_000) for stream in people})
    all_names = ",".join(sorted(f"N{stream:03}" for stream in people))
    monkeypatch.setattr(reading_paths, "MOST_PAIRS", 1_000)

    found = labels(company, "SQL:p: array_to_string(p.Department.People.First, ',')")

    assert set(found.values()) == {all_names}
