"""Every command in every format: what it prints is documented, and the formats agree."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from deltamark.bootstrap import open_store
from tests.cli.workspace import LATER, Workspace

COUNTS = [
    "read", "inserted", "updated", "deleted", "linked", "unlinked", "set_aside", "flagged", "computed", "executed",
    "necessary", "written",
]  # fmt: skip
CAUSE = ["run", "job", "task", "user", "trigger"]
CHANGED = ["position", "at", "change", "entity_type", "key", "changes", *CAUSE]
LINKED = ["position", "at", "change", "association", "entity_type", "key", "other_entity_type", "other_key", *CAUSE]
PLACE = ["file", "line"]
RUN = [
    "run", "job", "state", "started_at", "ended_at", "user", "host", "forced", "trigger", "due_at", "late", "resumed",
    "dry_run", "tasks",
]  # fmt: skip
TASK = ["task", "state", *COUNTS, "seconds", "messages", "message_parts"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")


def table_of(csv_text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text, newline="")))


def plain(value: object) -> str:
    """Returns a value of a JSON line as a cell of CSV."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def agree(company: Workspace, *command: str) -> list[dict]:
    """Returns the documents of a command, whose three formats must have the same rows."""
    documents = company.jsonl(*command)
    rows = table_of(company.done(*command, "--format", "csv").text)
    lines = company.done(*command).lines
    assert rows == [
        {name: plain(document.get(name)) for name in row} for document, row in zip(documents, rows, strict=True)
    ]
    assert len(lines) == len(documents) + bool(documents)
    return documents


def rows_of_the_log(store: str) -> list[tuple]:
    """Every stored event in its stored form."""
    opened = open_store(store)
    try:
        notifications = opened.recorder.select_notifications(None, 1_000_000)
        return [(n.id, n.originator_id, n.originator_version, n.topic, n.state) for n in notifications]
    finally:
        opened.close()


def described(change: dict) -> tuple:
    return (
        change["change"],
        change["key"],
        change.get("other_key") or {n: c["after"] for n, c in change["changes"].items()},
    )


# Configuration


def test_jobs_and_tasks_are_shown_in_every_format(company):
    jobs = agree(company, "jobs")
    tasks = company.jsonl("tasks")

    assert TIME.match(jobs[0]["next_at"])
    assert jobs[0] == {
        "job": "Incremental",
        "display_name": "What changed since last night",
        "is_incremental": True,
        "schedule": "0 6 * * *",
        "next_at": jobs[0]["next_at"],
        "tasks": 4,
        "user_start_denied": False,
    }
    assert [(t["job"], t["task"], t["level"]) for t in tasks] == [
        ("Incremental", "SynchronizeHR", 1),
        ("Incremental", "SynchronizeAD", 2),
        ("Incremental", "Flag", 3),
        ("Incremental", "Keys", 5),
        ("OnlyFlag", "SynchronizeHR", 1),
        ("OnlyFlag", "Flag", 2),
        ("Forgetful", "SynchronizeAndForget", None),
    ]
    assert tasks[3]["depends_on"] == ["Flag"]
    assert tasks[3]["works_on"] == "HR_Person, AD_User"
    assert table_of(company.done("tasks", "--format", "csv").text)[2]["depends_on"] == "SynchronizeHR, SynchronizeAD"


def test_a_valid_configuration_gives_one_message_and_no_output(company):
    answer = company.done("validate")

    assert answer.out == b""
    assert answer.err == "The configuration can be run: 3 jobs, 2 connectors, 4 entity types.\n"
    assert company.done("validate", "--format", "jsonl").out == b""


def test_warnings_are_shown_and_the_configuration_can_be_run(company):
    text = (company.folder / "configuration" / "company.xml").read_text()
    company.configure(text.replace(' DoNotDeleteChanges="true"', "", 1))

    (warning, *_) = company.jsonl("validate")

    assert list(warning) == ["severity", "file", "line", "column", "message", "what", "where", "advice"]
    assert warning["severity"] == "warning"
    assert company.done("validate").lines[0].startswith(f"{warning['file']}:{warning['line']}:")
    assert ": warning: " in company.done("validate").lines[0]


