"""Retention: changes that are discarded leave the state, a snapshot, a horizon, a record, and every flag."""

from __future__ import annotations

import hashlib

import pytest
from attrs import evolve

from deltamark import Engine, HistoryDiscarded, Job, RunMoment, Step, TaskState
from tests.scenarios.house import configuration, task

FLAG_ONLY = [Job("FlagOnly", [Step("SetRecentlyModifiedFlag")])]


@pytest.fixture
def forgetful(new_house):
    """People's changes are discarded, the teams' are kept."""
    return new_house(keep_people=False)


def test_the_state_stays_when_changes_are_discarded(forgetful):
    forgetful.people({"1": "Ann", "2": "Bob"}).run()

    forgetful.people({"1": "Anna", "3": "Cem"}).run()

    assert forgetful.names() == {"1": "Anna", "3": "Cem"}


def test_history_below_the_horizon_is_refused_naming_horizon_run_and_task(forgetful):
    forgetful.people({"1": "Ann"}).run()

    with pytest.raises(HistoryDiscarded) as refused:
        forgetful.changes()

    horizon = forgetful.engine.horizons("Person")[0].position
    error = refused.value
    assert (error.connector, error.horizon, error.run, error.task) == ("HR", horizon, 1, "SynchronizeHR")
    assert str(error) == (
        f"the changes of connector HR up to position {horizon} were discarded by task SynchronizeHR in run 1 "
        f"(DoNotDeleteChanges is false there). Ask for what lies after position {horizon}."
    )


def test_every_query_below_the_horizon_is_refused(forgetful):
    forgetful.people({"1": "Ann"}).run()
    horizon = forgetful.engine.horizons("Person")[0].position
    below = horizon - 1
    asked = [
        lambda e: list(e.changes(after=below)),
        lambda e: list(e.changes(entity_type="Person")),
        lambda e: list(e.changes(run=1)),
        lambda e: e.history("Person", "1"),
        lambda e: e.history("Person", "1", after=below),
        lambda e: e.resource("Person", "1", at=below),
        lambda e: e.resource("Person", "nobody", at=below),
        lambda e: e.links("Person", "1", at=below),
        lambda e: e.export("Person", at=below),
        lambda e: list(e.export_resources("Person", at=below)),
    ]

    for ask in asked:
        with pytest.raises(HistoryDiscarded):
            ask(forgetful.engine)


def test_changes_that_remain_can_be_queried_explicitly(forgetful):
    forgetful.people({"1": "Ann"}).teams({"T": "Team"}).run()
    forgetful.run("Teams")

    kept = [change.event.ref.key for change in forgetful.engine.changes(kept_only=True)]

    assert kept == ["T"]
    assert forgetful.engine.history("Person", "1", kept_only=True) == []


def test_a_discard_is_recorded_with_positions_count_and_digest(new_house):
    house = new_house().people({"1": "Ann", "2": "Bob"})
    house.run()
    rows = []
    with house.engine._services.store.reading() as reading:
        for position, event in reading.changes(0, None):
            rows.append((position, event))
    house.configured(keep_people=False).people({"1": "Anna"})

    run = house.run()

    (event,) = task(run, "SynchronizeHR").discarded
    assert (event.connector, event.entity_types, event.run, event.task) == ("HR", ("Person",), run.number, 1)
    assert (event.first, event.count) == (rows[0][0], 4)  # two created before, one updated and one deleted now
    assert event.first <= rows[-1][0] < event.up_to < house.engine.position()
    assert len(event.digest) == len(hashlib.sha256().hexdigest())
    assert int(event.digest, 16)
    assert f"discarded 4 changes of HR up to position {event.up_to}" in task(run, "SynchronizeHR").messages[0]


def test_changes_after_the_horizon_are_returned(forgetful):
    forgetful.people({"1": "Ann"}).run()
    horizon = forgetful.engine.horizons("Person")[0].position
    forgetful.configured(keep_people=True).people({"1": "Anna", "2": "Bob"}).run()

    assert forgetful.changes(after=horizon) == [("created", "2"), ("updated", "1")]
    assert forgetful.changes(run=2) == [("created", "2"), ("updated", "1")]
    assert [c.kind for c in forgetful.engine.history("Person", "1", after=horizon)] == ["updated"]


