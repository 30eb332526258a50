"""`deltamark why`: the changes that make a resource dirty, or the message that there are none."""

from __future__ import annotations

import json

import pytest

from tests.cli.deriving import with_derived_values
from tests.cli.terminal import in_terminal
from tests.cli.test_commands import agree, plain, table_of
from tests.cli.workspace import EXTRACTS, Workspace

CHANGE = ["position", "at", "change", "entity_type", "key", "changes"]
LINK = ["position", "at", "change", "association", "entity_type", "key", "other_entity_type", "other_key"]
WHY = ["path", "property", "task", "computes", "reason"]
WHENCE = ["run", "job", "changed_by", "user", "trigger", "file", "line"]


@pytest.fixture
def derived(company: Workspace) -> Workspace:
    """The company with derived values, all computed once."""
    company.configure(with_derived_values())
    company.done("run", "Incremental")
    return company


@pytest.fixture
def renamed(derived: Workspace) -> Workspace:
    """D1 has a new title and the new member E3; both are flagged and not yet computed."""
    derived.extract(
        departments="code,title\nD1,Lab\nD2,Sales\n", people=EXTRACTS["people"].replace(",,,,,D2", ",,,,,D1")
    )
    derived.done("run", "OnlyFlag")
    return derived


def test_the_change_is_shown_with_path_property_and_task(renamed):
    changes = renamed.jsonl("changes", "--run", "2")
    (renaming,) = [change for change in changes if change["change"] == "updated"]

    (cause,) = renamed.jsonl("why", "HR_Department", "D1")

    assert list(cause) == [*CHANGE, *WHY, *WHENCE]
    assert {name: cause[name] for name in CHANGE} == {name: renaming[name] for name in CHANGE}
    assert (cause["path"], cause["property"], cause["task"]) == ("", "Title", "Properties")
    assert (cause["computes"], cause["reason"]) == (["Sign"], "Title is read by Sign")
    assert (cause["run"], cause["job"], cause["changed_by"]) == (2, "OnlyFlag", "SynchronizeHR")


def test_a_changed_link_has_a_path_and_no_property(renamed):
    through, *causes = renamed.jsonl("why", "HR_Person", "E3")

    assert (through["change"], through["key"], through["through"]) == ("updated", "D1", ["Department.Sign"])
    assert [(c["change"], c["path"], c["property"], c["other_key"], c["task"]) for c in causes] == [
        ("unlinked", "Department", None, "D2", "Properties"), ("linked", "Department", None, "D1", "Properties"),
    ]  # fmt: skip
    assert [list(cause) for cause in causes] == [[*LINK, *WHY, *WHENCE, "grounds"], [*LINK, *WHY, *WHENCE]]
    assert {cause["reason"] for cause in causes} == {"the links of Department are followed by Place"}


def test_a_computed_value_read_over_a_link_is_a_cause_before_it_is_computed_and_once_it_differs(renamed):
    (coming,) = renamed.jsonl("why", "HR_Person", "E1")
    assert list(coming) == [*CHANGE, *WHY, "through", *WHENCE]
    assert (coming["change"], coming["entity_type"], coming["key"]) == ("updated", "HR_Department", "D1")
    assert coming["changes"] == {"Title": {"before": "Research", "after": "Lab"}}
    assert (coming["path"], coming["property"], coming["through"]) == ("Department", "Title", ["Department.Sign"])
    assert coming["computes"] == ["Place", "Badge"]
    assert coming["reason"] == "Department.Title is read by Department.Sign; Place may follow Department.Sign"

    text = (renamed.folder / "configuration" / "company.xml").read_text()
    renamed.configure(
        text.replace(
            '<Job Identifier="Forgetful"',
            """<Job Identifier="Departments" DisplayName_L1="d">
              <UpdateEntityPropertyExpressionsTaskOverride Identifier="Properties" AllEntityType="false">
                <TaskEntityType EntityType="HR_Department" />
              </UpdateEntityPropertyExpressionsTaskOverride></Job>
            <Job Identifier="Forgetful\"""",
        )
    )
    renamed.done("run", "Departments")
    (cause,) = renamed.jsonl("why", "HR_Person", "E1")

    assert (cause["change"], cause["entity_type"], cause["key"]) == ("updated", "HR_Department", "D1")
    assert cause["changes"] == {"Sign": {"before": "RESEARCH", "after": "LAB"}}
    assert (cause["path"], cause["property"], cause["changed_by"]) == ("Department", "Sign", "Properties")
    assert (cause["computes"], cause["reason"]) == (["Place"], "Department.Sign is read by Place")


