"""Retention beyond the switch: what is old enough goes, what somebody has to read stays, all else is as it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from deltamark import AlreadyRunning, ConcurrentRun, Engine, HistoryDiscarded, RunMoment, TaskState, UsageError
from deltamark.application.retention.chosen import Chosen
from deltamark.application.retention.retain import retain
from deltamark.domain.adoption.decommission import NameKind
from tests.application.retention.test_discard import FLAG_ONLY
from tests.scenarios.house import House, configuration, task

HR = Chosen(NameKind.CONNECTOR, "HR")


class Calendar:
    """A clock that goes on a second with every look at it, and days when told to."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def pass_days(self, days: int) -> None:
        self._now += timedelta(days=days)


@pytest.fixture
def calendar():
    return Calendar()


@pytest.fixture
def house(new_store, tmp_path, calendar):
    house = House(new_store(), tmp_path / "exports", calendar)
    yield house
    house.engine.close()


@pytest.fixture
def four_days(house, calendar):
    """Ann was renamed each day, Bob came on the second and went on the fourth; all of it was flagged and computed."""
    for people in ({"1": "A1"}, {"1": "A2", "2": "Bob"}, {"1": "A3", "2": "Bob"}, {"1": "A4"}):
        house.people(people).run("Incremental")
        calendar.pass_days(1)
    return house


def everything(house):
    """What a store says about the present."""
    engine = house.engine
    return (
        house.state(),
        house.state("Team"),
        house.pairs(),
        list(engine.keys()),
        engine.dirty(),
        [engine.resource("Person", number) for number in ("1", "2", "3")],
    )


def log(house):
    """All that is kept in the log of changes."""
    return list(house.engine.changes(kept_only=True))


def chunked(house, keep=0, *, at_a_time=1, told=lambda done, total: None, even_unread=False):
    """A retention in very small transactions."""
    return retain(house.engine._services, HR, keep, even_unread=even_unread, progress=told, at_a_time=at_a_time)


def test_the_newest_changes_are_kept_by_their_number(four_days):
    before = log(four_days)

    found = four_days.engine.retain("HR", keep=3)

    assert (found.count, found.run) == (len(before) - 3, 5)
    assert log(four_days) == before[-3:]
    assert four_days.engine.horizons("Person")[0].position == found.up_to == before[-4].position


def test_more_changes_than_there_are_keep_all_of_them(four_days):
    assert four_days.engine.retain("HR", keep="1000").count == 0
    assert four_days.engine.horizons() == []


def test_changes_younger_than_a_time_span_are_kept(four_days):
    before = log(four_days)

    found = four_days.engine.retain("HR", keep="3d")

    assert [c.run for c in log(four_days)] == [c.run for c in before if c.run >= 3]
    assert found.up_to_at == [c.at for c in before if c.run < 3][-1]


def test_a_time_span_longer_than_the_life_of_the_store_keeps_everything(four_days):
    for keep in ("10000w", timedelta(days=999_999), "999999999h"):
        assert four_days.engine.retain("HR", keep=keep).count == 0


def test_changes_since_the_beginning_of_a_run_are_kept(four_days):
    before = log(four_days)

    four_days.engine.retain("HR", keep=RunMoment(3))

    assert log(four_days) == [c for c in before if c.run >= 3]


@pytest.mark.many
@pytest.mark.parametrize("keep", ["0", "0d", 0, timedelta()])
def test_with_nothing_to_keep_all_changes_may_be_discarded(four_days, keep):
    now = everything(four_days)

    found = four_days.engine.retain("HR", keep=keep)

    assert (found.count, found.unread, log(four_days)) == (6, (), [])
    assert everything(four_days) == now


def test_queries_beyond_the_horizon_give_the_same_answers(four_days):
    engine = four_days.engine
    asked = range(1, engine.position() + 1)
    before = {
        position: (four_days.names(at=position), engine.resource("Person", "1", at=position)) for position in asked
    }

    horizon = engine.retain("HR", keep=3).up_to

    for position in asked:
        if position < horizon:
            with pytest.raises(HistoryDiscarded):
                four_days.names(at=position)
        else:
            assert (four_days.names(at=position), engine.resource("Person", "1", at=position)) == before[position]


def test_streams_continue_their_versions(four_days):
    version = four_days.engine.resource("Person", "1").version

    four_days.engine.retain("HR", keep=1)
    four_days.people({"1": "A5", "2": "Bob again"}).run("Incremental")
    four_days.engine.retain("HR", keep=1)

    assert four_days.engine.resource("Person", "1").version == version + 1
    assert four_days.names() == {"1": "A5", "2": "Bob again"}