# Runs


def test_a_run_ends_with_one_object_that_describes_it(company):
    (run,) = company.jsonl("run", "Incremental")

    assert list(run) == RUN
    assert (run["run"], run["job"], run["state"], run["dry_run"]) == (1, "Incremental", "completed", False)
    assert [list(task) for task in run["tasks"]] == [TASK] * 4
    assert [{name: task[name] for name in COUNTS if task[name]} for task in run["tasks"]] == [
        {"read": 5, "inserted": 5, "linked": 3},
        {"read": 8, "inserted": 5, "linked": 3},
        {"flagged": 6},
        {"computed": 6, "executed": 6, "necessary": 5, "written": 5},
    ]
    assert all(TIME.match(run[name]) for name in ("started_at", "ended_at"))


def test_a_run_shows_tasks_on_standard_error_and_its_result_on_standard_output(company):
    answer = company.done("run", "Incremental")

    assert re.match(r"\+ Read HR: completed \(\d+\.\d\d s\)\n", answer.err)
    assert answer.err.endswith("+ Run 1: completed.\n")
    assert answer.lines[0].split() == [
        "task",
        "state",
        "read",
        "inserted",
        "linked",
        "flagged",
        "computed",
        "executed",
        "necessary",
        "written",
        "seconds",
    ]
    assert re.split("  +", answer.lines[1])[:5] == ["Read HR", "+ completed", "5", "5", "3"]
    csv_rows = table_of(company.done("run", "Incremental", "--format", "csv").text)
    assert [(row["task"], row["state"]) for row in csv_rows] == [
        ("SynchronizeHR", "completed"), ("SynchronizeAD", "completed"), ("Flag", "skipped"), ("Keys", "skipped"),
    ]  # fmt: skip
    assert list(csv_rows[0]) == ["task", "state", *COUNTS, "seconds"]


def test_a_dry_run_shows_changes_and_does_not_write_the_log(company):
    company.done("run", "Incremental")
    company.extract(**LATER)
    before, exported = rows_of_the_log(company.store), company.done("export", "HR_Person").out

    *changes, run = company.jsonl("run", "Incremental", "--dry-run")

    assert rows_of_the_log(company.store) == before
    assert company.done("export", "HR_Person").out == exported
    assert (run["run"], run["dry_run"], run["state"]) == (None, True, "completed")
    assert company.jsonl("run", "Incremental")[-1]["run"] == 2
    real = company.jsonl("changes", "--run", "2")
    assert [described(change) for change in changes] == [described(change) for change in real]
    assert len(real) == 10


def test_a_dry_run_shows_the_same_changes_in_every_format(company):
    before = company.done("run", "Incremental")
    company.extract(**LATER)

    as_csv = company.done("run", "Incremental", "--dry-run", "--format", "csv")
    as_table = company.done("run", "Incremental", "--dry-run")

    assert [row["change"] for row in table_of(as_csv.text)].count("created") == 1
    assert len(table_of(as_csv.text)) == 10
    assert all(row["position"].isdigit() for row in table_of(as_csv.text))
    assert sum("Read HR" in line for line in as_table.lines) == 7 + 1
    assert as_table.err.endswith("Dry run, nothing was kept: completed.\n")
    assert "Run 1: completed." in before.err
    assert [run["run"] for run in company.jsonl("runs")] == [1]


def test_a_long_dry_run_shows_its_first_changes_and_counts_the_others(company):
    company.extract(
        people="number,name,mail,salary,hired,active,department\n" + "".join(f"P{n},,,,,,\n" for n in range(30))
    )

    answer = company.deltamark("run", "OnlyFlag", "--dry-run")

    assert "12 more changes; --format jsonl shows all." in answer.err
    assert len(company.jsonl("run", "OnlyFlag", "--dry-run")) == 32 + 1


