"""`deltamark verify` and `deltamark replay`: comparing the state with the log, and rebuilding it."""

from __future__ import annotations

import sys

import pytest

from deltamark.bootstrap import open_store
from tests.cli.terminal import in_terminal
from tests.cli.workspace import Workspace
from tests.store.tables import alter
from tests.stores import NewStore

MEMBERS = ["found", "subject", "position", "problem", "advice"]
ASKED = (["changes"], ["runs"], ["export", "HR_Person"], ["keys"], ["dirty"])


def with_another_state(company: Workspace) -> None:
    """Alters the state of one person, so that it differs from the log."""
    assert alter(company.store, "UPDATE resources SET state='{}' WHERE stream=(SELECT min(stream) FROM resources)") == 1


def test_a_correct_store_has_status_0(two_days: Workspace) -> None:
    answer = two_days.done("verify")
    documents = two_days.done("verify", "--format", "jsonl")

    assert (answer.out, documents.out) == (b"", b"")
    assert answer.err == documents.err
    assert answer.err.endswith(": the log is whole, and replaying it gives the stored state.\n")


def test_a_difference_has_status_4_and_is_repaired_by_replay(two_days: Workspace) -> None:
    before = [two_days.jsonl(*asked) for asked in ASKED]
    with_another_state(two_days)

    answer = two_days.deltamark("verify", "--format", "jsonl")
    done = two_days.done("replay")

    assert answer.status == 4
    (document,) = answer.documents
    assert list(document) == MEMBERS
    assert (document["found"], document["advice"]) == ("state", "deltamark replay")
    assert document["subject"].startswith("HR_")
    assert "state is" in document["problem"]
    assert isinstance(document["position"], int)
    assert "0 faults of the log, 1 difference in the state. `deltamark replay` makes" in answer.err
    assert "1 row put right. The next runs compute everything that is derived anew." in done.err
    two_days.done("verify")
    assert [two_days.jsonl(*asked) for asked in ASKED[:3]] == before[:3]


def test_an_altered_place_of_a_task_has_status_4_and_is_repaired_by_replay(two_days: Workspace) -> None:
    place = "FROM consumed ORDER BY consumer, rule LIMIT 1"
    condition = f"consumer=(SELECT consumer {place}) AND rule=(SELECT rule {place})"
    assert alter(two_days.store, f"UPDATE consumed SET position=position-1 WHERE {condition}") == 1

    answer = two_days.deltamark("verify", "--format", "jsonl")
    done = two_days.done("replay")

    assert answer.status == 4
    (document,) = answer.documents
    assert (document["subject"], document["advice"]) == ("the table consumed", "deltamark replay")
    assert document["problem"].startswith("the row of consumer ")
    assert document["problem"].endswith(" is not what was written")
    assert "1 row put right. The next runs compute everything that is derived anew." in done.err
    two_days.done("verify")


def test_the_three_formats_show_the_same_discrepancies(two_days: Workspace) -> None:
    with_another_state(two_days)

    shown = [two_days.deltamark("verify", "--format", form) for form in ("jsonl", "csv", "table")]

    assert {answer.status for answer in shown} == {4}
    assert shown[1].lines[0] == ",".join(MEMBERS)
    (document,) = shown[0].documents
    assert all(document["subject"] in answer.text for answer in shown)


def test_a_damaged_log_has_status_4_and_is_not_replayed(two_days: Workspace) -> None:
    alter(two_days.store, "DELETE FROM stored_events WHERE notification_id=3")

    answer = two_days.deltamark("verify")
    refused = two_days.deltamark("replay")

    assert answer.status == 4
    assert answer.lines[1].startswith("LOG ")
    assert "Restore a backup" in answer.err
    assert (refused.status, refused.out) == (1, b"")
    assert "the log is not whole" in refused.err


def test_log_and_derived_values_can_be_verified_together(two_days: Workspace) -> None:
    with_another_state(two_days)

    answer = two_days.deltamark("verify", "--log", "--derived", "--format", "jsonl")

    assert answer.status == 4
    assert answer.documents[0]["found"] == "state"
    assert "1 difference in the state" in answer.err
    assert "derived value" in answer.err.splitlines()[-1]