def test_the_past_above_the_horizon_is_seen_through_snapshots(forgetful):
    forgetful.people({"1": {"Name": "Ann", "Age": 30}, "2": "Bob", "3": "Cem"}).run()
    horizon = forgetful.engine.horizons("Person")[0].position
    forgetful.configured(keep_people=True)
    forgetful.people({"1": {"Name": "Anna"}, "3": "Cem"}).run()
    middle = forgetful.engine.position()
    forgetful.people({"2": "Bob again", "3": "Cem"}).run()

    engine = forgetful.engine
    assert engine.resource("Person", "1", at=horizon).values == {"Number": "1", "Name": "Ann", "Age": 30}
    assert engine.resource("Person", "1", at=middle).values == {"Number": "1", "Name": "Anna"}
    assert engine.resource("Person", "1") is None
    assert engine.resource("Person", "2", at=middle) is None
    assert forgetful.names(at=horizon) == {"1": "Ann", "2": "Bob", "3": "Cem"}
    assert forgetful.names(at=RunMoment(1)) == forgetful.names(at=horizon)
    assert forgetful.names(at=middle) == {"1": "Anna", "3": "Cem"}
    assert forgetful.names(at=RunMoment(3)) == {"2": "Bob again", "3": "Cem"}


def test_several_runs_move_the_horizon_and_continue_the_versions(forgetful):
    horizons, versions = [], []
    for name in ("Ann", "Anna", "Anne", "Annie"):
        forgetful.people({"1": name}).run()
        horizons.append(forgetful.engine.horizons("Person")[0].position)
        versions.append(forgetful.engine.resource("Person", "1").version)

    assert horizons == sorted(set(horizons))
    assert versions == [1, 2, 3, 4]
    assert forgetful.names() == {"1": "Annie"}


def test_a_resource_deleted_before_its_changes_were_discarded_continues_its_stream(forgetful):
    forgetful.people({"1": "Ann", "2": "Bob"}).run()
    before = forgetful.engine.resource("Person", "1")
    forgetful.people({"2": "Bob"}).run()

    forgetful.configured(keep_people=True).people({"1": "Ann", "2": "Bob"}).run()

    after = forgetful.engine.resource("Person", "1")
    assert (after.originator_id, after.version) == (before.originator_id, 3)


def test_a_run_without_changes_discards_nothing_and_has_no_message(forgetful):
    forgetful.people({"1": "Ann"}).run()
    horizon = forgetful.engine.horizons("Person")

    run = forgetful.people({"1": "Ann"}).run(force_read=True)

    assert task(run, "SynchronizeHR").discarded == ()
    assert task(run, "SynchronizeHR").messages == ()
    assert forgetful.engine.horizons("Person") == horizon


def test_changes_discarded_unflagged_make_the_next_flag_task_flag_everything(forgetful):
    forgetful.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run()
    forgetful.run("Flags")

    run = forgetful.people({"1": "Anna", "2": "Bob", "3": "Cem"}).run("Incremental")

    flag, keys = task(run, "SetRecentlyModifiedFlag"), task(run, "Keys")
    assert (flag.counts.flagged, keys.counts.computed) == (3, 3)
    assert flag.messages == (
        "1 change of HR discarded before being flagged: flagged all 3 resources that depend on it",
    )
    assert "before a flag task saw them: the next one flags every resource" in task(run, "SynchronizeHR").messages[0]
    assert forgetful.keys()["target", "1"] == "ANNA"


def test_changes_discarded_after_flagging_flag_nothing_again(new_house):
    house = new_house().people({"1": "Ann", "2": "Bob"})
    house.run("Incremental")
    house.configured(keep_people=False)
    run = house.people({"1": "Ann", "2": "Bob"}).run()
    (event,) = task(run, "SynchronizeHR").discarded
    assert (event.count, event.unread) == (2, False)

    flagged = house.run("Flags")

    assert task(flagged, "SetRecentlyModifiedFlag").counts.flagged == 0
    assert task(flagged, "Keys").counts.computed == 0
    assert task(flagged, "SetRecentlyModifiedFlag").messages == ()


def test_flags_that_a_task_has_not_read_survive_the_discard_of_their_changes(new_house):
    house = new_house(more_jobs=FLAG_ONLY).people({"1": "Ann", "2": "Bob"})
    house.run("Incremental")
    house.people({"1": "Anna", "2": "Bob"}).run()
    house.run("FlagOnly")

    house.configured(keep_people=False, more_jobs=FLAG_ONLY).run()

    assert [(d.task, d.key) for d in house.engine.dirty()] == [("Keys", "1")]
    run = house.run("Flags")
    assert task(run, "Keys").counts.computed == 1
    assert house.keys()["target", "1"] == "ANNA"