def test_a_query_below_the_horizon_names_the_retention(four_days):
    horizon = four_days.engine.retain("HR", keep=1).up_to

    with pytest.raises(HistoryDiscarded) as refused:
        four_days.engine.history("Person", "1")

    assert str(refused.value).startswith(
        f"the changes of connector HR up to position {horizon} were discarded by a retention in run 5. "
    )


def test_a_retention_is_recorded_as_a_run_of_its_own(four_days):
    found = chunked(four_days, at_a_time=4)

    run = four_days.engine.run(found.run)
    (done,) = run.tasks
    assert (run.job, run.state, done.kind, done.state) == (
        "*retain*",
        TaskState.COMPLETED,
        "Retain",
        TaskState.COMPLETED,
    )
    assert (run.user, run.host) == (four_days.engine.run(1).user, four_days.engine.run(1).host)
    assert [(d.connector, d.entity_types, d.count, d.unread) for d in done.discarded] == [
        ("HR", ("Person",), 4, False),
        ("HR", ("Person",), 2, False),
    ]
    assert done.discarded[0].up_to < done.discarded[1].first <= done.discarded[1].up_to == found.up_to
    assert len({d.digest for d in done.discarded}) == 2
    assert done.messages == (f"6 of 6 changes of HR up to position {found.up_to} discarded",)


def test_a_retention_without_eligible_changes_records_nothing(four_days):
    four_days.engine.retain("HR", keep=0)
    before = four_days.engine.position()

    again = four_days.engine.retain("HR", keep=0)

    assert (again.run, again.count, four_days.engine.position()) == (None, 0, before)


def test_a_dry_run_returns_what_would_be_discarded_and_writes_nothing(four_days):
    before = (log(four_days), everything(four_days), four_days.engine.position(), four_days.engine.runs())

    found = four_days.engine.retain("HR", keep=2, dry_run=True)

    assert (log(four_days), everything(four_days), four_days.engine.position(), four_days.engine.runs()) == before
    assert found.run is None
    gone = before[0][:-2]
    assert {(o.subject, o.kind): o.count for o in found.outgoing} == {
        ("Person", kind): sum(c.kind == kind for c in gone) for kind in ("created", "updated")
    }
    assert min(o.first for o in found.outgoing) == gone[0].position
    assert max(o.last for o in found.outgoing) == found.up_to == gone[-1].position
    assert min(o.first_at for o in found.outgoing) == gone[0].at
    assert found.up_to_at == gone[-1].at
    assert found.size > 40 * found.count
    assert found.subjects == ("Person",)
    done = four_days.engine.retain("HR", keep=2)
    assert (done.outgoing, done.up_to) == (found.outgoing, found.up_to)


def test_changes_of_links_are_discarded_with_their_connector_and_the_links_stay(house):
    house.people({"1": "Ann", "2": "Bob"}).run()
    house.teams({"T": "Team"}, ("T", "1"), ("T", "2")).run("Teams")
    linked = house.engine.position()
    house.teams({"T": "Team"}, ("T", "1")).run("Teams")
    house.teams({"T": "Team"}, ("T", "1"), ("T", "2")).run("Teams")
    house.run("Flags")

    found = house.engine.retain("Teams", keep=2)

    assert {(o.subject, o.kind): o.count for o in found.outgoing} == {("Team", "created"): 1, ("Members", "linked"): 2}
    assert house.pairs(at=linked) == {("T", "1"), ("T", "2")}
    assert house.pairs() == {("T", "1"), ("T", "2")}
    assert [c.kind for c in log(house) if c.run > 1] == ["unlinked", "linked"]
    assert house.engine.horizons("Person")[0].subject == "Members"
    assert [h.subject for h in house.engine.horizons()] == ["Members", "Team"]


def test_unflagged_changes_are_kept_and_the_reader_is_named(four_days):
    flagged = four_days.engine.retain("HR", keep=0, dry_run=True).up_to
    four_days.people({"1": "A5", "3": "Cem"}).run()

    found = four_days.engine.retain("HR", keep=0)

    (unread,) = found.unread
    assert (unread.reader, unread.count, found.up_to) == ("SetRecentlyModifiedFlag", 2, flagged)
    assert unread.position < log(four_days)[0].position
    assert sorted(c.kind for c in log(four_days)) == ["created", "updated"]
    words = four_days.engine.run(found.run).tasks[0].messages[1]
    assert words == f"2 changes kept: SetRecentlyModifiedFlag has read up to position {unread.position}"
    flag = task(four_days.run("Flags"), "SetRecentlyModifiedFlag")
    assert flag.counts.flagged == 2


