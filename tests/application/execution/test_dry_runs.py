"""A dry run does what the run would do, shows it, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from deltamark import JobRun, TaskState, Thresholds
from tests.scenarios.fixtures import NewHouse
from tests.scenarios.held_back import told
from tests.scenarios.house import House

ONE_DELETED = Thresholds(maximum_deleted_lines=1)


def everything(house: House) -> dict[str, list[Any]]:
    """All rows of all tables of a store."""
    names = (
        "SELECT name FROM sqlite_master WHERE type='table'"
        if house.url.startswith("sqlite")
        else "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()"
    )
    with house.engine._services.store.reading() as reading:
        db = reading._db  # type: ignore[attr-defined]
        return {name: sorted(db.all(f"SELECT * FROM {name}"), key=repr) for (name,) in db.all(names)}


def rehearsed(house: House, job: str, **options: Any) -> tuple[JobRun, list[Any]]:
    """A dry run and what it showed."""
    shown: list[Any] = []
    return house.engine.run_job(job, dry_run=True, rehearsed=shown.extend, **options), shown


def days(house: House) -> Any:
    """A day after the other: extracts, and the jobs to run on them."""
    yield house.people({"1": "Ann", "2": "Bob", "3": {"Name": "Cem", "Age": "old"}}), ["Incremental"]
    yield house.teams({"T": "Team"}, ("T", "1"), ("T", "2")), ["Teams", "Flags"]
    yield house.people({"1": "Anna", "2": "Bob", "4": "Dee"}), ["Incremental", "Complete"]
    yield house.people({"4": "Dee"}), ["Incremental"]
    yield house.people_commands({"number": "5", "name": "Eve", "Command": "insert"}), ["PeopleCommands", "Flags"]


@pytest.mark.parametrize("keep", [True, False])
def test_after_a_dry_run_every_table_is_as_it_was(new_house: NewHouse, keep: bool) -> None:
    house = new_house(keep_people=keep, limits=ONE_DELETED)
    for _, jobs in days(house):
        for job in jobs:
            before = everything(house)

            rehearsed(house, job)

            assert everything(house) == before
            house.engine.run_job(job)


def test_a_dry_run_shows_and_counts_what_the_run_does(new_house: NewHouse) -> None:
    house = new_house(limits=ONE_DELETED)
    for _, jobs in days(house):
        for job in jobs:
            dry, shown = rehearsed(house, job)
            run = house.engine.run_job(job)

            assert dry.number == run.number
            assert [(t.state, t.counts) for t in dry.tasks] == [(t.state, t.counts) for t in run.tasks]
            made = [c for c in shown if c.position is not None]
            held_back = [c for c in shown if c.position is None]
            assert [(c.position, c.kind) for c in made] == [
                (c.position, c.kind) for c in house.engine.changes(run=run.number)
            ]
            is_blocked = run.state is TaskState.BLOCKED
            assert told(held_back) == (told(house.engine.pending(run.number)) if is_blocked else [])


def test_a_dry_run_shows_what_would_be_held_back(new_house: NewHouse) -> None:
    house = new_house(limits=ONE_DELETED)
    house.people({"1": "Ann", "2": "Bob"}).run()

    run, shown = rehearsed(house.people({"3": "Cem"}), "Incremental")

    assert run.state is TaskState.BLOCKED
    assert run.task(1).messages == (
        "HR: would be blocked: 2 resources would be deleted; MaximumDeletedLines of the connector HR allows 1. Nothing "
        "was changed. A run keeps these changes until it is resumed or cancelled; a forced run applies them.",
        "held back: 2 resources deleted, 1 resource created",
    )
    assert [(c.kind, c.position) for c in shown] == [("deleted", None), ("deleted", None), ("created", None)]


def test_a_forced_dry_run_shows_what_a_forced_run_does(new_house: NewHouse) -> None:
    house = new_house(limits=ONE_DELETED)
    house.people({"1": "Ann", "2": "Bob"}).run()

    run, shown = rehearsed(house.people({"3": "Cem"}), "People", force=True)

    assert run.state is TaskState.COMPLETED
    assert [c.kind for c in shown] == ["deleted", "deleted", "created"]
    assert all(c.position is not None for c in shown)


def test_a_dry_run_does_not_block_and_does_not_unblock(new_house: NewHouse) -> None:
    house = new_house(limits=ONE_DELETED)
    house.people({"1": "Ann", "2": "Bob"}).run()
    rehearsed(house.people({"3": "Cem"}), "People")
    assert house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run().counts.inserted == 1

    blocked = house.people({"4": "Dee"}).engine.run_job("People").number
    rehearsed(house, "People", force=True)

    assert list(house.engine.pending(blocked))
