"""`deltamark erase`: what it prints, what it refuses, and what other commands answer afterwards."""

from __future__ import annotations

from contextlib import closing

import pytest

from deltamark.bootstrap import open_store
from tests.cli.workspace import Workspace

REASON = ("--reason", "request 2026-17")
GONE = "HR_Person E1 was erased at"


@pytest.fixture
def erased(two_days: Workspace) -> Workspace:
    """The company after run 3 erased E1, whom run 1 created with a link and run 2 changed."""
    two_days.done("erase", "HR_Person", "E1", *REASON)
    return two_days


def test_a_dry_run_lists_exactly_the_changes_that_are_then_erased(two_days: Workspace) -> None:
    before = two_days.jsonl("changes")

    said = two_days.done("erase", "HR_Person", "E1", *REASON, "--dry-run").err
    assert two_days.jsonl("changes") == before

    done = two_days.done("erase", "HR_Person", "E1", *REASON).err
    what = said.removeprefix("Dry run: HR_Person E1 would be erased, after it is deleted: ")
    run = two_days.jsonl("runs")[-1]
    assert done.startswith(f"Run {run['run']}: HR_Person E1 erased (reason: request 2026-17): {what}")
    assert "changes, those of 2 links among them.\n" in what
    assert run["job"] == "*erase*"


@pytest.mark.parametrize(
    "question",
    [
        ("show", "HR_Person", "E1"),
        ("show", "HR_Person", "E1", "--at", "run:1"),
        ("history", "HR_Person", "E1"),
        ("why", "HR_Person", "E1"),
        ("audit", "--type", "HR_Person", "--property", "Name", "--key", "E1", "--between", "1", "run:1"),
        ("erase", "HR_Person", "E1", "--reason", "once more"),
        ("erase", "HR_Person", "E1", "--reason", "once more", "--dry-run"),
    ],
    ids=lambda question: " ".join(question),
)
def test_asking_for_an_erased_resource_gives_the_reason(erased: Workspace, question: tuple[str, ...]) -> None:
    refused = erased.deltamark(*question)

    assert (refused.status, refused.out) == (2, b"")
    assert GONE in refused.err
    assert "(reason: request 2026-17)" in refused.err


@pytest.mark.parametrize(
    "question",
    [
        ("changes",),
        ("changes", "--run", "1"),
        ("changes", "--type", "HR_Person", "--key", "E1"),
        ("export", "HR_Person", "--at", "run:1"),
        ("diff", "HR_Person", "--from", "run:2", "--to", "1"),
        ("audit", "--association", "Staff", "--between", "1", "run:1"),
    ],
    ids=lambda question: " ".join(question),
)
def test_an_answer_with_erased_changes_says_so(two_days: Workspace, question: tuple[str, ...]) -> None:
    before = two_days.done(*question)
    two_days.done("erase", "HR_Person", "E1", *REASON)
    run = two_days.jsonl("runs")[-1]["run"]

    after = two_days.done(*question)

    assert "Not shown" not in before.err
    assert before.out != after.out
    assert b"Ada" not in after.out
    assert "Not shown: " in after.err
    assert f", which run {run} erased." in after.err


def test_an_answer_without_erased_changes_says_nothing(erased: Workspace) -> None:
    run = str(erased.jsonl("runs")[-1]["run"])

    for question in (
        ("changes", "--after", str(_head(erased))),
        ("export", "HR_Person"),
        ("history", "HR_Person", "E2"),
    ):
        assert "Not shown" not in erased.done(*question).err
    assert "changes of run" in erased.done("changes", "--run", run).err, "its deletion was a change of its own"


def _head(workspace: Workspace) -> int:
    with closing(open_store(workspace.store)) as store, store.reading() as reading:
        return reading.head()


def test_other_resources_are_unchanged_and_the_log_verifies(two_days: Workspace) -> None:
    others = [row for row in two_days.jsonl("export", "HR_Person") if row["key"] != "E1"]

    two_days.done("erase", "HR_Person", "E1", *REASON)

    assert two_days.jsonl("export", "HR_Person") == others
    assert two_days.done("verify").status == 0
    assert two_days.done("replay").status == 0
    assert two_days.done("verify").status == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["HR_Person", "E99", *REASON], 'there never was a HR_Person with the key "E99"'),
        (["HR_Persn", "E1", *REASON], 'did you mean "HR_Person"'),
        (["HR_Person", "", *REASON], "an empty text names nothing"),
        (["HR_Person", "E1"], "--reason"),
        (["HR_Person", "E1", "--reason", ""], "an empty text names nothing"),
        (["HR_Person", "E1", "--reason", " \t\n"], "the reason for the erasure is empty"),
        (["HR_Person", "E1", "--reason", "x" * 501], "is longer than 500 characters"),
        (["HR_Person", "E1", "--reason", "a\x1b[31mred"], r'"a\x1b[31mred" contains control characters'),
    ],
    ids=["key", "type", "no key", "no reason", "empty", "blank", "long", "control"],
)
def test_an_invalid_erasure_has_status_2_and_changes_nothing(
    two_days: Workspace, arguments: list[str], words: str
) -> None:
    before = two_days.jsonl("changes")

    for more in ([], ["--dry-run"]):
        refused = two_days.deltamark("erase", *arguments, *more)

        assert (refused.status, refused.out) == (2, b"")
        assert words in refused.err
        assert "\x1b" not in refused.err
    assert two_days.jsonl("changes") == before


def test_during_a_run_nothing_is_erased_and_the_status_is_2(two_days: Workspace) -> None:
    with closing(open_store(two_days.store)) as store, store.transaction() as tx:
        tx.take_leases(1, ["SynchronizeHR"], 60.0)
    before = two_days.jsonl("changes")

    refused = two_days.deltamark("erase", "HR_Person", "E1", *REASON)

    assert refused.status == 2
    assert "run 1" in refused.err
    assert two_days.jsonl("changes") == before


@pytest.mark.parametrize("new_store", ["postgresql"], indirect=True)
def test_for_a_server_the_command_that_rewrites_the_files_is_named(two_days: Workspace) -> None:
    assert "VACUUM (FULL) " in two_days.done("erase", "HR_Person", "E1", *REASON).err
    assert "VACUUM" not in two_days.done("erase", "HR_Person", "E2", *REASON, "--no-scrub").err


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_a_file_is_rewritten_unless_switched_off(two_days: Workspace) -> None:
    path = two_days.store.removeprefix("sqlite:///")

    def holds(canary: bytes) -> bool:
        with open(path, "rb") as file:
            return canary in file.read()

    assert holds(b"Ada@x.example")
    two_days.done("erase", "HR_Person", "E1", *REASON)
    assert not holds(b"Ada@x.example")
