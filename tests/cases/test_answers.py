"""Answers that are true: who ran a job, what a printed time means, what is left out, what is dirty."""

from __future__ import annotations

import os
import pwd
import re

import pytest


def test_who_ran_it_is_the_account_of_the_process(case, monkeypatch):
    reported = case("54-who-ran-it")
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "somebody")

    assert reported.run(1).status == 0

    account = pwd.getpwuid(os.geteuid()).pw_name
    for command in ("runs", "changes"):
        assert {found["user"] for found in reported.command(command, "--format", "jsonl").documents} == {account}


SINCE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
BY_RUN_2 = f"connector Staff is blocked by run 2 since {SINCE}"
DECISIONS = ("deltamark changes --pending 2", "deltamark resume 2", "deltamark cancel 2")


def blocked(case):
    """The reported case, after the run that was blocked."""
    reported = case("47-blocked-and-forgotten")
    assert reported.run(1).status == 0
    assert reported.run(2).status == 3
    return reported


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_blocked_and_forgotten_is_a_warning_in_every_later_run(case, form):
    reported = blocked(case)

    for number in (3, 4):
        ran = reported.run(3, "Load", "--format", form)

        assert ran.status == 0
        assert re.search(BY_RUN_2, ran.err), ran.err
        assert all(command in ran.err for command in DECISIONS)
        (found,) = reported.command("runs", str(number), "--format", "jsonl").documents
        assert found["state"] == "warning"
        assert found["tasks"][0]["state"] == "skipped"
        assert found["tasks"][0]["left_out"].items() >= {"connector": "Staff", "run": 2}.items()
        assert any(re.search(BY_RUN_2, message) for message in found["tasks"][0]["messages"])
        assert ["left_out" in task for task in found["tasks"]] == [True, False, False]
        assert re.search(BY_RUN_2[1:], reported.command("runs", str(number)).err)
    assert reported.run(3, "Load", "--dry-run").err.count("is blocked by run 2") == 2


def test_blocked_and_forgotten_is_not_well_until_somebody_decides(case):
    reported = blocked(case)
    reported.run(3)

    health = reported.command("health")
    (document,) = reported.command("health", "--format", "jsonl").documents
    (job,) = reported.command("jobs", "--format", "jsonl").documents
    table = reported.command("jobs")

    assert health.status == 1
    assert re.search(BY_RUN_2, health.text)
    assert all(command in health.text for command in DECISIONS)
    assert [found["connector"] for found in document["held_back"]] == ["Staff"]
    assert not document["well"]
    assert job["left_out"] == document["held_back"]
    assert "left_out" in table.lines[0]
    assert re.search(BY_RUN_2[1:], table.err)

    assert reported.command("resume", "2", step=3).status == 0
    after = reported.run(3)

    assert (after.status, reported.command("health").status) == (0, 0)
    assert "Run 4: completed." in after.err
    assert "blocked" not in reported.command("jobs").err
    (job,) = reported.command("jobs", "--format", "jsonl").documents
    assert "left_out" not in job


def test_blocked_and_forgotten_ends_when_the_run_is_cancelled(case):
    reported = blocked(case)
    reported.run(3)

    assert reported.command("cancel", "2").status == 0

    assert reported.command("health").status == 0
    assert "Run 4: completed." in reported.run(1).err


def test_jobs_without_a_store_leave_nothing_out_and_make_none(case):
    reported = case("47-blocked-and-forgotten")

    answer = reported.command("jobs", "--format", "jsonl")

    assert (answer.status, answer.err) == (0, "")
    assert ["left_out" in job for job in answer.documents] == [False]


def test_why_through_computed_values(case):
    reported = case("48-why-through-computed-values")
    assert reported.run(1).status == 0
    assert reported.run(2, "FlagOnly").status == 0

    dirty = reported.command("dirty", "--format", "jsonl", step=2).documents
    causes = {key: reported.command("why", "P", key, "--format", "jsonl").documents for key in "012"}

    assert [(found["key"], found.get("through")) for found in dirty] == [("0", None), ("2", ["M.M.B"])]
    (direct,), (through,) = causes["0"], causes["2"]
    assert (direct["computes"], direct.get("through")) == (["B"], None)
    assert through["position"] == direct["position"]
    assert (through["change"], through["entity_type"], through["key"]) == ("updated", "P", "0")
    assert through["changes"] == {"A": {"before": "Queen", "after": "Emperor"}}
    assert (through["path"], through["property"], through["through"]) == ("M.M", "A", ["M.M.B"])
    assert through["computes"] == ["C"]
    assert causes["1"] == []
    assert "clean" not in reported.command("why", "P", "2").err

    assert reported.run(2).status == 0
    assert {row["key"]: row["properties"].get("C") for row in reported.exported("P")} == {
        "0": None, "1": None, "2": "EMPEROR"
    }  # fmt: skip
    assert reported.command("dirty", "--format", "jsonl").documents == []