def test_the_three_formats_show_the_same_causes(renamed):
    causes = agree(renamed, "why", "HR_Person", "E3")
    rows = table_of(renamed.done("why", "HR_Person", "E3", "--format", "csv").text)
    table = renamed.done("why", "HR_Person", "E3").lines

    assert len(causes) == len(rows) == 3
    assert list(rows[0]) == [
        *CHANGE[:5], "association", "other_entity_type", "other_key", "changes", *WHY,
        "run", "job", "changed_by", "file", "line", "user", "trigger", "through", "by",
        "run_reason", "grounds",
    ]  # fmt: skip
    assert [row["computes"] for row in rows] == [plain(cause["computes"]) for cause in causes]
    assert table[0].split() == ["position", "change", "resource", "what", "path", "task", "at", "run", "reason"]
    assert table[2].split()[:6] == [
        str(causes[1]["position"]),
        "unlinked",
        "HR_Person",
        "E3",
        "Staff:",
        "HR_Department",
    ]


def test_the_causes_of_one_task_can_be_shown(renamed):
    causes = renamed.jsonl("why", "HR_Person", "E3")

    assert renamed.jsonl("why", "HR_Person", "E3", "--task", "Properties") == causes
    assert renamed.jsonl("why", "HR_Person", "E3", "--task", "Keys") == []


def test_a_clean_resource_gives_no_row_and_a_sentence(derived):
    answer = derived.done("why", "HR_Person", "E1")

    head = derived.jsonl("changes")[-1]["position"]
    assert answer.out == b""
    prefix = "HR_Person E1 is clean: every change up to position "
    assert answer.err.startswith(prefix)
    assert answer.err.endswith(" is in its derived values.\n")
    assert int(answer.err.removeprefix(prefix).split()[0]) >= head
    assert derived.done("why", "HR_Person", "E1", "--format", "jsonl").out == b""
    assert len(table_of(derived.done("why", "HR_Person", "E1", "--format", "csv").text)) == 0


def test_unflagged_changes_are_reported(derived):
    flagged_to = derived.done("why", "HR_Person", "E1").err.split("position ")[1].split()[0]
    derived.extract(departments="code,title\nD1,Lab\nD2,Sales\n")
    derived.done("run", "OnlySynchronize")

    department, person = (derived.done("why", *ref) for ref in (("HR_Department", "D1"), ("HR_Person", "E1")))

    assert "HR_Department D1 is clean: every change up to position " in department.err
    told = f"Changes beyond position {flagged_to} have not been flagged yet; "
    assert f"{told}1 of them concerns it. Run a job with a SetRecentlyModifiedFlagTask.\n" in department.err
    assert f"{told}1 of them concerns it. Run a job with a SetRecentlyModifiedFlagTask.\n" in person.err
    other = derived.done("why", "HR_Person", "E3")
    assert f"{told}none concerns it. Run a job with a SetRecentlyModifiedFlagTask.\n" in other.err
    assert department.out == person.out == other.out == b""
    listed = derived.done("dirty")
    assert listed.out == b"task  entity_type  key  since\n"
    assert listed.err == (
        f"Changes beyond position {flagged_to} have not been flagged yet: what they make dirty is not listed. Run a "
        "job with a SetRecentlyModifiedFlagTask.\n"
    )


def test_a_task_that_never_ran_would_compute_everything(company):
    company.done("run", "OnlyFlag")

    (cause,) = company.jsonl("why", "HR_Person", "E1")
    row = company.done("why", "HR_Person", "E1").lines[1]

    assert (cause["position"], cause["change"], cause["entity_type"], cause["key"], cause["at"]) == (
        0, None, None, None, None,
    )  # fmt: skip
    assert (cause["task"], cause["reason"]) == ("Keys", "everything is computed: the task runs for the first time")
    assert row.split()[:2] == ["0", "Keys"]


def test_a_changed_expression_is_distinguished_from_unchanged_ones(derived):
    derived.configure(
        with_derived_values().replace(
            'Expression="ToLower" />\n  <ResourceType', 'Expression="Trim" />\n  <ResourceType'
        )
    )

    (cause,) = derived.jsonl("why", "HR_Person", "E1")

    assert (cause["task"], cause["computes"]) == ("Properties", ["Badge"])
    assert cause["reason"] == "computes Badge of all resources: the rule changed since the task last ran"