def test_a_resource_deleted_and_discarded_before_flagging_loses_its_keys(forgetful):
    forgetful.people({"1": "Ann", "2": "Bob"}).run("Incremental")
    forgetful.people({"2": "Bob"}).run()

    forgetful.run("Flags")

    assert {number for _, number in list(forgetful.keys())} == {"2"}


def test_links_are_discarded_with_their_connector_and_stay_linked(new_house):
    house = new_house(keep_teams=False).people({"1": "Ann", "2": "Bob"})
    house.run()
    house.teams({"T": "Team"}, ("T", "1"), ("T", "2"))
    run = house.run("Teams")

    (event,) = task(run, "SynchronizeTeams").discarded
    assert (event.connector, event.entity_types, event.count) == ("Teams", ("Team", "Person"), 3)
    assert house.pairs() == {("T", "1"), ("T", "2")}

    horizon = max(h.position for h in house.engine.horizons("Team"))
    house.configured(keep_teams=True).teams({"T": "Team"}, ("T", "1")).run("Teams")
    assert house.pairs(at=horizon) == {("T", "1"), ("T", "2")}
    assert house.pairs() == {("T", "1")}
    assert [ref.target.key for ref in house.engine.links("Person", "2", at=horizon)] == ["2"]
    assert house.engine.links("Person", "2") == []


def test_links_discarded_before_flagging_flag_everything_derived_from_either_end(new_house):
    house = new_house(keep_teams=False).people({"1": "Ann", "2": "Bob"})
    house.run("Incremental")
    house.teams({"T": "Team"}, ("T", "1"))
    house.run("Teams")

    flag = task(house.run("Flags"), "SetRecentlyModifiedFlag")

    assert flag.counts.flagged == 2  # all people; nothing is derived of teams


def test_two_connectors_discard_independently(forgetful):
    forgetful.people({"1": "Ann"}).teams({"T": "Team"}).run()
    forgetful.run("Teams")
    forgetful.people({"1": "Anna"}).run()

    assert forgetful.changes(entity_type="Team") == [("created", "T")]
    assert [c.kind for c in forgetful.engine.history("Team", "T")] == ["created"]
    assert forgetful.engine.resource("Team", "T", at=forgetful.engine.history("Team", "T")[0].position) is not None
    assert forgetful.engine.horizons("Team") == []
    with pytest.raises(HistoryDiscarded):
        forgetful.changes(entity_type="Person")


def test_the_changes_of_links_that_were_discarded_do_not_hide_those_of_other_types(new_house):
    house = new_house(keep_teams=False).people({"1": "Ann"}).teams({"T": "Team"}, ("T", "1"))
    house.run()
    house.run("Teams")

    # A person may have had links: asking for all of its changes below the horizon of the links is refused ...
    with pytest.raises(HistoryDiscarded):
        house.changes(entity_type="Person")
    # ... but after it, and in the run that changed people alone, nothing is missing.
    assert house.changes(run=1) == [("created", "1")]


def test_flagging_all_of_one_connector_leaves_the_other_alone(forgetful):
    forgetful.people({"1": "Ann"}).teams({"T": "Team", "U": "Unit"}).run()
    forgetful.run("Teams")
    forgetful.run("Flags")
    forgetful.people({"1": "Anna"}).run()

    flag = task(forgetful.run("Flags"), "SetRecentlyModifiedFlag")

    assert flag.counts.flagged == 1


def test_a_horizon_never_goes_back(new_house):
    # Teams is taken over by HR's connector in a store where teams changed earlier than people were discarded.
    house = new_house(keep_people=False).people({"1": "Ann"}).teams({"T": "Team"})
    house.run("Teams")
    house.run()
    horizon = house.engine.horizons("Person")[0].position
    taken_over = configuration(keep_people=False)
    mappings = [evolve(mapping, connector="HR") for mapping in taken_over.entity_type_mappings]
    house.engine.close()
    house.engine = Engine.open(
        house.url, configuration=evolve(taken_over, entity_type_mappings=mappings), export_output=house.folder
    )

    run = house.run()

    (event,) = task(run, "SynchronizeHR").discarded
    assert event.up_to < horizon
    assert house.engine.horizons("Person")[0].position == horizon


def test_a_dry_run_discards_nothing(forgetful):
    forgetful.people({"1": "Ann"})

    run = forgetful.run(dry_run=True)

    assert run.state is TaskState.COMPLETED
    assert (forgetful.engine.horizons(), forgetful.names()) == ([], {})
