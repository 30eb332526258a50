"""The grounds that the log names: the row or the missing row of a removal, the rule and the changes of a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deltamark import (
    Because,
    Computed,
    Deleted,
    GroundsKind,
    LoggedChange,
    ResourceRef,
    Unlinked,
)
from deltamark.domain.resources.resource import WHOLE_REASONS
from tests.scenarios.house import House
from tests.scenarios.staff import Staff, by_row, calls, expressions_task, people_model

NewStaff = Callable[..., Staff]
NewHouse = Callable[..., House]


def grounds_of(changes: list[LoggedChange], kind: str) -> dict[str, str]:
    """Key (or keys of both ends) -> the words for why."""
    found = {}
    for change in changes:
        if change.kind == kind and change.grounds is not None:
            ref: Any = change.event.ref
            found[ref.key if hasattr(ref, "key") else f"{ref.source.key}-{ref.target.key}"] = change.grounds.words
    return found


@pytest.mark.on_every_store
def test_a_removal_by_a_complete_extract_names_the_file_and_the_missing_row(new_house: NewHouse) -> None:
    house = new_house()
    house.people(dict.fromkeys("123", "Ann")).run()
    house.teams({"A": "Alpha", "B": "Beta"}, ("A", "1"), ("A", "2"), ("A", "3"), ("B", "3")).run("Teams")
    house.people(dict.fromkeys("12", "Ann")).run()
    house.teams({"A": "Alpha"}, ("A", "1")).run("Teams")

    changes = list(house.engine.changes())
    assert grounds_of(changes, "deleted") == {
        "3": "its row is missing in people.csv",
        "B": "its row is missing in teams.csv",
    }
    assert grounds_of(changes, "unlinked") == {
        "A-3": "Person 3 was deleted",
        "B-3": "Person 3 was deleted",
        "A-2": "its row is missing in members.csv",
    }
    missing = next(c for c in changes if c.kind == "deleted")
    assert missing.grounds is not None
    assert (missing.grounds.kind, missing.grounds.file) == (GroundsKind.MISSING_ROW, "people.csv")
    assert (missing.file, missing.event.cause.line) == (None, None)
    assert all(c.grounds is None for c in changes if c.kind in ("created", "linked"))


def test_a_link_that_gave_way_to_another_names_the_line_of_the_other(new_house: NewHouse) -> None:
    house = new_house(person_has_one=True)
    house.people(dict.fromkeys("123", "Ann")).run()
    house.teams({"A": "Alpha", "B": "Beta"}, ("A", "1"), ("A", "2")).run("Teams")
    house.members(("A", "2"), ("B", "1")).run("Teams")

    (unlinked,) = (c for c in house.engine.changes() if c.kind == "unlinked")

    assert unlinked.grounds is not None
    assert unlinked.grounds.words == "line 3 of members.csv says so"
    assert (unlinked.file, unlinked.event.cause.line) == ("members.csv", 3)
    assert isinstance(unlinked.event, Unlinked)
    assert unlinked.event.because == "task"


@pytest.mark.on_every_store
def test_a_removal_by_a_command_names_the_line(new_house: NewHouse) -> None:
    house = new_house()
    house.people(dict.fromkeys("123", "Ann")).run()
    house.teams({"A": "Alpha"}, ("A", "1"), ("A", "2")).run("Teams")
    house.people_commands({"number": "1", "Command": "insert"}, {"number": "3", "Command": "delete"})
    house.run("PeopleCommands")
    house.write("teams", ["code", "title", "Command"], [{"code": "A", "title": "Alpha", "Command": "update"}])
    rows = [{"team": "A", "person": "1", "Command": "insert"}, {"team": "A", "person": "2", "Command": "delete"}]
    house.write("members", ["team", "person", "Command"], rows).run("TeamsCommands")

    changes = list(house.engine.changes())
    assert grounds_of(changes, "deleted") == {"3": "line 3 of people.csv says so"}
    assert grounds_of(changes, "unlinked") == {"A-2": "line 3 of members.csv says so"}


def test_both_ends_of_a_link_may_be_deleted_at_once(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([]))
    staff.person("1", "Ann").person("2", "Bo", manager="1").person("3", "Cy", manager="1")
    staff.run()
    staff.without("1", "2").run()

    assert grounds_of(list(staff.engine.changes()), "unlinked") == {
        "2-1": "Person 2 and Person 1 were deleted",
        "3-1": "Person 1 was deleted",
    }


def computed(staff: Staff, **asked: Any) -> list[tuple[str, list[str], Because | None]]:
    """Of computed values: key, properties, and why."""
    return [
        (c.event.ref.key, sorted(c.event.changes), c.event.because)
        for c in staff.engine.changes(**asked)
        if isinstance(c.event, Computed)
    ]


def at(staff: Staff, kind: str, key: str, run: int, name: str | None = None) -> int:
    """The position of a change of a person in a run."""
    return next(
        c.position
        for c in staff.engine.changes(run=run, entity_type="Person")
        if c.kind == kind
        and not isinstance(c.event, Computed)
        and (c.event.ref.key if kind not in ("linked", "unlinked") else c.event.ref.source.key) == key  # type: ignore[union-attr]
        and (name is None or name in c.event.changes)  # type: ignore[union-attr]
    )


@pytest.mark.on_every_store
def test_a_computed_value_names_the_changes_that_made_it_dirty(new_staff: NewStaff) -> None:
    labels = {"Label": "p.Name || '!'", "Badge": "p.Mail", "Note": "p.Manager.Label"}
    staff = new_staff(people_model([expressions_task()], labels))
    staff.person("1", "Ann").person("2", "Bo", manager="1").person("3", "Cy")
    staff.run()
    first = computed(staff)
    staff.person("1", "Anna", Mail="a@x").person("3", "Cy", manager="1")
    staff.run()

    assert [(key, because) for key, _, because in first] == [(key, Because(whole="first")) for key, _, _ in first] != []
    renamed = at(staff, "updated", "1", 2)
    linked = at(staff, "linked", "3", 2)
    later = computed(staff, run=2)
    label = next(c.position for c in staff.engine.changes(run=2, rule="Label"))
    assert later == [
        ("1", ["Badge", "Label"], Because(first=renamed, last=renamed)),
        ("2", ["Note"], Because(first=label, last=label)),
        ("3", ["Note"], Because(first=linked, last=label)),
    ]
    notes = [c for c in staff.engine.changes(run=2, rule="Note") if c.grounds is not None]
    assert [c.grounds.words for c in notes if c.grounds] == [
        f"because of the change at position {label}",
        f"because of changes from position {linked} to {label}",
    ]


def test_a_computed_value_names_the_configuration_whose_rule_computed_it(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([expressions_task()], {"Label": "p.Name || '!'", "Badge": "p.Mail"}))
    staff.person("1", "Ann", Mail="a@x").run()
    staff.configured(people_model([expressions_task()], {"Label": "p.Name || '?'", "Badge": "p.Mail"}))
    staff.run()
    staff.person("1", "Anna", Mail="a@x").run()

    first, second = staff.engine.configurations()
    values = [c for c in staff.engine.changes() if isinstance(c.event, Computed)]
    grounds = [c.grounds for c in values]
    assert [(g.configuration, g.adopted) for g in grounds if g] == [
        (first.digest, first.position),
        (second.digest, second.position),
        (second.digest, second.position),
    ]
    assert [g.whole for g in grounds if g] == ["first", "changed", None]
    assert [g.words for g in grounds if g][1] == f"computed for all resources: {WHOLE_REASONS['changed']}"
    assert sorted(values[1].event.changes) == ["Label"]  # type: ignore[union-attr]


def test_a_value_follows_its_own_resource_the_function_or_the_end_of_its_rule(new_staff: NewStaff) -> None:
    score, _ = by_row(lambda row: {"Score": len(row["Name"] or "")}, reads=["Name"], writes=["Score"])
    model = people_model([expressions_task(), calls(score)], {"Label": "p.Name", "Badge": "p.Label || '+'"})
    staff = new_staff(model, tasks=[score])
    staff.person("1", "Ann").person("2", "Bo").run()
    staff.person("1", "Anna").run()
    renamed = at(staff, "updated", "1", 2)
    assert {tuple(names): because for _, names, because in computed(staff, run=2)} == {
        ("Badge", "Label"): Because(first=renamed, last=renamed),
        ("Score",): Because(first=renamed, last=renamed),
    }
    staff.configured(people_model([expressions_task()], {"Label": "p.Name"}))
    staff.run()

    removed = [(names, because) for _, names, because in computed(staff, run=3)]
    assert removed
    assert {because.whole for _, because in removed if because} == {"removed"}


def test_every_computed_value_of_a_complete_task_says_so(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([expressions_task(dirty=False)], {"Label": "p.Name"}))
    staff.person("1", "Ann").run()
    staff.person("1", "Anna").run()

    assert [because for _, _, because in computed(staff)] == [Because(whole="all")] * 2


def test_what_an_adoption_and_an_erasure_removed_names_them(new_house: NewHouse) -> None:
    house = new_house()
    house.people(dict.fromkeys("12", "Ann")).run()
    house.teams({"A": "Alpha"}, ("A", "1"), ("A", "2")).run("Teams")
    house.configured(team_has_one=True)
    house.engine.adopt()
    house.engine.erase("Person", "1", reason="request 1")

    unlinked = [c for c in house.engine.changes() if c.kind == "unlinked"]
    assert [c.grounds and c.grounds.kind for c in unlinked] == [GroundsKind.ADOPTION]
    assert not any(isinstance(c.event, Deleted) and c.event.ref.key == "1" for c in house.engine.changes())


def test_events_of_earlier_versions_say_that_their_grounds_are_not_recorded(
    new_staff: NewStaff, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = new_staff(people_model([expressions_task()], {"Label": "p.Name"}))
    with monkeypatch.context() as earlier:
        earlier.setattr("deltamark.application.derivation.grounds.Grounds.added_to", lambda grounds, changes: changes)
        earlier.setattr("deltamark.infrastructure.store.commands.append.BY_TASK", "")
        staff.person("1", "Ann").person("2", "Bo", manager="1").run()
        staff.person("2", "Bo").run()

    events = [c for c in staff.engine.changes() if isinstance(c.event, Computed | Unlinked)]
    assert [(c.kind, c.grounds and c.grounds.words) for c in events] == [
        ("updated", "not recorded"),
        ("updated", "not recorded"),
        ("unlinked", "not recorded"),
    ]
    assert staff.engine.verify().is_sound


def test_the_ends_of_a_removed_link_are_named(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([]))
    staff.person("1", "Ann").person("2", "Bo", manager="1").run()
    staff.without("2").run()

    (unlinked,) = (c for c in staff.engine.changes() if c.kind == "unlinked")
    assert unlinked.grounds is not None
    assert unlinked.grounds.ends == (ResourceRef("Person", "2"),)