def test_a_deleted_resource_is_reported_as_deleted(derived):
    derived.extract(people=EXTRACTS["people"].replace('E3,"Cy, ""the"" third",,,,,D2\n', ""))
    derived.done("run", "OnlyFlag")

    flagged = derived.done("why", "HR_Person", "E3", "--format", "jsonl")
    derived.done("run", "Incremental")
    clean = derived.done("why", "HR_Person", "E3")

    assert {(c["change"], c["path"], c["property"]) for c in flagged.documents} >= {("deleted", "", None)}
    assert {c["task"] for c in flagged.documents} == {"Properties", "Keys"}
    assert "HR_Person E3 was deleted; what was derived from it will be removed, too.\n" in flagged.err
    assert clean.out == b""
    assert "HR_Person E3 was deleted; what was derived from it was removed, too.\n" in clean.err


def test_a_resource_without_derived_values_is_reported_as_such(derived):
    of_no_task = derived.done("why", "AD_Group", "staff")
    of_one_task = derived.done("why", "HR_Person", "E1", "--task", "Classes")

    assert of_no_task.out == of_one_task.out == b""
    assert of_no_task.err == (
        'AD_Group staff is never flagged: no task with Dirty="true" derives anything of AD_Group.\n'
    )
    assert of_one_task.err == "HR_Person E1 is never flagged: task Classes does not derive anything of HR_Person.\n"


WRONG = {
    "a resource that never was": (["HR_Person", "E9"], 'there never was a HR_Person with the key "E9"'),
    "an entity type that is none": (["HR_Persn", "E1"], 'there is no entity type "HR_Persn"'),
    "a task that is none": (["HR_Person", "E1", "--task", "Key"], 'there is no task "Key" with Dirty="true"'),
    "a task that is not dirty": (["HR_Person", "E1", "--task", "Flag"], 'there is no task "Flag" with Dirty="true"'),
    "no key": (["HR_Person"], "Missing argument 'KEY'"),
    "an empty key": (["HR_Person", ""], "an empty text names nothing"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_use_is_refused_with_advice(past, what):
    arguments, words = WRONG[what]

    answer = past.deltamark("why", *arguments)

    assert (answer.status, answer.out) == (2, b"")
    assert words in answer.err


def test_keys_and_values_are_shown_escaped(derived):
    bad = "D\x1b[31m\u202e\nz"
    departments = f'code,title\nD1,Research\nD2,Sales\n"{bad}","t{bad}"\n'
    derived.extract(departments=departments)
    derived.done("run", "OnlyFlag")

    table, documents = derived.done("why", "HR_Department", bad), derived.jsonl("why", "HR_Department", bad)
    derived.done("run", "Incremental")
    clean = derived.done("why", "HR_Department", bad)

    assert all(line.isprintable() for answer in (table, clean) for line in (answer.text + answer.err).split("\n"))
    assert "D\\x1b[31m\\u202e" in table.text
    assert clean.err.startswith("HR_Department D\\x1b[31m\\u202e\\nz is clean")
    assert {cause["key"] for cause in documents} == {bad}


def test_on_a_terminal_a_table_is_drawn_and_nothing_is_cut(renamed):
    shown = in_terminal(renamed.folder, "why", "HR_Department", "D1", columns=200)

    text = "\n".join(shown.screen)
    assert shown.status == 0
    assert "\x1b[1m" in shown.raw
    assert "Title is read by Sign" in text
    assert json.dumps("x") not in text


def test_a_rule_is_shown_as_a_rule(derived):
    derived.extract(people=EXTRACTS["people"].replace("Ada@x", "ada.new@x"))
    derived.done("run", "OnlyFlag")

    (cause,) = derived.jsonl("why", "HR_Person", "E1")

    assert (cause["property"], cause["computes"], cause["reason"]) == (
        "Mail", ["Account_1"], "Mail is read by rule Account_1",
    )  # fmt: skip


def test_a_flag_whose_change_was_discarded_keeps_its_position(derived):
    derived.extract(users=EXTRACTS["users"].replace("zoe@x", "zoe.new@x"))
    derived.done("run", "OnlySynchronize")
    derived.done("run", "OnlyFlag")
    (before,) = derived.jsonl("why", "AD_User", "zoe")
    derived.done("run", "Forgetful")

    (cause,) = derived.jsonl("why", "AD_User", "zoe")

    assert (before["change"], before["changed_by"]) == ("updated", "SynchronizeAD")
    assert (cause["position"], cause["change"], cause["key"]) == (before["position"], None, None)
    assert (cause["path"], cause["property"], cause["task"]) == ("", "Mail", "Keys")
    assert cause["reason"] == "the log no longer holds the change, or the change was reached over other links then"
    assert derived.done("why", "AD_User", "zoe").lines[1].split()[:2] == [str(cause["position"]), "Mail"]
