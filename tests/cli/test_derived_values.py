"""Derived values at the command line: configured, computed, shown and counted."""

from __future__ import annotations

import pytest

from tests.cli.deriving import with_derived_values
from tests.cli.test_commands import COUNTS, agree, table_of
from tests.cli.workspace import EXTRACTS, LATER, Workspace


@pytest.fixture
def derived(company: Workspace) -> Workspace:
    """The company with derived values, all computed once."""
    company.configure(with_derived_values())
    company.done("run", "Incremental")
    return company


def counted(run: dict, task: str) -> dict[str, int]:
    (found,) = [found for found in run["tasks"] if found["task"] == task]
    return {name: found[name] for name in COUNTS if found[name]}


def test_the_configuration_is_valid_and_its_tasks_are_listed(derived):
    tasks = {(t["job"], t["task"]): t for t in derived.jsonl("tasks")}

    assert derived.done("validate").err.startswith("The configuration can be run: 4 jobs")
    properties, classes = tasks["Incremental", "Properties"], tasks["Incremental", "Classes"]
    assert (properties["kind"], properties["works_on"], properties["dirty"]) == (
        "UpdateEntityPropertyExpressionsTask", "all entity types", True,
    )  # fmt: skip
    assert (classes["kind"], classes["works_on"], classes["dirty"]) == ("UpdateClassificationTask", "AD_User", True)
    assert derived.jsonl("jobs")[0]["tasks"] == 6


def test_values_executed_and_necessary_are_counted(derived):
    derived.extract(departments="code,title\nD1,RESEARCH\nD2,Sales and more\n")

    (run,) = derived.jsonl("run", "Incremental")

    assert counted(run, "Properties") == {"computed": 3, "executed": 4, "necessary": 3, "written": 3}
    assert derived.jsonl("runs", "2")[0]["tasks"] == run["tasks"]
    rows = {row["task"]: row for row in table_of(derived.done("runs", "2", "--format", "csv").text)}
    assert (rows["Properties"]["executed"], rows["Properties"]["necessary"]) == ("4", "3")


def test_a_table_shows_only_nonzero_counts(derived):
    values = derived.done("runs", "1").lines[3].split()
    derived.done("run", "OnlyFlag")
    none = derived.done("runs", "2").lines[3].split()

    assert values[-5:] == ["computed", "executed", "necessary", "written", "seconds"]
    assert not {"computed", "executed", "necessary", "written"} & set(none)


def test_a_resource_shows_which_of_its_properties_are_computed(derived):
    (document,) = derived.jsonl("show", "HR_Person", "E1")
    rows = table_of(derived.done("show", "HR_Person", "E1", "--format", "csv").text)
    table = derived.done("show", "HR_Person", "E1").lines

    assert list(document) == ["entity_type", "key", "properties", "computed", "links", "linked_from"]
    assert document["computed"] == ["Badge", "Place"]
    assert (document["properties"]["Badge"], document["properties"]["Place"]) == ("research", "RESEARCH")
    assert {row["name"] for row in rows if row["computed"] == "true"} == {"Badge", "Place"}
    assert {row["computed"] for row in rows} == {"", "true"}
    assert table[0].split() == ["name", "value", "computed"]
    assert [line.split()[-1] for line in table if line.startswith("Place")] == ["true"]


def test_a_resource_without_computed_properties_has_no_column_for_them(derived):
    assert derived.done("show", "AD_User", "ada").lines[0].split() == ["name", "value"]
    assert derived.jsonl("show", "AD_User", "ada")[0]["computed"] == []
    assert table_of(derived.done("show", "AD_User", "ada", "--format", "csv").text)[0]["computed"] == ""


def test_past_computed_values_are_shown_and_are_in_the_history(derived):
    derived.extract(departments="code,title\nD1,Lab\nD2,Sales\n")
    derived.done("run", "Incremental")

    (then,) = derived.jsonl("show", "HR_Person", "E1", "--at", "run:1")
    history = derived.jsonl("history", "HR_Person", "E1")
    exported = derived.jsonl("export", "HR_Person")

    assert (then["properties"]["Place"], then["computed"]) == ("RESEARCH", ["Badge", "Place"])
    assert [c["changes"] for c in history if c["task"] == "Properties"] == [
        {"Badge": {"before": None, "after": "research"}, "Place": {"before": None, "after": "RESEARCH"}},
        {"Badge": {"before": "research", "after": "lab"}, "Place": {"before": "RESEARCH", "after": "LAB"}},
    ]
    assert {c["change"] for c in history if c["task"] == "Properties"} == {"updated"}
    assert exported[0]["properties"]["Place"] == "LAB"


def test_what_is_dirty_is_shown_for_every_computing_task(derived):
    derived.extract(**{**LATER, "people": EXTRACTS["people"]}, departments="code,title\nD1,Lab\nD2,Sales\n")
    derived.done("run", "OnlySynchronize")
    derived.done("run", "OnlyFlag")

    dirty = agree(derived, "dirty")

    assert {(d["task"], d["entity_type"], d["key"]) for d in dirty} == {
        ("Properties", "HR_Department", "D1"), ("Keys", "AD_User", "ada"),
        ("Properties", "HR_Person", "E1"), ("Properties", "HR_Person", "E2"),
    }  # fmt: skip
    for one in dirty:
        (cause,) = derived.jsonl("why", one["entity_type"], one["key"], "--task", one["task"])
        assert cause["position"] == one["since"]


def test_classifications_are_shown_with_rule_and_confidence(derived):
    found = agree(derived, "classifications")

    assert found == [
        {"entity_type": "AD_User", "key": key, "resource_type": of, "rule": f"{of}_1", "confidence": confidence}
        for key, of, confidence in (("ada", "Admin", 90), ("bob", "Account", 10), ("zoe", "Account", 10))
    ]
    assert derived.jsonl("classifications", "--type", "AD_User") == found
    assert derived.jsonl("classifications", "--type", "HR_Person") == []
    header = derived.done("classifications", "--type", "AD_Group", "--format", "csv").text
    assert header == "entity_type,key,resource_type,rule,confidence\n"


def test_classifications_of_an_unknown_type_are_refused(past):
    answer = past.deltamark("classifications", "--type", "AD_Users")

    assert (answer.status, answer.out) == (2, b"")
    assert 'there is no entity type "AD_Users"' in answer.err


def test_a_store_without_rules_has_no_classifications(past):
    assert past.jsonl("classifications") == []


def test_classified_keys_are_shown_escaped(derived):
    bad = "u\x1b[31m\u202e\nz"
    derived.extract(users=f'{EXTRACTS["users"]}"{bad}",\n')
    derived.done("run", "Incremental")

    answer = derived.done("classifications")

    assert len(answer.lines) == 5
    assert all(line.isprintable() for line in answer.text.split("\n"))
    assert bad in {found["key"] for found in derived.jsonl("classifications")}


@pytest.mark.parametrize("command", [["why", "HR_Person", "E1"], ["verify", "--derived"], ["classifications"]])
def test_a_query_of_derived_values_creates_no_store(company, command):
    answer = company.deltamark(*command)

    assert answer.status == 2
    assert "there is no store yet. Run a job first" in answer.err
    assert company.deltamark("runs").status == 2
