"""`deltamark decommission`, and what `health`, `plan` and `validate` say of what nothing feeds."""

from __future__ import annotations

import re

import pytest

from tests.cli.workspace import CONFIGURATION, Workspace

WITHOUT_AD = re.sub(
    r'<EntityTypeMapping [^>]*Connector="AD".*?</EntityTypeMapping>'
    r'|<EntityAssociationMapping [^>]*Connector="AD"[^>]*/>'
    r'|<SynchronizeTask [^>]*Connector="AD"[^>]*/>'
    r'|<TaskDependsOnTask ParentTask="SynchronizeAD" />'
    r'|<Job Identifier="Forgetful".*?</Job>',
    "",
    CONFIGURATION,
    flags=re.DOTALL,
)
REASON = ("--reason", "change 4711")


@pytest.fixture
def left(two_days: Workspace) -> Workspace:
    """The company after AD was removed from the mappings and jobs."""
    two_days.configure(WITHOUT_AD.replace(' CronTabExpression="0 6 * * *"', ""))
    two_days.done("adopt")
    return two_days


def test_what_nothing_feeds_is_named_with_what_to_do(left: Workspace) -> None:
    answer = left.deltamark("health")

    assert answer.status == 1
    assert "connector AD no longer feeds what the store has of it: entity type AD_User" in answer.text
    assert "  deltamark decommission AD  shows" in answer.text
    (document,) = left.deltamark("health", "--format", "jsonl").documents
    assert [(item["name"], item["connector"], item["frozen"]) for item in document["unfed"]] == [
        ("AD_User", "AD", None), ("AD_Group", "AD", None), ("Members", "AD", None),
    ]  # fmt: skip
    said = left.done("plan").err
    assert "Warning: entity type AD_User has resources that nothing feeds any more: no mapping fills it" in said
    assert "  It is read by the target expression of rule Account_1." in said
    assert "rule Account_1 reads entity type AD_User, which nothing feeds" in left.done("validate").text


def test_without_a_decision_it_shows_what_there_is(left: Workspace) -> None:
    before = left.jsonl("runs")

    answer = left.done("decommission", "AD")

    assert answer.lines[1:] == [
        "entity type AD_User   3 resources", "entity type AD_Group  2 resources", "association Members   3 links",
    ]  # fmt: skip
    assert "--delete would delete 5 resources and 3 links" in answer.err
    assert [row["links"] for row in left.jsonl("decommission", "AD_User")] == [0, 3]
    assert left.done("decommission", "AD", "--delete", *REASON, "--dry-run").err == (
        "Dry run: 5 resources and 3 links would be deleted.\n"
    )
    assert left.jsonl("runs") == before


def test_deleting_is_on_record_and_asks_to_be_forced_beyond_the_limit(left: Workspace) -> None:
    waits = left.deltamark("--adoption", "70", "decommission", "AD", "--delete", *REASON)
    assert waits.status == 3
    assert "8 resources and links would be removed; without being forced, at most 7 are" in waits.err
    assert "  deltamark decommission AD --delete --force --reason TEXT" in waits.err

    done = left.done("--adoption", "70", "decommission", "AD", "--delete", "--force", *REASON)

    assert "5 resources and 3 links of AD deleted (reason: change 4711)" in done.err
    number = left.jsonl("runs")[-1]["run"]
    changes = left.jsonl("changes", "--run", str(number))
    assert [change["change"] for change in changes] == ["unlinked"] * 3 + ["deleted"] * 5
    assert {change["task"] for change in changes} == {"*decommission*"}
    left.done("health")
    left.done("verify")
    assert "nothing to decommission" in left.done("decommission", "AD", "--delete", *REASON).err


def test_what_is_frozen_is_said_with_its_reason(left: Workspace) -> None:
    assert "AD is frozen as it is (reason: change 4711)" in left.done("decommission", "AD", "--freeze", *REASON).err

    health = left.done("health")

    frozen = "entity type AD_User is frozen since "
    assert health.text.startswith("All is well")
    assert frozen in health.err
    assert "because: change 4711 (run " in health.err
    assert f"Notice: {frozen}" in left.done("plan").err
    said = left.done("validate").text
    assert 'notice: entity type "AD_User" is frozen since ' in said
    assert "warning" not in said
    assert left.jsonl("decommission", "AD_Group")[0]["frozen"]["reason"] == "change 4711"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["HR", "--delete", *REASON], "connector HR feeds entity type HR_Person"),
        (["HR_Person"], "connector HR feeds entity type HR_Person"),
        (["AD", "--delete"], "--delete needs a --reason"),
        (["AD", "--delete", "--freeze", *REASON], "exclude each other"),
        (["AD", "--freeze", "--reason", " "], "the reason for the decision is empty"),
        (["AD_Usr"], 'did you mean "AD_User"?'),
        (["AD", "--kind", "type"], 'there is no entity type "AD"'),
    ],
)
def test_what_cannot_be_decommissioned_has_status_2(left: Workspace, arguments: list[str], words: str) -> None:
    answer = left.deltamark("decommission", *arguments)

    assert (answer.status, answer.out) == (2, b"")
    assert words in answer.err
