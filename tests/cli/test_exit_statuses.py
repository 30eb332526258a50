"""Exit statuses 0 to 3 (4 is in `test_verify`), and tracebacks only with `--debug`."""

from __future__ import annotations

import pytest

from tests.cli.workspace import EXTRACTS, Workspace


def broken(company: Workspace) -> None:
    company.extract(people="no,such,columns\n1,2,3\n")


def emptied(company: Workspace) -> None:
    company.done("run", "OnlyFlag")
    company.extract(people="number,name,mail,salary,hired,active,department\n")


def test_0_a_run_with_a_warning_succeeds(company):
    company.extract(users=EXTRACTS["users"] + ",nobody@x.example\n")

    answer = company.deltamark("run", "Forgetful", "--format", "jsonl")

    assert answer.status == 0
    assert answer.documents[-1]["state"] == "warning"
    assert "Traceback" not in answer.err


def test_0_rows_set_aside_are_shown_with_their_location(company):
    company.extract(users=EXTRACTS["users"] + ",nobody@x.example\n")

    answer = company.done("run", "Forgetful")

    assert "1 row was set aside: what it says is not applied. `deltamark runs 1` lists all." in answer.err
    assert "  users.csv:5:login: the key is empty\n" in answer.err


def test_1_a_failed_task_is_shown_and_recorded(company):
    broken(company)

    answer = company.deltamark("run", "Incremental", "--format", "jsonl")

    assert answer.status == 1
    (run,) = answer.documents
    assert [task["state"] for task in run["tasks"]] == ["failed", "skipped", "skipped", "skipped"]
    assert "x Read HR: failed (" in answer.err
    assert "  people.csv:1:" in answer.err
    assert "Nothing was changed." in answer.err
    assert "Traceback" not in answer.err
    assert company.jsonl("runs", "1")[0]["tasks"] == run["tasks"]
    assert company.jsonl("changes") == []


def test_1_a_failed_task_fails_a_dry_run_too(company):
    company.done("run", "OnlyFlag")
    broken(company)

    assert company.deltamark("run", "Incremental", "--dry-run").status == 1
    assert [run["job"] for run in company.jsonl("runs")] == ["OnlyFlag"]


def test_3_a_blocked_task_is_shown_the_others_continue_and_force_applies_it(company):
    emptied(company)
    before = company.jsonl("export", "HR_Person")

    answer = company.deltamark("run", "OnlyFlag", "--format", "jsonl")

    assert answer.status == 3
    assert answer.documents[-1]["state"] == "blocked"
    assert answer.documents[-1]["tasks"][0]["state"] == "blocked"
    assert "people.csv holds a header and no row, which would remove all 3 resources of HR_Person" in answer.err
    assert company.jsonl("export", "HR_Person") == before
    assert company.deltamark("run", "OnlyFlag", "--dry-run").status == 3
    assert company.deltamark("run", "OnlyFlag", "--force").status == 0
    assert company.jsonl("export", "HR_Person") == []


NOT_STARTED = {
    "usage": ["run", "Incremental", "--nonsense"],
    "a job that is none": ["run", "Nightly"],
    "an entity type that is none": ["export", "Persons"],
    "a key that is none": ["show", "HR_Person", "E9"],
    "a position that is none": ["changes", "--after", "9999"],
    "a rule that is none": ["keys", "--rule", "none"],
    "a resource that never was": ["why", "HR_Person", "E9"],
    "a sample of the log": ["verify", "--sample", "1"],
    "a configuration that is not there": ["--configuration", "nowhere", "run", "Incremental"],
    "a store of an unknown kind": ["--store", "oracle://db", "run", "Incremental"],
    "an ending that says nothing": ["export", "HR_Person", "-o", "people.xlsx"],
}


@pytest.mark.parametrize("name", NOT_STARTED)
def test_2_nothing_is_started_and_no_traceback_is_shown(past, name):
    runs = past.jsonl("runs")

    answer = past.deltamark(*NOT_STARTED[name])

    assert (answer.status, answer.out) == (2, b"")
    assert "Traceback" not in answer.err
    assert answer.err.strip()
    assert past.jsonl("runs") == runs


@pytest.mark.parametrize("what", ["a text", "a folder", "nothing in a folder that is not there"])
def test_2_a_store_that_cannot_be_opened(company, what):
    path = company.folder / "store"
    if what == "a text":
        path.write_text("This is no database, but it is long enough to look at." * 50)
    elif what == "a folder":
        path.mkdir()
    else:
        path = path / "not" / "there"

    for command in (["run", "Incremental"], ["runs"]):
        answer = company.deltamark("--store", f"sqlite:///{path}", *command)

        assert (answer.status, answer.out) == (2, b"")
        assert str(path) in answer.err
        assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "HR_Person", "E9"],
        ["--configuration", "nowhere", "jobs"],
        ["export", "HR_Person", "-o", "nowhere/x.csv"],
    ],
)
def test_debug_shows_the_traceback_before_the_message(past, arguments):
    plain = past.deltamark(*arguments)

    debugged = past.deltamark("--debug", *arguments)

    assert debugged.status == plain.status == 2
    assert debugged.err.startswith("Traceback (most recent call last):\n")
    assert debugged.err.endswith(plain.err)
    assert "Traceback" not in plain.err


def test_1_an_internal_error_is_reported_as_one(past, monkeypatch):
    def breaking(*_: object) -> None:
        raise ValueError("a broken promise\n\x1b[31m")

    monkeypatch.setattr("deltamark.engine.Engine.runs", breaking)

    plain, debugged = past.deltamark("runs"), past.deltamark("--debug", "runs")

    assert (plain.status, debugged.status) == (1, 1)
    assert plain.err.startswith("deltamark: an error inside Deltamark: ValueError: a broken promise\n\\x1b[31m. ")
    assert "Run again with --debug (before the command)" in plain.err
    assert "Traceback" not in plain.err
    assert "breaking" in debugged.err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["run", "--help"], ["show", "-h"]])
def test_0_help_and_version(company, arguments):
    answer = company.done(*arguments)

    assert answer.err == ""
    assert "Example: deltamark" in answer.text or answer.text.startswith("deltamark 0.")


def test_every_command_has_help_with_an_example_that_fits_a_screen(company):
    from deltamark.interfaces.cli.main import deltamark

    for name in deltamark.commands:
        lines = company.done(name, "--help").lines
        assert len(lines) <= 30
        assert any("Example: deltamark" in line and f" {name}" in line for line in lines), name