def test_force_applies_an_empty_extract(company):
    company.done("run", "Incremental")
    company.extract(users="login,mail\n", members="group,login\n")

    blocked = company.deltamark("run", "Incremental")
    forced = company.jsonl("run", "Incremental", "--force")

    assert blocked.status == 3
    assert "users.csv holds a header and no row" in blocked.err
    assert "If the source is truly empty, force the run." in blocked.err
    assert (forced[-1]["forced"], forced[-1]["tasks"][1]["deleted"], forced[-1]["tasks"][1]["unlinked"]) == (True, 3, 3)
    assert company.jsonl("export", "AD_User") == []


def test_past_runs_are_listed_and_one_is_shown_with_rows_set_aside(company):
    company.done("run", "Incremental")
    company.extract(users="login,mail\nada,a@x.example\n,nobody@x.example\n")
    assert company.done("run", "Incremental").status == 0

    runs = company.jsonl("runs")
    (second,) = company.jsonl("runs", "2")

    assert [(run["run"], run["state"]) for run in runs] == [(1, "completed"), (2, "warning")]
    assert [list(run) for run in runs] == [RUN] * 2
    assert {**runs[1], "set_aside": second["set_aside"]} == second
    assert second["set_aside"][0] == {
        "file": "users.csv", "line": 3, "column": "login", "reason": "the key is empty", "value": None, "key": None,
    }  # fmt: skip
    assert len(second["set_aside"]) == sum(task["set_aside"] for task in second["tasks"])
    assert company.jsonl("runs", "--newest", "1") == runs[1:]
    rows = table_of(company.done("runs", "--format", "csv").text)
    assert [(row["run"], row["changes"]) for row in rows] == [
        ("1", "16"),
        ("2", str(sum(second["tasks"][1][n] for n in COUNTS[1:6]))),
    ]
    told = company.done("runs", "2").text
    assert "set aside: users.csv:3:login: the key is empty" in told
    assert told.startswith("! Run 2 of Incremental (What changed since last night): warning\nstarted ")
    assert company.done("runs").lines[2].split()[:4] == ["2", "Incremental", "!", "warning"]
    assert len(table_of(company.done("runs", "2", "--format", "csv").text)) == 4


# The log


def test_changes_have_exactly_the_members_of_the_contract(past):
    changes = past.jsonl("changes")

    for change in changes:
        whole = [*(LINKED if "association" in change else CHANGED), *(PLACE if "line" in change else [])]
        grounds = ["grounds"] if change["change"] in ("deleted", "unlinked") else []
        assert list(change) == [*whole, *grounds]
        assert TIME.match(change["at"])
        assert isinstance(change["position"], int)
    by_kind = {change["change"]: change for change in changes}
    assert set(by_kind) == {"created", "updated", "deleted", "linked", "unlinked"}
    assert all(value["before"] is None for value in by_kind["created"]["changes"].values())
    assert all(value["after"] is None for value in by_kind["deleted"]["changes"].values())
    updated = next(change for change in changes if change["change"] == "updated")
    assert {name: updated[name] for name in ("entity_type", "key", "changes", *CAUSE, *PLACE)} == {
        "entity_type": "HR_Person",
        "key": "E1",
        "changes": {"Mail": {"before": "Ada@x.example", "after": "ada.l@x.example"}},
        "run": 2,
        "job": "Incremental",
        "task": "SynchronizeHR",
        "user": past.jsonl("runs", "2")[0]["user"],
        "trigger": "user",
        "file": "people.csv",
        "line": 2,
    }
    assert agree(past, "changes") == changes


def test_changes_are_filtered_by_position_time_run_type_and_key(past):
    everything = past.jsonl("changes")
    middle = everything[10]["position"]

    def those(*options: str) -> list[dict]:
        return past.jsonl("changes", *options)

    assert [c["position"] for c in everything] == sorted({c["position"] for c in everything})
    assert those("--after", str(middle)) == everything[11:]
    assert those("--until", str(middle)) == everything[:11]
    assert those("--until", "run:1") == [c for c in everything if c["run"] == 1] == those("--run", "1")
    first_of_day_two = next(c for c in everything if c["run"] == 2)
    assert those("--until", first_of_day_two["at"]) == [c for c in everything if c["at"] <= first_of_day_two["at"]]
    assert those("--until", "2020-01-01T00:00:00+01:00") == []
    people = [c for c in everything if "HR_Person" in (c["entity_type"], c.get("other_entity_type"))]
    assert those("--type", "HR_Person") == people
    of_ada = [c for c in everything if "ada" in (c["key"], c.get("other_key"))]
    assert those("--key", "ada") == of_ada == those("--type", "AD_User", "--key", "ada")
    assert those("--type", "HR_Person", "--run", "2", "--after", str(first_of_day_two["position"])) == [
        c for c in people if c["run"] == 2 and c["position"] > first_of_day_two["position"]
    ]
    assert 0 < len(of_ada) < len(people) < len(everything)


