"""A store is rebuilt as it was at a moment: blocks, schedules, consumers, what was discarded and erased since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from attrs import evolve

from deltamark import HistoryDiscarded, Job, PythonTask, RunMoment, Step, TaskState, Thresholds, UsageError, task
from tests.application.decommission.test_decommission import filled, reopened, without_mappings
from tests.scenarios.house import House, configuration
from tests.store.released import MORE, Calendar, bring_back
from tests.store.tables import EVERYTHING, LOG, PROJECTIONS, tables, verified
from tests.store.test_released_formats import VERSIONS
from tests.stores import NewStore

Tables = dict[str, Any]


def held(house: House) -> tuple[int, Tables]:
    """The newest position, and all tables of now."""
    return house.engine.position(), tables(house.url, EVERYTHING)


def differing(url: str, before: Tables) -> list[str]:
    found = tables(url, EVERYTHING)
    return [name for name in before if found[name] != before[name]]


@pytest.fixture
def lived(house: House) -> House:
    house.people({"1": {"name": "Ann", "mail": "ann@x"}, "2": "ann@x"}).run("Complete")
    house.teams({"T": "Team"}, ("T", "1"), ("T", "later")).engine.run_job("Teams")
    return house


@pytest.mark.on_every_store
def test_between_runs_it_is_what_it_was_with_flags_and_places(lived: House, new_store: NewStore) -> None:
    lived.people({"1": {"name": "Anna", "mail": "ann@x"}, "3": "Cem"}).run("People")
    position, before = held(lived)
    lived.run("Flags")
    lived.people({"1": "Anna"}).run("Incremental")

    done = lived.engine.replay(into=(target := new_store()), until=position)

    assert differing(target, before) == []
    assert (done.recomputes, done.notes) == (False, ())
    assert verified(target).is_sound


def test_a_run_and_a_time_name_the_moment_and_a_position_within_a_transaction_ends_before_it(
    lived: House, new_store: NewStore
) -> None:
    position, before = held(lived)
    at = lived.engine.runs()[-1].ended_at
    lived.people({"1": "Anna", "2": "Bo", "3": "Cem"}).run("People")
    within = next(change.position for change in lived.engine.changes(after=position))

    for when in (RunMoment(2), at, position):
        lived.engine.replay(into=(target := new_store()), until=when)
        assert differing(target, before) == []
    done = lived.engine.replay(into=new_store(), until=within)
    assert position <= done.verified.head < within


def test_the_log_is_a_beginning_of_the_other_and_a_checkpoint_of_then_holds(lived: House, new_store: NewStore) -> None:
    checkpoint = lived.engine.checkpoint()
    assert checkpoint is not None
    lived.people({"1": "Anna"}).run("Incremental")
    later = lived.engine.checkpoint()

    lived.engine.replay(into=(target := new_store()), until=checkpoint.position)

    other = House(target, lived.folder, lived._clock)
    assert other.engine.verify(checkpoint).is_sound
    assert not other.engine.verify(later).is_sound
    whole, beginning = tables(lived.url, LOG), tables(target, LOG)
    assert set(beginning["events"]) < set(whole["events"])
    other.run("Incremental")
    assert other.engine.verify().is_sound
    other.engine.close()


@pytest.mark.on_every_store
def test_held_back_changes_are_there_as_long_as_the_store_has_them(house: House, new_store: NewStore) -> None:
    house.people({"1": "Ann", "2": "Bo"}).run("People")
    house.configured(limits=Thresholds(maximum_deleted_lines=1)).people({"3": "Cem"})
    run = house.engine.run_job("People")
    assert run.state is TaskState.BLOCKED
    position, before = held(house)
    house.teams({"T": "Team"}).engine.run_job("Teams")

    house.engine.replay(into=(target := new_store()), until=position)
    assert differing(target, before) == []

    house.engine.resume(run.number)
    done = house.engine.replay(into=(target := new_store()), until=position)
    assert differing(target, before) == ["pending", "blocked"]
    assert "what run 2 held back of connector HR was applied or dropped since" in done.notes[0]
    other = House(target, house.folder, house._clock)
    assert [left.connector for left in other.engine.held_back()] == ["HR"]
    other.engine.close()

    position, before = held(house)
    house.engine.replay(into=(target := new_store()), until=position)
    assert differing(target, before) == []


@pytest.mark.on_every_store
def test_what_was_discarded_since_stays_so_on_record(lived: House, new_store: NewStore) -> None:
    lived.run("Flags")
    lived.people({"1": {"name": "Anna", "mail": "ann@x"}, "2": "ann@x"}).run("Incremental")
    position, before = held(lived)
    names = lived.names()
    lived.people({"1": "Anne"}).run("Incremental")
    lived.engine.retain("HR", keep=4)

    done = lived.engine.replay(into=(target := new_store()), until=position)

    other = House(target, lived.folder, lived._clock)
    assert other.names() == names
    assert other.engine.runs()[-1].job == "*replay*"
    assert other.engine.verify().is_sound
    assert "changes that existed then were discarded since: they stay discarded" in done.notes
    with pytest.raises(HistoryDiscarded):
        list(other.engine.changes())
    assert set(tables(target)["keys"]) == set(before["keys"])
    other.run("Incremental")
    assert other.engine.verify_derived().faults == ()
    other.engine.close()


def test_a_state_that_is_not_known_any_more_is_refused(lived: House, new_store: NewStore) -> None:
    lived.run("Flags")
    lived.people({"1": "Anna", "2": "Bo"}).run("Incremental")
    lived.engine.retain("HR", keep=0)

    with pytest.raises(HistoryDiscarded, match="the changes of connector HR up to position"):
        lived.engine.replay(into=new_store(), until=RunMoment(1))


@pytest.mark.on_every_store
def test_what_was_erased_since_stays_erased(lived: House, new_store: NewStore) -> None:
    lived.run("Flags")
    position, _ = held(lived)
    lived.engine.erase("Person", "1", reason="request 17")

    done = lived.engine.replay(into=(target := new_store()), until=position)

    other = House(target, lived.folder, lived._clock)
    assert set(other.names()) == {"2"}
    assert other.pairs() == set()
    assert "ann@x" not in str([row for row in tables(target)["events"] if b"Ann" in bytes(row[4])])
    assert done.recomputes
    assert "were erased since: they stay erased" in done.notes[0]
    assert other.engine.verify().is_sound
    other.run("Flags")
    assert other.engine.verify_derived().faults == ()
    other.engine.close()


def test_places_of_programs_are_there_as_far_as_is_known(lived: House, new_store: NewStore) -> None:
    lived.engine.consumer("still").acknowledge(3)
    lived.engine.consumer("moved")
    lived.people({"1": "Anna"}).run("People")
    position = RunMoment(3)
    lived.engine.consumer("late")
    lived.engine.consumer("moved").acknowledge(lived.engine.position())

    done = lived.engine.replay(into=(target := new_store()), until=position)

    other = House(target, lived.folder, lived._clock)
    assert {place.name: place.position for place in other.engine.consumers()} == {
        "still": 3, "moved": other.engine.position(),
    }  # fmt: skip
    assert ["consumer moved was moved since" in note for note in done.notes] == [True]
    other.engine.close()


def test_what_makes_no_sense_is_refused(lived: House, new_store: NewStore) -> None:
    with pytest.raises(UsageError, match="until needs a new store"):
        lived.engine.replay(until=3)
    with pytest.raises(UsageError, match="nothing is in the log up to this moment"):
        lived.engine.replay(into=new_store(), until=0)
    lived.engine.replay(into=(target := new_store()), until=RunMoment(1))
    with pytest.raises(UsageError, match="the store to fill is not empty"):
        lived.engine.replay(into=target, until=RunMoment(1))


def test_after_a_decommission_it_is_what_it_was(house: House, new_store: NewStore) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "Teams"))
    engine.adopt()
    adopted = held(house)
    engine.decommission("Teams", "delete", reason="gone", force=True)
    decommissioned = held(house)
    house.run("Flags")

    for position, before in (adopted, decommissioned):
        engine.replay(into=(target := new_store()), until=position)
        assert differing(target, before) == []


@task(entity_types=["Person"], writes=["Mail"], reads=["Name"], dirty=True)
def mail_of(batch: pa.Table) -> pa.Table:
    return batch.select(["key"]).append_column("Mail", pc.utf8_lower(batch.column("Name")))


def test_functions_are_not_called_again(house: House, new_store: NewStore) -> None:
    plain = configuration()
    people = [
        evolve(mapping, properties=[item for item in mapping.properties if item.identifier != "Mail"])
        if mapping.entity_type == "Person"
        else mapping
        for mapping in plain.entity_type_mappings
    ]
    configured = evolve(
        plain,
        entity_type_mappings=people,
        tasks=[*plain.tasks, PythonTask(function=mail_of, identifier="Mails", dirty=True, entity_types=["Person"])],
        jobs=[*plain.jobs, Job("Mails", [Step("SetRecentlyModifiedFlag"), Step("Mails"), Step("Keys")])],
    )
    engine = reopened(house, configured, tasks=[mail_of])
    house.people({"1": "Ann", "2": "Bo"}).run("People")
    house.run("Mails")
    first = held(house)
    house.people({"1": "Anna", "3": "Cem"}).run("People")
    house.run("Flags")
    second = held(house)
    house.run("Mails")
    third = held(house)

    for position, before in (first, second, third):
        done = engine.replay(into=(target := new_store()), until=position)
        assert done.notes == ()
        assert differing(target, before) == []


@pytest.mark.slow  # a store of each format
@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_of_an_older_format_is_rebuilt_with_what_it_knows(
    new_store: NewStore, tmp_path: Path, version: int
) -> None:
    bring_back(version, url := new_store())
    house = House(url, tmp_path / "exports", Calendar(), configuration(**MORE))
    before = tables(url)

    done = house.engine.replay(into=(target := new_store()), until=house.engine.position())

    found = tables(target)
    assert [name for name in (*LOG, *PROJECTIONS) if found[name] != before[name]] == []
    assert found["pending"] == before["pending"]
    assert done.verified.is_sound
    house.engine.close()
