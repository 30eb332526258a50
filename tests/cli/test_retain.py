"""`deltamark retain`: what it prints and what it refuses."""

from __future__ import annotations

import pytest

from tests.cli.workspace import Workspace

in_a_file = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
in_a_server = pytest.mark.parametrize("new_store", ["postgresql"], indirect=True)


def test_a_dry_run_prints_what_would_be_discarded_and_the_new_horizon(two_days: Workspace) -> None:
    before = two_days.jsonl("changes")

    answer = two_days.done("retain", "--connector", "HR", "--keep", "0", "--even-unread", "--dry-run")
    rows = two_days.jsonl("retain", "--connector", "HR", "--keep", "0", "--even-unread", "--dry-run")

    assert "Dry run: " in answer.err
    assert f"Below position {max(row['last'] for row in rows)} (" in answer.err
    assert "there would be no answer any more from history, changes, show --at, export --at and diff" in answer.err
    assert {row["subject"] for row in rows} >= {"HR_Person", "HR_Department"}
    gone = [change for change in before if change["entity_type"] == "HR_Person" and "association" not in change]
    assert sum(row["count"] for row in rows if row["subject"] == "HR_Person") == len(gone)
    assert min(row["first_at"] for row in rows) == before[0]["at"]
    assert two_days.jsonl("changes") == before
    assert all(run["job"] != "*retain*" for run in two_days.jsonl("runs"))


def test_discarded_changes_are_reported_and_removed(two_days: Workspace) -> None:
    persons = two_days.jsonl("export", "HR_Person")

    answer = two_days.done("retain", "--connector", "HR", "--keep", "0", "--even-unread")

    assert "of HR discarded up to position" in answer.err
    assert "bytes" in answer.err
    assert two_days.jsonl("export", "HR_Person") == persons
    assert two_days.jsonl("runs")[-1]["job"] == "*retain*"
    refused = two_days.deltamark("show", "HR_Person", persons[0]["key"], "--at", "1")
    assert refused.status == 2
    assert "were discarded by a retention in run" in refused.err
    again = two_days.done("retain", "--connector", "HR", "--keep", "0", "--even-unread")
    assert again.err == "HR: there is nothing to discard.\n"


@in_a_file
def test_the_file_shrinks_on_request(two_days: Workspace) -> None:
    answer = two_days.done("retain", "--connector", "HR", "--keep", "0", "--even-unread", "--vacuum")

    assert ", of which 0 are free" in answer.err


@in_a_server
def test_for_a_server_the_command_that_frees_space_is_named(two_days: Workspace) -> None:
    refused = two_days.deltamark("retain", "--connector", "HR", "--keep", "0", "--vacuum")

    assert (refused.status, refused.out) == (2, b"")
    assert "VACUUM FULL" in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--connector", "hr", "--keep", "0"], "did you mean"),
        (["--connector", "HR", "--keep", "-5"], "does not say what to keep"),
        (["--connector", "HR", "--keep", "soon"], "does not say what to keep"),
        (["--connector", "HR", "--keep", "run:77"], "there is no run 77"),
        (["--connector", "HR"], "--keep"),
        (["--keep", "0"], "--connector"),
        (["--type", "HR_Person", "--connector", "HR", "--keep", "0"], "only one"),
        (["--type", "HR_Persn", "--keep", "0"], "did you mean"),
        (["--association", "Member", "--keep", "0"], "did you mean"),
    ],
)
def test_an_invalid_retention_has_status_2_and_changes_nothing(
    two_days: Workspace, arguments: list[str], words: str
) -> None:
    before = two_days.jsonl("changes")

    refused = two_days.deltamark("retain", *arguments)

    assert (refused.status, refused.out) == (2, b"")
    assert words in refused.err
    assert two_days.jsonl("changes") == before
