"""Answers that are true: who ran a job, what a printed time means, what is left out, what is dirty."""

from __future__ import annotations

import os
import pwd
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from deltamark import Engine, UsageError
from deltamark.interfaces.cli.times import shown_time
from deltamark.interfaces.moments import written_moment


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
    with Engine.open(reported.store, configuration=reported.configuration(1)) as engine:
        assert [(found.connector, found.run) for found in engine.held_back()] == [("Staff", 2)]
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
    past = reported.command("runs", "3").err
    assert past == "Connector Staff was left out: run 2 held its changes back then.\n"
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


def named(case, *options: str) -> tuple[str, ...]:
    """The reported case after two runs: the times of the changes of run 2 and of run 1 as the table prints them."""
    reported = case("30-time-as-printed")
    assert reported.run(1).status == reported.run(2).status == 0
    tables = [reported.command(*options, "changes", "--run", run).lines for run in ("2", "1")]
    return reported, *(lines[1].split()[1] for lines in tables)


ZONES = [("UTC", "Z"), ("Europe/Paris", None), ("America/St_Johns", None), ("Asia/Kathmandu", "+05:45")]


@pytest.fixture
def zone(monkeypatch):
    """Sets the zone of this machine, as the variable TZ does when a process starts."""

    def set_to(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_to
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("name", "ending"), ZONES)
def test_a_time_as_printed_means_that_very_moment(case, zone, name, ending):
    zone(name)
    reported, of_change, before = named(case)

    def names(*when: str) -> list[str]:
        rows = reported.command("export", "P", *when, "--format", "jsonl").documents
        return [row["properties"]["N"] for row in rows]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)", of_change)
    assert ending is None or of_change.endswith(ending)
    assert names("--at", of_change) == names("--at", of_change.replace("T", " ")) == ["Anne", "Bob", "Cid"]
    assert names("--at", before) == ["Ann", "Bob", "Cid"]
    assert reported.command("diff", "P", "--from", before, "--to", of_change).lines[1].split()[0] == "updated"
    assert len(reported.command("changes", "--until", before).lines) == 4
    assert len(reported.command("changes", "--until", of_change).lines) == 5
    (programs,) = reported.command("changes", "--run", "2", "--format", "jsonl").documents
    assert datetime.fromisoformat(programs["at"]) == datetime.fromisoformat(of_change)
    assert programs["at"].endswith("Z")
    assert reported.command("--utc", "changes", "--run", "2").lines[1].split()[1] == programs["at"]
    in_csv = reported.command("changes", "--run", "2", "--format", "csv").lines[1].split(",")[1]
    assert in_csv == programs["at"]


@pytest.mark.parametrize("digits", [0, 3, 5])
def test_a_time_that_was_cut_off_includes_the_change_that_it_was_printed_for(case, digits):
    reported, of_change, _ = named(case, "--utc")
    whole, _, rest = of_change.partition(".")
    cut = f"{whole}.{rest[:digits]}" if digits else whole

    rows = reported.command("export", "P", "--at", f"{cut}Z", "--format", "jsonl")

    assert rows.documents[0]["properties"]["N"] == "Anne"


def test_times_of_the_hour_that_occurs_twice_have_their_offset(zone):
    zone("Europe/Paris")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)

    shown = [shown_time(first), shown_time(first + timedelta(hours=1))]

    assert shown == ["2026-10-25T02:30:00.000000+02:00", "2026-10-25T02:30:00.000000+01:00"]
    assert [written_moment(text) for text in shown] == [first, first + timedelta(hours=1)]


def test_a_time_without_a_zone_is_refused_with_all_that_it_may_mean(case, zone):
    zone("Europe/Paris")
    reported = case("31-time-to-come")
    reported.run(1)

    answer = reported.command("export", "P", "--at", "2025-10-26T02:30:00")

    assert answer.status == 2
    assert (
        "Write 2025-10-26T02:30:00Z for UTC, or 2025-10-26T02:30:00+02:00 or 2025-10-26T02:30:00+01:00 for the time of "
        "this machine."
    ) in answer.err


@pytest.mark.parametrize(
    "command",
    [
        ("export", "P", "--at", "{}"),
        ("show", "P", "1", "--at", "{}"),
        ("diff", "P", "--from", "run:1", "--to", "{}"),
        ("diff", "P", "--from", "{}", "--to", "run:1"),
        ("changes", "--until", "{}"),
        ("history", "P", "1", "--until", "{}"),
        ("audit", "--type", "P", "--property", "N", "--between", "run:1", "{}"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_time_to_come_is_refused_everywhere(case, command):
    reported = case("31-time-to-come")
    assert reported.run(1).status == 0
    newest = reported.command("changes", "--format", "jsonl").documents[-1]["at"]

    for time_to_come in ("2999-01-01T00:00:00Z", (datetime.now(UTC) + timedelta(minutes=5)).isoformat()):
        answer = reported.command(*(part.format(time_to_come) for part in command))

        assert answer.status == 2
        assert answer.out == b""
        assert "is in the future: it is " in answer.err
        assert f"the newest change is at {newest[:10]}" in answer.err
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert reported.command(*(part.format(now) for part in command)).status == 0


def test_a_time_to_come_is_refused_from_python(case):
    reported = case("31-time-to-come")
    reported.run(1)
    to_come = datetime.now(UTC) + timedelta(days=1)

    with Engine.open(reported.store, configuration=reported.configuration(1)) as engine:
        for ask in (
            lambda: engine.resource("P", "1", at=to_come),
            lambda: engine.export("P", at=to_come),
            lambda: engine.position(to_come),
            lambda: list(engine.changes(until=to_come)),
            lambda: list(engine.diff("P", 0, to_come)),
        ):
            with pytest.raises(UsageError, match=r"is in the future: it is .* now, and the newest change is at "):
                ask()
        assert engine.resource("P", "1", at=datetime.now(UTC)) is not None
