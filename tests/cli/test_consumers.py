"""`deltamark consumers`: which programs read the log, how far they are, and moving them on purpose."""

from __future__ import annotations

from deltamark import Configuration, Engine
from tests.cli.workspace import Workspace

MEMBERS = ["consumer", "position", "behind", "waiting_since", "moved_at", "began_at", "gap"]


def registered(company: Workspace, *names: str) -> None:
    with Engine.open(company.store, configuration=Configuration()) as engine:
        for name in names:
            engine.consumer(name)


def test_there_may_be_none(two_days: Workspace) -> None:
    answer = two_days.done("consumers")

    assert (answer.out, answer.err) == (b"", "There are no consumers.\n")
    assert two_days.jsonl("consumers") == []


def test_they_are_shown_with_what_they_have_still_to_read(two_days: Workspace) -> None:
    changes = two_days.jsonl("changes")
    registered(two_days, "search", "billing")

    billing, search = two_days.jsonl("consumers")

    assert list(billing) == MEMBERS
    assert (billing["consumer"], billing["position"], billing["behind"], billing["gap"]) == (
        "billing", 0, len(changes), None,
    )  # fmt: skip
    assert billing["waiting_since"] == changes[0]["at"]
    assert search["consumer"] == "search"


def test_one_is_moved_on_purpose_and_removed(two_days: Workspace) -> None:
    registered(two_days, "billing")

    moved = two_days.done("consumers", "--reset", "billing", "--to", "run:1")
    (place,) = two_days.jsonl("consumers")
    removed = two_days.done("consumers", "--remove", "billing")

    assert moved.err == f"Consumer billing is at position {place['position']} now.\n"
    assert place["position"] > 0
    assert removed.err == f"Consumer billing, at position {place['position']}, was removed.\n"
    assert two_days.jsonl("consumers") == []


def test_a_gap_is_named(two_days: Workspace) -> None:
    registered(two_days, "billing")
    two_days.done("retain", "--connector", "HR", "--keep", "0", "--even-unread")

    answer = two_days.done("consumers")

    (place,) = two_days.jsonl("consumers")
    assert f"billing: changes of HR up to position {place['gap']}, which it had not all read, were disc" in answer.err


def test_what_makes_no_sense_is_refused(two_days: Workspace) -> None:
    for arguments, why in (
        (("--reset", "billing"), "belong together"),
        (("--to", "3"), "belong together"),
        (("--reset", "a", "--to", "0", "--remove", "b"), "exclude each other"),
        (("--remove", "billing"), 'there is no consumer "billing"; there is none'),
    ):
        refused = two_days.deltamark("consumers", *arguments)
        assert refused.status == 2
        assert why in refused.err