def test_changes_that_a_dirty_task_has_not_computed_yet_are_kept(new_store, tmp_path, calendar):
    house = House(new_store(), tmp_path / "exports", calendar, configuration(more_jobs=FLAG_ONLY))
    house.people({"1": "Ann", "2": "Bob"}).run("Incremental")
    house.people({"1": "Anna", "2": "Bob"}).run()
    house.run("FlagOnly")

    found = house.engine.retain("HR", keep=0)

    assert [(u.reader, u.count) for u in found.unread] == [("Keys", 1)]
    assert [c.kind for c in log(house)] == ["updated"]
    assert task(house.run("Flags"), "Keys").counts.computed == 1
    assert house.engine.retain("HR", keep=0).unread == ()
    house.engine.close()


def test_unread_changes_are_discarded_on_request_and_everything_is_flagged(four_days):
    four_days.people({"1": "A5", "2": "Bob", "3": "Cem"}).run()

    found = four_days.engine.retain("HR", keep=0, even_unread=True)

    assert log(four_days) == []
    (done,) = four_days.engine.run(found.run).tasks
    assert done.discarded[-1].unread
    assert done.messages[1].startswith("3 changes discarded though unread: SetRecentlyModifiedFlag has read up to")
    run = four_days.run("Flags")
    assert task(run, "SetRecentlyModifiedFlag").counts.flagged == 3
    assert "discarded before being flagged: flagged all 3 resources" in task(run, "SetRecentlyModifiedFlag").messages[0]
    assert four_days.keys()["target", "1"] == "A5"


def test_flags_outlive_the_changes_that_set_them(new_store, tmp_path, calendar):
    house = House(new_store(), tmp_path / "exports", calendar, configuration(more_jobs=FLAG_ONLY))
    house.people({"1": "Ann", "2": "Bob"}).run("Incremental")
    house.people({"1": "Anna", "2": "Bob"}).run()
    house.run("FlagOnly")
    dirty = house.engine.dirty()

    house.engine.retain("HR", keep=0, even_unread=True)

    assert [d.key for d in dirty] == ["1"]
    assert house.engine.dirty() == dirty
    assert task(house.run("Flags"), "Keys").counts.computed == 1
    house.engine.close()


def test_a_run_after_a_retention_does_no_more_than_without(four_days):
    four_days.engine.retain("HR", keep=0)

    run = four_days.run("Incremental")

    assert [t.state for t in run.tasks] == [TaskState.COMPLETED, TaskState.SKIPPED, TaskState.SKIPPED]


def test_a_retention_that_is_interrupted_leaves_a_smaller_log_that_is_whole(four_days):
    now = everything(four_days)
    newest = log(four_days)

    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chunked(four_days, told=interrupt)

    assert log(four_days) == newest[3:]
    assert everything(four_days) == now
    assert four_days.engine.horizons("Person")[0].position == newest[2].position
    run = four_days.engine.runs()[-1]
    assert (run.job, run.state) == ("*retain*", TaskState.FAILED)
    assert run.tasks[0].messages[0] == (
        f"interrupted\n3 of 6 changes of HR up to position {newest[-1].position} were discarded before"
    )
    assert four_days.engine.retain("HR", keep=0).count == 3


def test_a_retention_can_be_cancelled_between_two_transactions(four_days):
    def cancel(done, total):
        if done == 2:
            four_days.engine.cancel(5)

    found = chunked(four_days, told=cancel)

    assert not found.is_finished
    assert len(log(four_days)) == 4
    assert four_days.engine.run(5).state is TaskState.CANCELLED


def test_a_connector_is_not_synchronized_while_its_changes_are_discarded(four_days):
    refused = []

    def synchronize(done, total):
        if done == 1:
            with pytest.raises(AlreadyRunning) as error:
                four_days.engine.run_job("People")
            refused.append((error.value.run, error.value.job))

    chunked(four_days, told=synchronize)

    assert refused == [(5, "*retain*")]
    four_days.run("People")


def test_changes_are_not_discarded_while_their_connector_is_synchronized(four_days):
    refused = []

    class Watching:
        def task_started(self, run, task):
            with pytest.raises(ConcurrentRun) as error:
                four_days.engine.retain("HR", keep=0)
            refused.append(str(error.value))

        def task_progressed(self, run, task):
            pass

        def task_ended(self, run, task):
            pass

    four_days.engine.run_job("People", observer=Watching())

    assert len(refused) == 1
    assert "SynchronizeHR" in refused[0]
    assert four_days.engine.horizons() == []


def test_without_a_flag_task_unread_changes_are_discarded_and_recorded_as_unread(new_store, tmp_path, calendar):
    from attrs import evolve

    whole = configuration()
    jobs = [job for job in whole.jobs if job.identifier in ("People", "Teams")]
    tasks = [each for each in whole.tasks if each.identifier in ("SynchronizeHR", "SynchronizeTeams")]
    house = House(new_store(), tmp_path / "exports", calendar, evolve(whole, tasks=tasks, jobs=jobs))
    house.people({"1": "Ann"}).run()

    found = house.engine.retain("HR", keep=0)

    assert (found.count, found.unread) == (1, ())
    assert house.engine.run(found.run).tasks[0].discarded[0].unread
    house.engine.close()


