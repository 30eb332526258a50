"""`config log`, `show` and `diff` look back at configurations; `adopt` puts one into force."""

from __future__ import annotations

import pytest

from deltamark.config.xml.canonical import in_canonical_order
from deltamark.config.xml.load import load_configuration as load
from tests.cli.workspace import CONFIGURATION, LATER, Workspace

EDITED = CONFIGURATION.replace('"Salary" Type="Double"', '"Salary" Type="Double" DisplayName_L1="Pay"').replace(
    '<Property Identifier="Title" />', '<Property Identifier="Title" /><Property Identifier="Site" />'
)
DIFFERENCES = [
    "Property Salary of HR_Person: display name 1 none → Pay",
    "Property Site of HR_Department: added (String)",
]


@pytest.fixture
def edited(company: Workspace) -> Workspace:
    """The company after a day, an edit of its configuration, and another day."""
    company.done("run", "Incremental")
    company.configure(EDITED)
    company.extract(**LATER)
    company.done("run", "Incremental")
    return company


def test_the_log_of_configurations_says_what_differs_from_the_one_before(edited):
    first, second = edited.jsonl("config", "log")

    assert (first["change"], first["previous"], first["differences"], first["run"]) == ("adopted", None, [], 1)
    assert (second["previous"], second["run"], second["reason"]) == (first["digest"], 2, None)
    assert sorted(second["differences"]) == DIFFERENCES
    table = edited.done("config", "log").text
    assert "(the first one)" in table
    assert DIFFERENCES[1] in table


def test_a_past_configuration_is_a_file_that_can_be_loaded_whatever_the_files_say_now(edited, tmp_path):
    (tmp_path / "was.xml").write_text(CONFIGURATION, encoding="utf-8")
    edited.configure("<ConfigurationFile><Broken")

    answer = edited.done("config", "show", "--at", "run:1", "-o", "then.xml")

    assert load(edited.folder / "then.xml") == in_canonical_order(load(tmp_path / "was.xml"))
    assert (
        answer.err
        == "The configuration was written to then.xml.\nAdopted at position 2, in run 1, by root.\n".replace(
            "root", edited.jsonl("config", "log")[0]["by"]
        )
    )
    assert 'DisplayName_L1="Pay"' in edited.done("config", "show").text


def test_the_configurations_of_two_moments_are_compared(edited):
    forwards = edited.jsonl("config", "diff", "--from", "run:1")
    backwards = edited.jsonl("config", "diff", "--from", "run:2", "--to", "run:1")
    none = edited.done("config", "diff", "--from", "run:1", "--to", "run:1")

    assert [(row["name"], row["difference"], row["after"]) for row in forwards if row["difference"] == "added"] == [
        ("HR_Department.Site", "added", "String")
    ]
    assert [row["difference"] for row in backwards if row["name"] == "HR_Department.Site"] == ["dropped"]
    assert none.err == "The configurations of the two moments are equal.\n"


def test_adopting_says_what_differs_and_is_a_run_with_its_reason(edited):
    edited.configure(CONFIGURATION)

    answer = edited.done("adopt", "--reason", "change 4711")

    assert "  Property Site of HR_Department: dropped (String)\n" in answer.err
    assert answer.err.endswith("in run 3.\n")
    assert edited.jsonl("config", "log")[-1]["reason"] == "change 4711"
    assert "reason: change 4711" in edited.done("runs", "3").text
    assert edited.done("adopt").err == "The configuration is in force already; nothing was written.\n"


def test_2_a_faulty_configuration_is_not_adopted(company):
    company.configure("<ConfigurationFile><Job /></ConfigurationFile>")

    answer = company.deltamark("adopt")

    assert answer.status == 2
    assert "`Job` needs the attribute `Identifier`" in answer.err


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_there_is_no_log_of_configurations_where_there_is_no_store(company):
    company.done("run", "Incremental", "--dry-run")

    assert company.deltamark("config", "log").status == 2


def test_2_what_is_not_known_is_said(company):
    company.done("run", "OnlyFlag")
    answer = company.deltamark("config", "show", "--at", "99999")

    assert answer.status == 2
    assert "position 99999 is not in the log" in answer.err
