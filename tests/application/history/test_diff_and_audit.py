"""Diffs and audits: what differs between two moments, who had what and since which change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deltamark import HistoryDiscarded, LinkDelta, ResourceDelta, RunMoment, TriggerKind, UsageError


def told(deltas):
    """(kind, key or keys) of what differs, with the new values."""
    return [
        (d.kind, d.ref.key, {name: (c.before, c.after) for name, c in d.changes.items() if name != "Number"})
        if isinstance(d, ResourceDelta)
        else (d.kind, d.ref.source.key, d.ref.target.key)
        for d in deltas
    ]


def held(found):
    """(key, value, run since, run until) of what was held."""
    return [(h.ref.key, h.value, h.since and h.since.run, h.until and h.until.run) for h in found]


@pytest.fixture
def three_nights(house):
    """Ann is renamed twice, Bob leaves and comes back to his team, Cem comes; in the end the teams are Cem alone."""
    house.people({"1": "Ann", "2": "Bob"}).run()
    house.teams({"R": "Red", "B": "Blue"}, ("R", "1"), ("B", "2")).run("Teams")
    house.people({"1": "Anna", "3": "Cem"}).run()
    house.people({"1": "Anne", "2": "Bob", "3": "Cem"}).run()
    house.teams({"R": "Red", "B": "Blue"}, ("B", "3")).run("Teams")
    return house


def test_a_diff_tells_what_was_created_updated_deleted_linked_and_unlinked(three_nights):
    found = three_nights.engine.diff("Person", RunMoment(2), RunMoment(3))

    assert told(found) == [
        ("updated", "1", {"Name": ("Ann", "Anna")}),
        ("deleted", "2", {"Name": ("Bob", None)}),
        ("created", "3", {"Name": (None, "Cem")}),
        ("unlinked", "B", "2"),
    ]


def test_a_diff_backwards_tells_the_opposite(three_nights):
    found = three_nights.engine.diff("Person", RunMoment(3), RunMoment(2))

    assert told(found) == [
        ("updated", "1", {"Name": ("Anna", "Ann")}),
        ("created", "2", {"Name": (None, "Bob")}),
        ("deleted", "3", {"Name": ("Cem", None)}),
        ("linked", "B", "2"),
    ]


def test_what_came_back_as_it_was_is_no_difference(three_nights):
    found = three_nights.engine.diff("Person", RunMoment(2), RunMoment(4))

    assert [(kind, key) for kind, key, _ in told(found)] == [("updated", "1"), ("created", "3")]


def test_a_diff_of_a_moment_with_itself_is_empty(three_nights):
    assert told(three_nights.engine.diff("Person", RunMoment(3), RunMoment(3))) == []


def test_a_diff_from_before_the_first_change_creates_everything(three_nights):
    ages_ago = datetime(1990, 1, 1, tzinfo=UTC)

    found = told(three_nights.engine.diff("Team", ages_ago, RunMoment(2)))

    assert [(kind, key) for kind, key, _ in found] == [
        ("created", "B"), ("created", "R"), ("linked", "B"), ("linked", "R"),
    ]  # fmt: skip


def test_an_audit_tells_every_value_that_was_held_between_two_moments(three_nights):
    found = three_nights.engine.audit("Person", "Name", RunMoment(2), RunMoment(3))

    assert held(found) == [("1", "Ann", 1, 3), ("1", "Anna", 3, 4), ("2", "Bob", 1, 3), ("3", "Cem", 3, None)]


def test_an_interval_that_ended_at_the_first_moment_was_not_held_then(three_nights):
    found = list(three_nights.engine.audit("Person", "Name", RunMoment(3), RunMoment(5), key="1"))

    assert held(found) == [("1", "Anna", 3, 4), ("1", "Anne", 4, None)]
    assert (found[0].since.job, found[0].since.task, found[0].since.file) == ("People", "SynchronizeHR", "people.csv")
    assert (found[0].since.user, found[0].since.trigger) == (three_nights.engine.run(3).user, TriggerKind.USER)


def test_an_audit_of_an_association_tells_who_was_linked_to_whom(three_nights):
    found = three_nights.engine.audit_association("Members", RunMoment(2), RunMoment(5))

    assert [(h.ref.source.key, h.ref.target.key, h.since.run, h.until and h.until.run) for h in found] == [
        ("B", "2", 2, 3),
        ("B", "2", 4, 5),
        ("B", "3", 5, None),
        ("R", "1", 2, 5),
    ]


@pytest.mark.parametrize(("key", "pairs"), [("B", [("B", "2"), ("B", "2"), ("B", "3")]), ("1", [("R", "1")])])
def test_an_audit_of_an_association_is_narrowed_by_either_end(three_nights, key, pairs):
    found = three_nights.engine.audit_association("Members", 0, RunMoment(5), key=key)

    assert [(h.ref.source.key, h.ref.target.key) for h in found] == pairs


def test_what_began_below_the_horizon_has_no_change_to_begin_with(new_house):
    house = new_house(keep_people=False)
    house.people({"1": "Ann", "2": "Bob"}).run()
    horizon = house.engine.horizons("Person")[0].position
    house.configured().people({"1": "Anna", "2": "Bob"}).run()

    found = held(house.engine.audit("Person", "Name", horizon, RunMoment(2)))

    assert found == [("1", "Ann", None, 2), ("1", "Anna", 2, None), ("2", "Bob", None, None)]
    assert told(house.engine.diff("Person", horizon, RunMoment(2))) == [("updated", "1", {"Name": ("Ann", "Anna")})]


@pytest.mark.parametrize(
    "ask",
    [
        lambda e, below: e.diff("Person", below, RunMoment(2)),
        lambda e, below: e.diff("Person", RunMoment(2), below),
        lambda e, below: e.audit("Person", "Name", below, RunMoment(2)),
        lambda e, below: e.audit("Person", "Name", below, RunMoment(2), key="1"),
    ],
)
def test_below_the_horizon_nothing_is_answered(new_house, ask):
    house = new_house(keep_people=False)
    house.people({"1": "Ann"}).run()
    house.people({"1": "Anna"}).run()
    horizon = house.engine.horizons("Person")[0].position

    with pytest.raises(HistoryDiscarded, match=f"up to position {horizon}"):
        list(ask(house.engine, horizon - 1))


def test_discarded_links_do_not_hide_the_values_of_resources(new_house):
    house = new_house(keep_teams=False)
    house.people({"1": "Ann"}).run()
    house.teams({"R": "Red"}, ("R", "1")).run("Teams")

    assert held(house.engine.audit("Person", "Name", RunMoment(1), RunMoment(2))) == [("1", "Ann", 1, None)]
    with pytest.raises(HistoryDiscarded):
        list(house.engine.audit_association("Members", RunMoment(1), RunMoment(2)))


@pytest.mark.many
@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda e: e.diff("Persons", 0, 1), 'there is no entity type "Persons"; did you mean "Person"?'),
        (lambda e: e.diff("Person", 0, None), "to is a moment: .* not None"),
        (lambda e: e.diff("Person", "yesterday", 0), "from_ is a moment"),
        (lambda e: e.diff("Person", 0, 10**6), "position 1000000 is not in the log"),
        (lambda e: e.diff("Person", -1, 0), "position -1 is not in the log"),
        (lambda e: e.diff("Person", RunMoment(99), 0), "there is no run 99. The newest is run 5."),
        (lambda e: e.diff("Person", datetime(2026, 1, 1), 0), "has no time zone"),
        (lambda e: e.audit("Person", "Nam", 0, 1), 'no property of Person "Nam"; did you mean "Name"?'),
        (lambda e: e.audit("Person", "Teams", 0, 1), "leads to others by the association Members"),
        (lambda e: e.audit("Person", "Name", 2, 1), "the second moment .position 1. lies before the first one"),
        (lambda e: e.audit("Person", "Name", 0, 1, key="9"), "there never was a Person with the key .9."),
        (lambda e: e.audit("Person", "Name", 0, 1, key=9), "a key is given as a text"),
        (lambda e: e.audit_association("Member", 0, 1), "there is no association .Member.; did you mean"),
        (lambda e: e.audit_association("Members", 0, 1, key="9"), "there never was a Team or Person with the key .9."),
    ],
)
def test_what_cannot_be_meant_is_told(three_nights, ask, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        list(ask(three_nights.engine))


def test_a_deleted_resource_is_no_error_where_one_that_never_was_is(three_nights):
    gone = three_nights.engine.position(RunMoment(3))

    assert held(three_nights.engine.audit("Person", "Name", gone, gone, key="2")) == []


def test_a_link_of_a_delta_is_told_with_its_association(three_nights):
    *_, last = three_nights.engine.diff("Person", RunMoment(2), RunMoment(3))

    assert isinstance(last, LinkDelta)
    assert last.ref.association == "Members"


def test_where_the_older_part_was_discarded_the_newer_is_audited_as_before(house):
    for people in ({"1": "A1", "2": "Bob"}, {"1": "A2", "2": "Bob"}, {"1": "A3"}, {"1": "A3", "2": "Bob"}):
        house.people(people).run("Incremental")
    between = (RunMoment(2), RunMoment(4))
    before = held(house.engine.audit("Person", "Name", *between))
    difference = told(house.engine.diff("Person", *between))

    house.engine.retain("HR", keep=RunMoment(3))

    assert before == [("1", "A2", 2, 3), ("1", "A3", 3, None), ("2", "Bob", 1, 3), ("2", "Bob", 4, None)]
    assert held(house.engine.audit("Person", "Name", *between)) == [
        ("1", "A2", None, 3), ("1", "A3", 3, None), ("2", "Bob", None, 3), ("2", "Bob", 4, None),
    ]  # fmt: skip
    assert told(house.engine.diff("Person", *between)) == difference
    with pytest.raises(HistoryDiscarded):
        list(house.engine.audit("Person", "Name", RunMoment(1), RunMoment(4)))
