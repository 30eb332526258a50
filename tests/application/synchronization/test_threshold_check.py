"""A synchronization that changes more than its thresholds allow changes nothing, and keeps what it would have done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deltamark import TaskState, Thresholds, UsageError
from deltamark.domain.configuration.entity_model import CONNECTOR_DEFAULTS
from tests.scenarios.fixtures import NewHouse
from tests.scenarios.held_back import told
from tests.scenarios.house import NO_LIMITS, House

TWO_DELETED = Thresholds(maximum_deleted_lines=1)
HUNDRED = {f"{n:03}": f"Name {n}" for n in range(100)}


def first(count: int, names: dict[str, str] = HUNDRED) -> dict[str, str]:
    """The first so many people."""
    return dict(list(names.items())[:count])


def blocked(house: House, job: str = "People", **options: Any) -> Any:
    """The record of a run that was blocked."""
    run = house.engine.run_job(job, **options)
    assert run.state is TaskState.BLOCKED, [task.messages for task in run.tasks]
    return run


@pytest.mark.many
@pytest.mark.parametrize(
    ("limits", "just_enough", "one_more"),
    [
        (Thresholds(maximum_inserted_lines=2), {**HUNDRED, "a": "", "b": ""}, {**HUNDRED, "a": "", "b": "", "c": ""}),
        (Thresholds(maximum_updated_lines=2), {**HUNDRED, **dict.fromkeys(first(2), "X")}, dict.fromkeys(HUNDRED, "X")),
        (Thresholds(maximum_deleted_lines=2), first(98), first(97)),
        (Thresholds(max_percentage_inserted_lines=1), {**HUNDRED, "a": ""}, {**HUNDRED, "a": "", "b": ""}),
        (Thresholds(max_percentage_updated_lines=1), {**HUNDRED, "000": "X"}, {**HUNDRED, "000": "X", "001": "X"}),
        (Thresholds(max_percentage_deleted_lines=1), first(99), first(98)),
    ],
)
@pytest.mark.parametrize("whose", ["limits", "person_limits"])
def test_lines_are_counted(
    new_house: NewHouse, whose: str, limits: Thresholds, just_enough: dict[str, str], one_more: dict[str, str]
) -> None:
    house = new_house(**{whose: limits})
    house.people(HUNDRED).run()

    run = blocked(house.people(one_more))

    assert run.task(1).messages[0].startswith("HR: ")
    assert "Nothing was changed." in run.task(1).messages[0]
    assert house.names() == {key: name or None for key, name in HUNDRED.items()}
    assert house.changes(run=run.number) == []
    house.people(just_enough).run()
    assert house.names() == {key: name or None for key, name in just_enough.items()}


@pytest.mark.many
@pytest.mark.parametrize(
    ("limits", "just_enough", "one_more"),
    [
        (Thresholds(maximum_link_inserted_lines=1), 51, 52),
        (Thresholds(maximum_link_deleted_lines=1), 49, 48),
        (Thresholds(max_link_percentage_inserted_lines=2), 51, 52),
        (Thresholds(max_link_percentage_deleted_lines=2), 49, 48),
    ],
)
@pytest.mark.parametrize("whose", ["teams_limits", "member_limits"])
def test_links_are_counted(
    new_house: NewHouse, whose: str, limits: Thresholds, just_enough: int, one_more: int
) -> None:
    def teams(members: int) -> House:
        return house.teams({"T": "Team"}, *(("T", person) for person in first(members)))

    house = new_house(**{whose: limits})
    house.people(HUNDRED).run()
    teams(50).run("Teams")

    run = blocked(teams(one_more), "Teams")

    assert "links" in run.task(1).messages[0]
    assert len(house.pairs()) == 50
    teams(just_enough).run("Teams")
    assert len(house.pairs()) == just_enough


def test_the_first_load_is_not_stopped_by_the_limits_that_a_connector_has_by_default(new_house: NewHouse) -> None:
    house = new_house(limits=CONNECTOR_DEFAULTS, teams_limits=CONNECTOR_DEFAULTS)

    house.people({str(n): "Ann" for n in range(500)}).run()
    house.teams({"T": "Team"}, *(("T", str(n)) for n in range(500))).run("Teams")

    assert len(house.pairs()) == 500


def test_links_removed_with_deleted_resources_are_counted(new_house: NewHouse) -> None:
    house = new_house(limits=Thresholds(maximum_link_deleted_lines=1))
    house.people({"1": "Ann", "2": "Bob"}).run()
    house.teams({"T": "Team", "U": "Other"}, ("T", "1"), ("U", "1")).run("Teams")

    run = blocked(house.people({"2": "Bob"}))

    assert "2 links would be removed; MaximumLinkDeletedLines of the connector HR allows 1" in run.task(1).messages[0]
    assert house.pairs() == {("T", "1"), ("U", "1")}


def test_links_removed_with_deleted_resources_count_for_their_association(new_house: NewHouse) -> None:
    house = new_house(member_limits=Thresholds(maximum_link_deleted_lines=1))
    house.people({"1": "Ann", "2": "Bob"}).run()
    house.teams({"T": "Team", "U": "Other"}, ("T", "1"), ("T", "2"), ("U", "1")).run("Teams")

    run = blocked(house.teams({"U": "Other"}, ("U", "1")), "Teams")

    assert (
        "2 links of Members would be removed; MaximumLinkDeletedLines of the association mapping Members"
        in (run.task(1).messages[0])
    )


def test_the_message_says_what_to_do(new_house: NewHouse) -> None:
    house = new_house(limits=TWO_DELETED)
    house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run()

    run = blocked(house.people({"3": "Cem", "4": "Dee"}))

    assert run.task(1).messages == (
        "HR: 2 resources would be deleted; MaximumDeletedLines of the connector HR allows 1. Nothing was changed. "
        "Resume run 2 to apply what was held back, or cancel it to drop that.",
        "held back: 2 resources deleted, 1 resource created",
    )


@pytest.mark.parametrize("how", ["force", "task"])
def test_a_forced_run_is_not_blocked(new_house: NewHouse, how: str) -> None:
    house = new_house(limits=TWO_DELETED, force=how == "task")
    house.people({"1": "Ann", "2": "Bob"}).run()

    house.people({"3": "Cem"}).run(force=how == "force")

    assert house.names() == {"3": "Cem"}


def test_a_blocked_task_records_what_it_read_and_set_aside(new_house: NewHouse) -> None:
    house = new_house(limits=TWO_DELETED)
    house.people({"1": "Ann", "2": "Bob", "3": {"Name": "Cem"}}).run()

    run = blocked(house.people({"3": {"Name": "Cem", "Age": "old"}}))

    (row,) = house.engine.run(run.number).set_aside
    assert (row.column, row.value) == ("age", "old")
    counts = run.task(1).counts
    assert (counts.read, counts.set_aside, counts.changed) == (1, 1, 0)
    assert [read.file for read in run.task(1).extracts] == ["people.csv"]


def test_what_is_held_back_is_listed_as_a_forced_run_would_have_done_it(new_house: NewHouse) -> None:
    house, forced = new_house(limits=TWO_DELETED), new_house(limits=NO_LIMITS)
    for one in (house, forced):
        one.people({"1": {"Name": "Ann", "Age": 5}, "2": "Bob", "3": {"Name": "Cem", "Weight": 1.5}}).run()
        one.teams({"T": "Team"}, ("T", "1"), ("T", "3")).run("Teams")
        one.people({"3": {"Name": "Cem", "Weight": 2}, "4": "Dee"})

    run = blocked(house)

    pending = list(house.engine.pending(run.number))
    assert told(pending) == told(forced.engine.changes(run=forced.run().number))
    assert {(c.position, c.run, c.at) for c in pending} == {(None, run.number, pending[0].at)}
    assert run.started_at < pending[0].at < run.ended_at


def test_pending_links_are_listed_too(new_house: NewHouse) -> None:
    house, forced = new_house(teams_limits=Thresholds(maximum_link_inserted_lines=1)), new_house()
    for one in (house, forced):
        one.people({"1": "Ann", "2": "Bob"}).run()
        one.teams({"T": "Team"}, ("T", "1")).run("Teams")
        one.teams({"T": "Team", "U": "New"}, ("U", "1"), ("U", "2"))

    run = blocked(house, "Teams")

    assert told(house.engine.pending(run.number)) == told(forced.engine.changes(run=forced.run("Teams").number))


def test_pending_changes_can_be_filtered_by_type_and_key(new_house: NewHouse) -> None:
    house = new_house(limits=TWO_DELETED)
    house.people({"1": "Ann", "2": "Bob"}).run()
    run = blocked(house.people({"3": "Cem"})).number

    assert [c.event.ref.key for c in house.engine.pending(run, key="2")] == ["2"]
    assert [c.kind for c in house.engine.pending(run, entity_type="Person")] == ["deleted", "deleted", "created"]
    assert list(house.engine.pending(run, entity_type="Team")) == []


@pytest.mark.on_every_store
def test_pending_changes_are_counted_and_come_some_at_a_time(new_house: NewHouse) -> None:
    house = new_house(limits=TWO_DELETED)
    house.people({"1": {"Name": "Ann", "Age": 5}, "2": "Bob", "3": {"Name": "Cem", "Weight": 1.5}}).run()
    house.teams({"T": "Team"}, ("T", "1"), ("T", "3")).run("Teams")
    run = blocked(house.people({"3": {"Name": "Cem", "Weight": 2}, "4": "Dee"})).number
    engine = house.engine
    whole = list(engine.pending(run))

    counts = {(count.kind, count.subject): count.count for count in engine.pending_counts(run)}
    assert sum(counts.values()) == len(whole)
    assert counts["deleted", "Person"] == 2
    filters = [{}, {"kind": "deleted"}, {"kind": "unlinked"}, {"entity_type": "Team"}, {"key": "1"}]
    for asked in (*filters, {"key": "1", "entity_type": "Person"}, {"kind": "created", "key": "1"}):
        kind, others = asked.get("kind"), {name: value for name, value in asked.items() if name != "kind"}
        expected = [one for one in engine.pending(run, **others) if kind in (None, one.kind)]
        for limit in (1, 2, 50):
            found, after = [], 0
            while after is not None:
                page = engine.pending_page(run, after=after, limit=limit, **asked)
                found += page.changes
                after = page.next
            assert found == expected, asked
    with pytest.raises(UsageError, match="there is no run 99"):
        engine.pending_page(99)


def test_parts_that_older_versions_held_back_are_counted_too(new_house: NewHouse) -> None:
    house = new_house(limits=TWO_DELETED)
    house.people({"1": "Ann", "2": "Bob"}).run()
    run = blocked(house.people({"3": "Cem"})).number
    expected = house.engine.pending_counts(run)
    with house.engine._services.store.transaction() as tx:
        heads = tx._db.all("SELECT part, head FROM pending WHERE part>0")
        for part, head in heads:
            members = {name: value for name, value in json.loads(head).items() if name != "rows"}
            assert members != json.loads(head)
            tx._db.execute("UPDATE pending SET head=?1 WHERE part=?2", (json.dumps(members), part))

    assert house.engine.pending_counts(run) == expected


def test_a_run_that_held_nothing_back_has_no_pending_changes(house: House) -> None:
    run = house.people({"1": "Ann"}).run().number

    with pytest.raises(UsageError, match=r"run 1 has no pending changes: it held nothing back, or they were applied"):
        next(house.engine.pending(run))
    with pytest.raises(UsageError, match=r"there is no run 7\."):
        next(house.engine.pending(7))
    with pytest.raises(UsageError):
        house.engine.pending("last")  # type: ignore[arg-type]


def test_an_empty_extract_keeps_its_changes_too(house: House) -> None:
    house.people({"1": "Ann", "2": "Bob"}).run()

    run = blocked(house.people({}))

    assert [(c.kind, c.event.ref.key) for c in house.engine.pending(run.number)] == [("deleted", "1"), ("deleted", "2")]


def test_a_configured_first_load_is_not_limited(new_house: NewHouse) -> None:
    from deltamark import Job, PrepareSynchronizationTask, Step, SynchronizationMode

    first_load = PrepareSynchronizationTask(
        identifier="First", connector="HR", synchronization_mode=SynchronizationMode.INITIAL
    )
    job = Job("Initial", [Step("First"), Step("SynchronizeHR")])
    limits = Thresholds(maximum_updated_lines=1)
    house = new_house(limits=limits, more_tasks=[first_load], more_jobs=[job])
    house.people({"1": "Ann", "2": "Bob"}).run()

    house.people({"1": "Anna", "2": "Bobby", "3": "Cem"}).run("Initial")

    assert house.names() == {"1": "Anna", "2": "Bobby", "3": "Cem"}