def test_the_history_of_a_resource_is_oldest_first_with_its_links(past):
    history = agree(past, "history", "HR_Person", "E1")

    assert [(c["change"], c.get("other_key")) for c in history] == [
        ("created", None), ("linked", "D1"), ("updated", None), ("unlinked", "D1"), ("linked", "D2"),
    ]  # fmt: skip
    assert "Mail: Ada@x.example → ada.l@x.example" in past.done("history", "HR_Person", "E1").text


def test_a_history_reports_discarded_changes(two_days):
    two_days.done("run", "Forgetful")

    answer = two_days.done("changes", "--format", "jsonl")
    below = two_days.deltamark("changes", "--after", "0")

    assert {c["entity_type"] for c in answer.documents} == {"HR_Person", "HR_Department"}
    assert "Not shown: changes of AD_Group, AD_User, Members up to position" in answer.err
    assert below.status == 2
    assert "discarded by task SynchronizeAndForget in run 3" in below.err
    assert two_days.jsonl("history", "AD_User", "ada") == []
    assert [r["key"] for r in two_days.jsonl("export", "AD_User")] == ["ada", "bob", "zoe"]


# State


def test_a_resource_is_shown_at_present_and_in_the_past(past):
    (now,) = past.jsonl("show", "HR_Person", "E1")
    (then,) = past.jsonl("show", "HR_Person", "E1", "--at", "run:1")

    assert now == {
        "entity_type": "HR_Person",
        "key": "E1",
        "properties": {
            "Active": True, "Hired": "2024-01-02T00:00:00Z", "Mail": "ada.l@x.example", "Name": "Ada", "Number": "E1",
            "Salary": 1000.0,
        },
        "computed": [],
        "links": {"Staff": ["D2"]},
        "linked_from": {},
    }  # fmt: skip
    assert then == {**now, "properties": {**now["properties"], "Mail": "Ada@x.example"}, "links": {"Staff": ["D1"]}}
    (department,) = past.jsonl("show", "HR_Department", "D1")
    assert (department["links"], department["linked_from"]) == ({}, {"Staff": ["E2", "E4"]})
    assert table_of(past.done("show", "HR_Person", "E1", "--format", "csv").text) == [
        *({"name": name, "value": plain(value), "computed": ""} for name, value in now["properties"].items()),
        {"name": "Staff", "value": "D2", "computed": ""},
    ]
    assert "Staff (from)  E4" in past.done("show", "HR_Department", "D1").text


def test_a_moment_is_a_position_a_time_or_the_end_of_a_run(past):
    run = past.jsonl("runs", "1")[0]
    last = past.jsonl("changes", "--run", "1")[-1]["position"]
    answers = {
        past.done("export", "HR_Person", "--at", at, "--format", "jsonl").out
        for at in (str(last), "run:1", run["ended_at"])
    }

    (exported,) = answers
    assert [json.loads(line)["key"] for line in exported.splitlines()] == ["E1", "E2", "E3"]
    assert past.jsonl("export", "HR_Person", "--at", "0") == []


def test_deleted_future_and_unknown_resources_get_different_answers(past):
    deleted = past.deltamark("show", "HR_Person", "E3")
    never = past.deltamark("show", "HR_Person", "E9")
    not_yet = past.deltamark("show", "HR_Person", "E4", "--at", "run:1")

    assert (deleted.status, never.status, not_yet.status) == (2, 2, 2)
    position = past.jsonl("history", "HR_Person", "E3")[-1]["position"]
    assert deleted.err == (
        f'deltamark: HR_Person "E3" was deleted at position {position}, in run 2. Show it as it was with --at.\n'
    )
    assert "there never was a HR_Person with the key" in never.err
    assert 'there was no HR_Person "E4" at that moment' in not_yet.err
    assert past.jsonl("show", "HR_Person", "E3", "--at", "run:1")[0]["properties"]["Name"] == 'Cy, "the" third'
    assert deleted.out == never.out == not_yet.out == b""