@pytest.mark.many
@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ("", "does not say what to keep"),
        ("-1", "does not say what to keep"),
        ("90", None),
        ("90 d", "does not say what to keep"),
        ("3months", "does not say what to keep"),
        ("run:", "does not say what to keep"),
        ("run:99", "there is no run 99"),
        (RunMoment(99), "there is no run 99"),
        (-1, "the number of changes to keep is -1; it must be from 0"),
        (timedelta(days=-1), "it must not be negative"),
        ("999999999w", "is too long"),
        (True, "not bool"),
        (1.5, "not float"),
        (None, "not NoneType"),
    ],
)
def test_an_invalid_keep_is_refused_and_nothing_is_changed(four_days, keep, words):
    before = (log(four_days), four_days.engine.position())

    if words is None:
        four_days.engine.retain("HR", keep=keep)
    else:
        with pytest.raises(UsageError, match=words):
            four_days.engine.retain("HR", keep=keep)

    assert (log(four_days), four_days.engine.position()) == before


def test_an_unknown_connector_is_refused_with_the_nearest_name(four_days):
    with pytest.raises(UsageError, match=r'there is no connector "?hr"?; did you mean "?HR"?\?'):
        four_days.engine.retain("hr", keep=0)


@pytest.mark.on_every_store
def test_what_left_the_configuration_is_discarded_by_its_names(house: House) -> None:
    house.people({"1": "Ann", "2": "Bo"}).run()
    house.teams({"T": "Team"}, ("T", "1"), ("T", "2")).run("Teams")
    house.run("Flags")
    configured = house.engine.configuration
    gone = {"SynchronizeTeams", "PrepareSynchronizationTeams"}
    left = evolve(
        configured,
        connectors=[item for item in configured.connectors if item.identifier == "HR"],
        entity_types=[item for item in configured.entity_types if item.identifier == "Person"],
        associations=(),
        entity_type_mappings=[item for item in configured.entity_type_mappings if item.connector == "HR"],
        association_mappings=(),
        tasks=[item for item in configured.tasks if item.identifier not in gone],
        jobs=[job for job in configured.jobs if not {step.task for step in job.tasks} & gone],
    )
    house.engine.close()
    house.engine = engine = Engine.open(house.url, configuration=left, export_output=house.folder, clock=house._clock)
    engine.adopt()

    would = engine.retain("Teams", keep=0, dry_run=True, even_unread=True)
    of_links = engine.retain(association="Members", keep=0, even_unread=True)
    of_teams = engine.retain(entity_type="Team", keep=0, even_unread=True)

    assert (would.count, would.of, would.name) == (6, "Teams", None)
    assert (of_links.count, of_links.of, of_links.connector) == (4, "Members", "Teams")
    assert (of_teams.count, of_teams.subjects) == (2, ("Team",))
    assert engine.retain("Teams", keep=0, even_unread=True).count == 0
    assert engine.run(of_teams.run).tasks[0].identifier == "*retain*Team"
    with pytest.raises(HistoryDiscarded, match="changes of connector Teams up to"):
        list(engine.changes(entity_type="Team"))
    assert list(engine.export_resources("Team")) == []
    house.run("Flags")
    assert engine.verify().is_sound
    engine.replay()
    assert engine.verify().is_sound


@pytest.mark.parametrize("named", [{}, {"connector": "HR", "entity_type": "Person"}])
def test_one_name_is_retained(house: House, named: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="name a connector, an entity type or an association, and only one of them"):
        house.engine.retain(**named, keep=0)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"connector": "Team"}, 'there is no connector "Team"; did you mean "Teams"'),
        ({"entity_type": "Persn"}, 'there is no entity type "Persn"; did you mean "Person"'),
        ({"association": "Member"}, 'there is no association "Member"; did you mean "Members"'),
    ],
)
def test_what_never_was_there_is_not_retained(house: House, named: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        house.engine.retain(**named, keep=0)


def test_one_entity_type_of_a_connector_is_retained_alone(house: House) -> None:
    house.people({"1": "Ann"}).run()
    house.teams({"T": "Team"}, ("T", "1")).run("Teams")
    house.run("Flags")

    done = house.engine.retain(entity_type="Team", keep=0)

    assert [(group.subject, group.count) for group in done.outgoing] == [("Team", 1)]
    assert house.changes(entity_type="Person") != []
    assert [(h.subject, h.connector) for h in house.engine.horizons()] == [("Team", "Teams")]
