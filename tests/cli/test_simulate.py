"""`simulate` shows what derived values would be under another configuration, and writes nothing."""

from __future__ import annotations

import pytest

from tests.cli.workspace import CONFIGURATION, Workspace

TRIMMED = CONFIGURATION.replace('TargetExpression="ToLower"', 'TargetExpression="Trim"')
"""Keys of accounts keep their capitals."""


@pytest.fixture
def proposal(company: Workspace) -> Workspace:
    """The company after a day, with another configuration in a folder beside."""
    company.done("run", "Incremental")
    (company.folder / "proposal").mkdir()
    (company.folder / "proposal" / "company.xml").write_text(TRIMMED, encoding="utf-8")
    return company


def test_differences_are_counted_with_samples_and_nothing_is_written(proposal):
    before = proposal.jsonl("changes"), proposal.jsonl("keys"), proposal.jsonl("runs")

    answer = proposal.done("simulate", "--configuration", "proposal", "--format", "jsonl")

    keys = {"entity_type": "AD_User", "name": "Account_1", "added": 0, "changed": 2, "removed": 0}
    assert answer.documents == [
        {
            "kind": "target_key",
            **keys,
            "samples": [
                {"key": "ada", "before": "ada@x.example", "after": "ada@X.example"},
                {"key": "bob", "before": "bob@x.example", "after": "BOB@x.example"},
            ],
        },
        {
            "kind": "match",
            "entity_type": "HR_Person",
            "name": "Account_1",
            "added": 0,
            "changed": 0,
            "removed": 2,
            "samples": [
                {"key": "E1", "other_key": "ada", "before": "ada@x.example", "after": None},
                {"key": "E2", "other_key": "bob", "before": "bob@x.example", "after": None},
            ],
        },
    ]
    head = proposal.jsonl("changes")[-1]["position"]
    assert "4 derived values would differ from the state at position" in answer.err
    assert "Nothing was written." in answer.err
    assert (proposal.jsonl("changes"), proposal.jsonl("keys"), proposal.jsonl("runs")) == before
    assert proposal.jsonl("changes")[-1]["position"] == head


def test_a_table_shows_so_many_samples_as_are_wanted(proposal):
    table = proposal.done("simulate", "--configuration", "proposal", "--samples", "1").lines
    bare = proposal.done("simulate", "--configuration", "proposal", "--samples", "0").text

    cells = " ".join(table[1].split())
    assert cells == 'target key of rule Account_1 of AD_User 0 2 0 ada: "ada@x.example" → "ada@X.example"'
    assert table[2].endswith("E1 – ada")
    assert "such as" not in bare


def test_the_configuration_in_force_differs_in_nothing(proposal):
    answer = proposal.done("simulate", "--configuration", "configuration")

    assert not answer.lines
    assert "No derived value would differ" in answer.err


def test_a_past_state_is_compared_with_what_the_rules_of_its_time_give(proposal):
    proposal.extract(users="login,mail\nada,ADA@x.example\nzoe,Zoe@x.example\n")
    proposal.done("run", "Incremental")

    past = proposal.jsonl("simulate", "--configuration", "proposal", "--at", "run:1")
    present = proposal.jsonl("simulate", "--configuration", "proposal")

    assert [sample["key"] for sample in past[0]["samples"]] == ["ada", "bob"]
    assert [sample["key"] for sample in present[0]["samples"]] == ["ada", "zoe"]


def test_only_what_a_job_computes_differs(proposal):
    assert proposal.jsonl("simulate", "--configuration", "proposal", "--job", "OnlyFlag") == []
    assert len(proposal.jsonl("simulate", "--configuration", "proposal", "--job", "Incremental")) == 2


def test_what_adopting_the_configuration_would_do_is_said(proposal):
    dropped = TRIMMED.replace('<Property Identifier="Salary" Type="Double" />', "").replace(
        '<Property Identifier="Salary" ConnectionColumn="salary" />', ""
    )
    (proposal.folder / "proposal" / "company.xml").write_text(dropped, encoding="utf-8")

    answer = proposal.done("simulate", "--configuration", "proposal")

    assert "Adopting the configuration would do this before anything is computed: 2 values removed." in answer.err


def test_that_changes_wait_to_be_computed_is_said(proposal):
    proposal.extract(users="login,mail\nada,ada@X.example\nbob,BOB@x.example\nzoe,ZOE@x.example\n")
    proposal.done("run", "Forgetful")

    answer = proposal.done("simulate", "--configuration", "configuration")

    assert "Tasks have still to compute changes under the configuration in force" in answer.err


def test_faults_of_the_other_configuration_are_reported_as_validate_does(proposal):
    broken = TRIMMED.replace('Expression="Trim"', 'Expression="Trimm"').replace('"Flag" Level="2"', '"Flagg" Level="2"')
    (proposal.folder / "proposal" / "company.xml").write_text(broken, encoding="utf-8")

    answer = proposal.deltamark("simulate", "--configuration", "proposal")
    validated = proposal.deltamark("--configuration", "proposal", "validate")

    assert answer.status == 2
    assert len(answer.err.splitlines()) == 2
    assert answer.err.splitlines() == validated.lines


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--job", "Nightly"], 'there is no job "Nightly"'),
        (["--at", "999999"], "position 999999 is not in the log"),
        (["--samples", "many"], '"many" is no whole number from 0 on.'),
    ],
)
def test_what_does_not_exist_is_refused(proposal, options, words):
    answer = proposal.deltamark("simulate", "--configuration", "proposal", *options)

    assert answer.status == 2
    assert words in answer.err


def test_without_a_configuration_the_command_says_what_is_missing(company):
    answer = company.deltamark("simulate")

    assert answer.status == 2
    assert "--configuration" in answer.err


def test_no_store_is_made(company):
    answer = company.deltamark("simulate", "--configuration", "configuration")

    assert answer.status == 2
    assert "deltamark run" in answer.err or "there is no store" in answer.err