def test_replaying_a_correct_store_writes_nothing(two_days: Workspace) -> None:
    answer = two_days.done("replay")

    assert answer.out == b""
    assert answer.err.endswith("the stored state is what the log gives. Nothing had to be written.\n")
    assert two_days.done("verify").status == 0


def test_a_replay_into_another_store_gives_the_same_answers(two_days: Workspace, postgresql_url: str) -> None:
    for target in ("sqlite:///other.db", postgresql_url):
        answer = two_days.done("replay", "--into", target)

        assert answer.out == b""
        assert answer.err.startswith("The new store holds ")
        for asked in ASKED:
            assert two_days.jsonl("--store", target, *asked) == two_days.jsonl(*asked)
        two_days.done("--store", target, "verify")


def test_a_store_with_contents_is_not_filled(two_days: Workspace) -> None:
    target = "sqlite:///other.db"
    two_days.done("replay", "--into", target)

    for into in (target, two_days.store):
        refused = two_days.deltamark("replay", "--into", into)

        assert (refused.status, refused.out) == (2, b"")
        assert "the store to fill is not empty. Nothing was changed." in refused.err


@pytest.mark.parametrize("into", ["", "mysql://x", "sqlite:////nowhere/at/all.db"])
def test_an_impossible_target_has_status_2(two_days: Workspace, into: str) -> None:
    refused = two_days.deltamark("replay", "--into", into)

    assert (refused.status, refused.out) == (2, b"")
    assert refused.err


def test_verify_and_replay_need_a_store_but_no_configuration(company: Workspace) -> None:
    for command in ("verify", "replay"):
        answer = company.deltamark(command)

        assert answer.status == 2
        assert "there is no store yet" in answer.err


def test_during_a_run_nothing_is_replayed(two_days: Workspace) -> None:
    store = open_store(two_days.store)
    try:
        with store.transaction() as tx:
            tx.take_leases(2, ["SynchronizeHR"], 3600)
    finally:
        store.close()

    refused = two_days.deltamark("replay")

    assert (refused.status, refused.out) == (2, b"")
    assert "run 2 of job " in refused.err
    assert "is going on" in refused.err
    two_days.done("verify")


AT_ONCE = """
import sys
from deltamark.interfaces.cli import main, progress
progress._PATIENCE_S = -1
main.main(sys.argv[1:])
"""


@pytest.mark.slow  # replays a company
@pytest.mark.parametrize(("program", "bars"), [(AT_ONCE, True), (AT_ONCE.replace("= -1", "= 3600"), False)])
def test_a_long_replay_draws_its_progress_and_leaves_only_its_result(
    two_days: Workspace, program: str, bars: bool
) -> None:
    for command, words in (("verify", "reading the log"), ("replay", "replaying the log")):
        shown = in_terminal(two_days.folder, command, program=(sys.executable, "-c", program))

        assert shown.status == 0
        assert (words in shown.raw) is bars
        assert shown.cursor_is_visible


def test_a_store_is_rebuilt_as_it_was(two_days: Workspace, new_store: NewStore) -> None:
    asked = (["export", "HR_Person"], ["show", "HR_Person", "E1"])
    first = [two_days.jsonl(*words, "--at", "run:1") for words in asked]
    target = new_store()

    done = two_days.done("replay", "--into", target, "--until", "run:1")

    assert done.out == b""
    assert "1 run, up to position" in done.err
    assert done.err.endswith(". It is sound.\n")
    assert [two_days.jsonl("--store", target, *words) for words in asked] == first
    assert [run["run"] for run in two_days.jsonl("--store", target, "runs")] == [1]
    assert two_days.jsonl("--store", target, "keys")
    two_days.done("--store", target, "verify")


def test_a_past_store_needs_a_new_one(two_days: Workspace) -> None:
    refused = two_days.deltamark("replay", "--until", "run:1")

    assert refused.status == 2
    assert "--until needs a new store" in refused.err