def test_all_resources_of_a_type_are_exported_by_key_with_their_links(past):
    people = past.jsonl("export", "HR_Person")
    groups = past.jsonl("export", "AD_Group")
    rows = table_of(past.done("export", "HR_Person", "--format", "csv").text)

    assert [list(person) for person in people] == [["key", "properties", "links"]] * 3
    assert [(p["key"], p["links"]) for p in people] == [
        ("E1", {"Staff": ["D2"]}), ("E2", {"Staff": ["D1"]}), ("E4", {"Staff": ["D1"]}),
    ]  # fmt: skip
    assert groups == [
        {"key": "admins", "properties": {"Name": "admins"}, "links": {"Members": ["ada"]}},
        {"key": "staff", "properties": {"Name": "staff"}, "links": {"Members": ["bob", "zoe"]}},
    ]
    assert rows == [
        {"key": p["key"], "Staff": p["links"]["Staff"][0]}
        | {n: plain(p["properties"].get(n)) for n in ("Number", "Name", "Mail", "Salary", "Hired", "Active")}
        for p in people
    ]
    assert list(rows[0]) == ["key", "Number", "Name", "Mail", "Salary", "Hired", "Active", "Staff"]
    assert table_of(past.done("export", "AD_Group", "--format", "csv").text)[1]["Members"] == '["bob","zoe"]'
    assert len(past.done("export", "HR_Person").lines) == 4


# Derived values


def test_dirty_resources_are_shown_with_their_first_change(two_days):
    assert two_days.jsonl("dirty") == []
    assert two_days.done("dirty", "--format", "csv").text == "task,entity_type,key,since,through\n"
    two_days.extract(people=LATER["people"].replace("dee@", "d@"))
    two_days.done("run", "OnlyFlag")

    dirty = agree(two_days, "dirty")

    position = two_days.jsonl("changes", "--run", "3")[0]["position"]
    assert dirty == [{"task": "Keys", "entity_type": "HR_Person", "key": "E4", "since": position}]
    assert two_days.jsonl("dirty", "--type", "HR_Person") == two_days.jsonl("dirty", "--task", "Keys") == dirty
    assert two_days.jsonl("dirty", "--type", "AD_User") == []


def test_keys_and_matched_pairs_are_shown(past):
    keys = agree(past, "keys")
    pairs = agree(past, "keys", "--pairs")

    assert [list(key) for key in keys] == [["rule", "side", "entity_type", "key", "value"]] * 6
    assert [(key["side"], key["key"], key["value"]) for key in keys] == [
        ("source", "E1", "ada.l@x.example"),
        ("source", "E2", "bob@x.example"),
        ("source", "E4", "dee@x.example"),
        ("target", "ada", "ada.l@x.example"),
        ("target", "bob", "bob@x.example"),
        ("target", "zoe", "zoe@x.example"),
    ]
    assert [(p["rule"], p["source_key"], p["target_key"], p["confidence"]) for p in pairs] == [
        ("Account_1", "E1", "ada", 90), ("Account_1", "E2", "bob", 90),
    ]  # fmt: skip
    assert past.jsonl("keys", "--rule", "Account_1") == keys
    assert past.jsonl("keys", "--rule", "Account_1", "--pairs") == pairs


@pytest.mark.parametrize("command", ["runs", "changes", "export", "dirty", "keys", "history", "show"])
def test_a_query_creates_no_store(company, command):
    arguments = {"export": ["HR_Person"], "history": ["HR_Person", "E1"], "show": ["HR_Person", "E1"]}

    answer = company.deltamark(command, *arguments.get(command, []))

    assert answer.status == 2
    assert "there is no store yet. Run a job first" in answer.err
    assert company.deltamark("runs").status == 2
