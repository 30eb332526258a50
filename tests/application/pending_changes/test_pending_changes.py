"""What was held back is applied exactly, or not at all, or dropped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltamark import (
    Job,
    OutdatedChanges,
    Step,
    TaskState,
    Thresholds,
    UsageError,
)
from deltamark.domain.configuration.jobs import SetRecentlyModifiedFlagTask
from deltamark.domain.errors import to_the_second
from tests.scenarios.fixtures import NewHouse
from tests.scenarios.held_back import applied, dropped, told
from tests.scenarios.house import House, task
from tests.tiers import examples

ONE_DELETED = Thresholds(maximum_deleted_lines=1)
INCREMENTAL = Job(
    "NightlyIncremental",
    [Step("SynchronizeHR"), Step("SynchronizeTeams"), Step("SetRecentlyModifiedFlag")],
    is_incremental=True,
)


def held_back(new_house: NewHouse, **configured: Any) -> tuple[House, int]:
    """A house whose second run would delete two of three people, change the third and add one."""
    house = new_house(limits=ONE_DELETED, more_jobs=[INCREMENTAL], **configured)
    house.people({"1": "Ann", "2": "Bob", "3": {"Name": "Cem", "Age": 40}}).run()
    house.teams({"T": "Team"}, ("T", "1"), ("T", "3")).run("Teams")
    run = house.people({"3": {"Name": "Cem", "Age": 41}, "4": "Dee"}).engine.run_job("People")
    assert run.state is TaskState.BLOCKED
    return house, run.number


def test_pending_changes_are_applied(new_house: NewHouse) -> None:
    house, run = held_back(new_house)
    expected = told(house.engine.pending(run))
    house.people({"9": "Other"})  # the extract of today does not matter
    before = house.engine.position()

    done = applied(house, run)

    assert told(house.engine.changes(after=before)) == expected
    assert house.names() == {"3": "Cem", "4": "Dee"}
    assert house.pairs() == {("T", "3")}
    counts = done.counts
    assert (counts.read, counts.inserted, counts.updated, counts.deleted, counts.unlinked) == (2, 1, 1, 2, 1)
    assert done.effect
    assert done.messages == (
        "applied what was held back: 1 link removed, 2 resources deleted, 1 resource created, 1 resource updated",
        "HR is no longer blocked: incremental jobs synchronize it again",
    )


def test_pending_changes_are_applied_once(new_house: NewHouse) -> None:
    house, run = held_back(new_house)
    applied(house, run)

    with pytest.raises(UsageError, match=rf"run {run} has no pending changes"):
        applied(house, run)
    with pytest.raises(UsageError, match=rf"run {run} has no pending changes"):
        next(house.engine.pending(run))


def test_rows_set_aside_are_not_reported_again_but_still_warn(new_house: NewHouse) -> None:
    house = new_house(limits=ONE_DELETED)
    house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run()
    run = house.people({"3": {"Name": "Cem", "Age": "old"}}).engine.run_job("People")

    done = applied(house, run.number)

    assert (done.set_aside, done.counts.set_aside, done.state) == ((), 1, TaskState.WARNING)
    assert len(house.engine.run(run.number).set_aside) == 1


@pytest.mark.parametrize("keep", [True, False])
def test_retention_is_as_in_any_other_synchronization(new_house: NewHouse, keep: bool) -> None:
    house, run = held_back(new_house, keep_people=keep)
    before = house.engine.position()

    done = applied(house, run)

    assert [h.subject for h in house.engine.horizons("Person") if h.position > before] == ([] if keep else ["Person"])
    assert any("discarded" in message for message in done.messages) is not keep


def test_links_are_applied_to_resources_that_are_created_with_them(new_house: NewHouse) -> None:
    house = new_house(teams_limits=Thresholds(maximum_link_inserted_lines=1, maximum_inserted_lines=2))
    house.people({"1": "Ann", "2": "Bob"}).run()
    house.teams({"T": "Team"}, ("T", "1")).run("Teams")
    run = house.teams({"T": "Team", "U": "New"}, ("U", "1"), ("U", "2")).engine.run_job("Teams")
    assert run.state is TaskState.BLOCKED

    done = applied(house, run.number)

    assert house.pairs() == {("U", "1"), ("U", "2")}
    assert (done.counts.inserted, done.counts.linked, done.counts.unlinked) == (1, 2, 1)


def meanwhile(house: House, job: str, **options: Any) -> None:
    """Lets somebody change things who knows nothing of the block: another connector task that does not see it."""
    assert house.engine.run_job(job, **options).state is TaskState.COMPLETED


@pytest.mark.many
@pytest.mark.parametrize(
    ("people", "first"),
    [
        ({"1": "Ann", "2": "Bob", "3": {"Name": "Cem", "Age": 40}, "4": "Dan"}, 'Person "4" was created meanwhile'),
        ({"1": "Ann", "2": "Bob", "3": {"Name": "Cem", "Age": 42}}, 'Person "3" was updated meanwhile'),
        ({"1": "Ann", "2": "Bob", "3": {"Name": "Cemile", "Age": 40}}, 'Person "3" was updated meanwhile'),
        ({"1": "Anna", "2": "Bob", "3": {"Name": "Cem", "Age": 40}}, 'Person "1" was updated meanwhile'),
        ({"1": "Ann", "3": {"Name": "Cem", "Age": 40}}, 'Person "2" was deleted meanwhile'),
        ({"1": "Ann", "2": "Bob"}, 'Person "3" was deleted meanwhile'),
    ],
)
def test_applying_is_refused_where_a_resource_has_changed(
    new_house: NewHouse, people: dict[str, Any], first: str
) -> None:
    house, run = held_back(new_house)
    _behind_the_blocks_back(house, run, people)
    before = house.state()

    with pytest.raises(OutdatedChanges) as caught:
        applied(house, run)

    assert (caught.value.run, caught.value.count) == (run, 1)
    assert str(caught.value).startswith(
        f"what run {run} held back can no longer be applied, because this has changed since: {first}"
    )
    assert f"Cancel run {run}, which drops it, and run the job again" in str(caught.value)
    assert house.state() == before
    assert list(house.engine.pending(run))  # still there: to be looked at, or dropped


def _behind_the_blocks_back(house: House, run: int, people: dict[str, Any]) -> None:
    """Synchronizes, and puts back what that superseded: as if somebody had not known of the block."""
    store = house.engine._services.store
    with store.reading() as reading:
        kept = reading.pending(run, 1)
        block = reading.block_of("HR")
    assert kept is not None
    assert block is not None
    house.people(people).run(force=True)
    with store.transaction() as tx:
        tx.keep_pending(run, 1, kept)
        tx.block(block)


@pytest.mark.parametrize(
    ("teams", "words"),
    [
        ([("T", "3")], 'the link Members of Team "T" and Person "1" was removed meanwhile'),
        ([("T", "1"), ("T", "3"), ("T", "2")], "links of Members to resources that are to be deleted"),
    ],
)
def test_applying_is_refused_where_other_links_would_be_removed_with_resources(
    new_house: NewHouse, teams: list[tuple[str, str]], words: str
) -> None:
    house, run = held_back(new_house)
    house.teams({"T": "Team"}, *teams).run("Teams")

    with pytest.raises(OutdatedChanges) as caught:
        applied(house, run)

    assert words in str(caught.value)
    assert set(house.names()) == {"1", "2", "3"}


def test_applying_is_refused_where_the_end_of_a_new_link_was_deleted(new_house: NewHouse) -> None:
    house = new_house(teams_limits=Thresholds(maximum_link_inserted_lines=1))
    house.people({"1": "Ann", "2": "Bob"}).run()
    house.teams({"T": "Team"}, ("T", "1")).run("Teams")
    run = house.teams({"T": "Team", "U": "New"}, ("U", "1"), ("U", "2")).engine.run_job("Teams").number

    house.people({"1": "Ann"}).run()

    with pytest.raises(OutdatedChanges, match='an end of the new link Members of Team "U" and Person "2" was deleted'):
        applied(house, run)


def test_values_computed_meanwhile_do_not_matter(new_house: NewHouse) -> None:
    house, run = held_back(new_house)
    house.run("Flags")

    applied(house, run)

    assert house.names() == {"3": "Cem", "4": "Dee"}


def test_dropped_changes_are_gone_and_the_connector_is_unblocked(new_house: NewHouse) -> None:
    house, run = held_back(new_house)

    messages = dropped(house, run)

    assert messages == ["dropped what was held back of HR: incremental jobs synchronize it again"]
    with pytest.raises(UsageError):
        next(house.engine.pending(run))
    again = house.people({"1": "Ann", "2": "Bob"}).engine.run_job("NightlyIncremental")
    assert task(again, "SynchronizeHR").state is TaskState.COMPLETED


def test_incremental_jobs_skip_a_blocked_connector_and_say_why(new_house: NewHouse) -> None:
    house, run = held_back(new_house, flag_parents=["SynchronizeHR", "SynchronizeTeams"])
    house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).teams({"T": "Renamed"}, ("T", "1"), ("T", "3"))

    nightly = house.engine.run_job("NightlyIncremental")

    out = task(nightly, "SynchronizeHR")
    assert out.state is TaskState.SKIPPED
    since = to_the_second(out.left_out.since)
    assert out.messages == (
        f"skipped: connector HR is blocked by run {run} since {since}. It is synchronized again when that run is "
        "resumed, which "
        "applies what was held back, or cancelled, which drops it, or after a job that is not incremental and "
        "synchronizes its complete extracts",
    )
    assert nightly.left_out == (out.left_out,)
    assert (out.left_out.connector, out.left_out.run) == ("HR", run)
    assert nightly.state is TaskState.WARNING
    assert task(nightly, "SynchronizeTeams").state is TaskState.COMPLETED
    assert list(house.engine.pending(run))


def test_a_complete_run_supersedes_what_was_held_back(new_house: NewHouse) -> None:
    house, run = held_back(new_house)

    complete = house.people({"1": "Ann", "2": "Bob"}).run()

    assert complete.task(1).messages == (
        f"the changes of HR that run {run} held back are superseded and were dropped",
        "HR is no longer blocked: incremental jobs synchronize it again",
    )
    with pytest.raises(UsageError):
        applied(house, run)
    nightly = house.engine.run_job("NightlyIncremental")
    assert task(nightly, "SynchronizeHR").state is TaskState.COMPLETED


def test_a_forced_incremental_run_supersedes_what_was_held_back(new_house: NewHouse) -> None:
    house, _ = held_back(new_house)

    run = house.engine.run_job("NightlyIncremental", force=True)

    assert task(run, "SynchronizeHR").state is TaskState.COMPLETED
    assert house.names() == {"3": "Cem", "4": "Dee"}


def test_a_run_that_is_blocked_again_supersedes_what_was_held_back_before(new_house: NewHouse) -> None:
    house, run = held_back(new_house)

    again = house.people({"5": "Eve"}).engine.run_job("People")

    assert again.state is TaskState.BLOCKED
    assert f"the changes of HR that run {run} held back are superseded and were dropped" in again.task(1).messages
    with pytest.raises(UsageError):
        next(house.engine.pending(run))
    applied(house, again.number)
    assert house.names() == {"5": "Eve"}


COMMANDS = [
    {"number": "1", "Command": "delete"},
    {"number": "2", "Command": "delete"},
    {"number": "4", "name": "Dee", "Command": "insert"},
]


def delta_held_back(new_house: NewHouse) -> tuple[House, int]:
    """A house in which an extract with a command column was held back."""
    house = new_house(limits=ONE_DELETED, more_jobs=[INCREMENTAL])
    house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run()
    run = house.people_commands(*COMMANDS).engine.run_job("PeopleCommands")
    assert run.state is TaskState.BLOCKED
    return house, run.number


def test_a_delta_that_was_held_back_is_applied(new_house: NewHouse) -> None:
    house, run = delta_held_back(new_house)
    house.people_commands({"number": "3", "Command": "delete"})

    applied(house, run, ordinal=2)

    assert house.names() == {"3": "Cem", "4": "Dee"}
    assert house.run("PeopleCommands").counts.deleted == 1


@pytest.mark.parametrize("options", [{}, {"force": True}])
def test_no_later_delta_is_applied_while_one_is_held_back(new_house: NewHouse, options: dict[str, Any]) -> None:
    house, run = delta_held_back(new_house)

    later = house.people_commands({"number": "3", "Command": "delete"}).engine.run_job("PeopleCommands", **options)

    assert [t.state for t in later.tasks] == [TaskState.SKIPPED, TaskState.SKIPPED]
    assert f"connector HR is blocked by run {run}" in later.task(1).messages[0]
    assert "3" in house.names()


def test_a_dropped_delta_keeps_its_connector_blocked_until_a_complete_run(new_house: NewHouse) -> None:
    house, run = delta_held_back(new_house)

    (message,) = dropped(house, run, ordinal=2)

    assert "HR stays out of incremental jobs until a job that is not incremental has synchronized" in message
    for job in ("NightlyIncremental", "PeopleCommands"):
        left_out = task(house.engine.run_job(job), "SynchronizeHR")
        assert left_out.state is TaskState.SKIPPED
    assert f"the changes that run {run} held back were dropped" in left_out.messages[0]

    house.people({"3": "Cem", "2": "Bob"}).run()
    assert house.people_commands({"number": "2", "Command": "delete"}).run("PeopleCommands").counts.deleted == 1


def test_a_blocked_complete_run_does_not_replace_a_delta_that_was_held_back(new_house: NewHouse) -> None:
    house, _ = delta_held_back(new_house)
    blocked = house.people({"9": "New"}).engine.run_job("People")
    assert blocked.state is TaskState.BLOCKED

    (message,) = dropped(house, blocked.number)

    assert "HR stays out of incremental jobs" in message


def test_applied_changes_are_flagged_like_others(new_house: NewHouse) -> None:
    house, forced = held_back(new_house), new_house()
    one, run = house
    forced.people({"1": "Ann", "2": "Bob", "3": {"Name": "Cem", "Age": 40}}).run()
    forced.teams({"T": "Team"}, ("T", "1"), ("T", "3")).run("Teams")
    for each in (one, forced):
        each.run("Flags")
    applied(one, run)
    forced.people({"3": {"Name": "Cem", "Age": 41}, "4": "Dee"}).run()

    for each in (one, forced):
        assert task(each.run("Flags"), SetRecentlyModifiedFlagTask().identifier).state is TaskState.COMPLETED
    assert one.keys() == forced.keys()


NAMES = st.dictionaries(
    st.sampled_from(["1", "2", "3", "é", "a b"]),
    st.fixed_dictionaries(
        {"Name": st.sampled_from(["Ann", "Bob", ""]), "Weight": st.sampled_from(["1", "1.0", "2.5", ""])}
    ),
    max_size=5,
)
MEMBERS = st.sets(st.tuples(st.sampled_from("TU"), st.sampled_from(["1", "2", "3", "é"])))
NOTHING_ALLOWED = Thresholds(
    **dict.fromkeys(
        [
            *("maximum_inserted_lines", "maximum_updated_lines", "maximum_deleted_lines"),
            *("max_percentage_inserted_lines", "max_percentage_updated_lines", "max_percentage_deleted_lines"),
            *("max_link_percentage_inserted_lines", "max_link_percentage_deleted_lines"),
            *("maximum_link_inserted_lines", "maximum_link_deleted_lines"),
        ],
        1,
    )
)


@pytest.mark.slow  # runs a company twice
@given(st.lists(st.tuples(NAMES, MEMBERS), min_size=2, max_size=4))
@settings(
    max_examples=examples(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_blocking_and_applying_gives_the_result_of_a_forced_run(new_house: NewHouse, days: list[Any]) -> None:
    careful = new_house(limits=NOTHING_ALLOWED, teams_limits=NOTHING_ALLOWED)
    forced = new_house()

    for people, members in days:
        for house in (careful, forced):
            house.people(people).teams({team: "Team" for team, _ in members}, *sorted(members))
        for job in ("People", "Teams"):
            before = careful.engine.position(), forced.engine.position()
            forced.engine.run_job(job, force=True)
            tried = careful.engine.run_job(job)
            if tried.state is TaskState.BLOCKED:
                expected = told(careful.engine.pending(tried.number))
                applied(careful, tried.number)
                assert told(careful.engine.changes(after=before[0])) == expected
            assert told(careful.engine.changes(after=before[0])) == told(forced.engine.changes(after=before[1]))
            assert (careful.state(), careful.state("Team")) == (forced.state(), forced.state("Team"))
            assert careful.pairs() == forced.pairs()
