"""For whom and why runs are made, as their users state it: recorded and shown beside the account."""

from __future__ import annotations

import pytest

from tests.cli.workspace import LATER, Workspace


def account(company: Workspace) -> str:
    return company.jsonl("runs", "1")[0]["user"]


def test_a_run_is_recorded_and_shown_for_whom_and_why_it_was_made(company: Workspace) -> None:
    company.done("run", "Incremental", "--by", "Ann Lee", "--reason", "ticket 4711:\n payroll")
    company.extract(**LATER)
    company.done("run", "Incremental")

    first, second = company.jsonl("runs")

    user = account(company)
    assert (first["by"], first["reason"], first["user"]) == ("Ann Lee", "ticket 4711: payroll", user)
    assert not {"by", "reason"} & second.keys()
    changes = company.jsonl("changes", "--run", "1")
    assert {(c["by"], c["reason"], c["user"]) for c in changes} == {("Ann Lee", "ticket 4711: payroll", user)}
    assert not any({"by", "reason"} & c.keys() for c in company.jsonl("changes", "--run", "2"))
    assert f"by Ann Lee ({user}) on " in company.done("runs", "1").text
    assert "ticket 4711: payroll" in company.done("runs", "1").text
    assert {"by", "reason"} <= set(company.done("runs").lines[0].split())
    assert f"Ann Lee ({user})" in company.done("changes").text
    held = company.jsonl("audit", "--type", "HR_Person", "--property", "Mail", "--between", "run:1", "run:2")
    assert {row["from"].get("by") for row in held} == {"Ann Lee", None}
    audited = company.done("audit", "--type", "HR_Person", "--property", "Mail", "--between", "run:1", "run:2").text
    assert f"Ann Lee ({user})" in audited
    (adoption,) = company.jsonl("config", "log")
    assert (adoption["by"], adoption["user"], adoption["reason"]) == ("Ann Lee", user, "ticket 4711: payroll")


def test_the_environment_gives_the_person_and_the_option_overrides_it(
    company: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELTAMARK_USER", "Bo")
    company.done("run", "Incremental")
    company.done("run", "Incremental", "--by", "Cy")
    monkeypatch.setenv("DELTAMARK_USER", "")
    company.done("run", "Incremental")

    assert [run.get("by") for run in company.jsonl("runs")] == ["Bo", "Cy", None]


def test_held_back_changes_are_accepted_and_dropped_on_behalf_of_somebody(company: Workspace) -> None:
    company.done("run", "Incremental", "--by", "Ann")
    company.extract(users="login,mail\n", members="group,login\n")
    assert company.deltamark("run", "Incremental", "--by", "Bo").status == 3
    assert {row["by"] for row in company.jsonl("changes", "--pending", "2")} == {"Bo"}
    company.done("cancel", "2", "--by", "Cy", "--reason", "a broken export")
    assert company.deltamark("run", "Incremental").status == 3
    company.done("resume", "3", "--by", "Dee", "--reason", "they have left")

    dropped, accepted = company.jsonl("runs", "2")[0], company.jsonl("runs", "3")[0]

    assert (dropped["by"], dropped["cancelled_by"]["by"]) == ("Bo", "Cy")
    assert dropped["cancelled_by"]["reason"] == "a broken export"
    assert [(r["by"], r["reason"]) for r in accepted["resumed"]] == [("Dee", "they have left")]
    deleted = [c for c in company.jsonl("changes", "--run", "3") if c["change"] == "deleted"]
    assert {(c["by"], c["reason"]) for c in deleted} == {("Dee", "they have left")}
    user = account(company)
    assert f"asked to stop by Cy ({user}) on " in company.done("runs", "2").text
    assert f"by Dee ({user}) on " in company.done("runs", "3").text


def test_adoption_erasure_and_retention_record_for_whom_they_were_made(company: Workspace) -> None:
    company.done("run", "Incremental")
    file = company.folder / "configuration" / "company.xml"
    file = file if file.exists() else next((company.folder / "configuration").glob("*.xml"))
    file.write_text(file.read_text().replace('<Property Identifier="Title" />', '<Property Identifier="Name" />'))
    file.write_text(file.read_text().replace('<Property Identifier="Title" Conn', '<Property Identifier="Name" Conn'))
    company.done("adopt", "--by", "Ann", "--reason", "titles are names")
    company.done("erase", "HR_Person", "E1", "--reason", "request 17", "--by", "Bo", "--no-scrub")
    company.done("retain", "--connector", "AD", "--keep", "0", "--even-unread", "--by", "Cy", "--reason", "policy 3")

    runs = {run["job"]: (run.get("by"), run.get("reason")) for run in company.jsonl("runs")}

    assert runs["*adopt*"] == ("Ann", "titles are names")
    assert runs["*erase*"] == ("Bo", "request 17")
    assert runs["*retain*"] == ("Cy", "policy 3")
    newest = company.jsonl("config", "log")[-1]
    assert (newest["by"], newest["user"]) == ("Ann", account(company))
    assert f"Ann ({account(company)})" in company.done("config", "log").text


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--by", "  ", "the person for whom this is done (by) is empty"),
        ("--by", "a" * 201, "is longer than 200 characters"),
        ("--by", "Ann\x1b[2J", "contains control characters"),
        ("--by", "Ann\x00", "contains control characters"),
        ("--reason", "\n\n", "the reason for the run is empty"),
        ("--reason", "a" * 501, "is longer than 500 characters"),
        ("--reason", "beep\x07", "contains control characters"),
    ],
)
@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_hostile_texts_are_refused_before_anything_is_done(
    company: Workspace, option: str, text: str, message: str
) -> None:
    answer = company.deltamark("run", "Incremental", option, text)

    assert (answer.status, answer.out) == (2, b"")
    assert message in answer.err
    assert "\x1b" not in answer.err
    assert company.jsonl("runs") == []


def test_the_log_is_shown_by_task_user_property_and_association(past: Workspace) -> None:
    everything = past.jsonl("changes")

    def shown(*options: str) -> list[int]:
        return [change["position"] for change in past.jsonl("changes", *options)]

    read_hr = [c["position"] for c in everything if c["task"] == "SynchronizeHR"]
    assert shown("--task", "SynchronizeHR") == shown("--task", "Read HR") == read_hr != []
    assert shown("--user", everything[0]["user"]) == [c["position"] for c in everything]
    mails = [c["position"] for c in everything if "Mail" in c.get("changes", {}) and c["entity_type"] == "HR_Person"]
    assert shown("--property", "Mail", "--type", "HR_Person") == mails != []
    staff = [c["position"] for c in everything if c.get("association") == "Staff"]
    assert shown("--association", "Staff", "--run", "2") == [p for p in staff if p in shown("--run", "2")] != []
    for options, message in (
        (("--task", "Nightly"), "no configuration has or had a task"),
        (("--user", "nobody"), "no run was made by an account or for a person"),
        (("--rule", "Account_1"), "rule Account_1 computes correlation keys"),
        (("--pending", "1", "--user", "x"), "only --type and --key can be combined with it"),
    ):
        answer = past.deltamark("changes", *options)
        assert (answer.status, answer.out) == (2, b"")
        assert message in answer.err
