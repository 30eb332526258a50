"""Changes by all that can be named, such as task, property and connector: those are shown, and no others."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, islice
from typing import Any

import pytest

from deltamark import Computed, LoggedChange, UsageError
from deltamark.domain.resources.resource import ResourceEvent
from tests.scenarios.house import House
from tests.scenarios.staff import Staff, by_row, calls, expressions_task, people_model

NewStaff = Callable[..., Staff]


def lived(new_staff: NewStaff) -> Staff:
    """Staff after four runs for three people, with an expression and a function."""
    score, _ = by_row(lambda row: {"Score": len(row["Name"] or "")}, reads=["Name"], writes=["Score"])
    labels = {"Label": "p.Name || '!'", "Note": "p.Manager.Label"}
    staff = new_staff(people_model([expressions_task(), calls(score)], labels), tasks=[score])
    staff.person("1", "Ann").person("2", "Bo", manager="1").person("3", "Cy", manager="1")
    staff.run(by="ann")
    staff.person("2", "Bob", manager="1", Mail="b@x").person("3", "Cy", manager="2")
    staff.run(by="bo", reason="ticket 2")
    staff.without("3").person("1", "Anna")
    staff.run("Synchronize")
    staff.run(by="ann")
    return staff


ASKED: dict[str, tuple[dict[str, Any], Callable[[LoggedChange], bool]]] = {
    "type": ({"entity_type": "Person"}, lambda c: True),
    "key": ({"key": "2"}, lambda c: "2" in keys_of(c)),
    "run": ({"run": 2}, lambda c: c.run == 2),
    "task": ({"task": "Expressions"}, lambda c: c.task == "Expressions"),
    "synchronization": ({"task": "SynchronizeHR"}, lambda c: c.task == "SynchronizeHR"),
    "person": ({"user": "ann"}, lambda c: c.by == "ann"),
    "property": ({"property_name": "Label"}, lambda c: is_of(c, "Label")),
    "mapped property": ({"property_name": "Name"}, lambda c: is_of(c, "Name")),
    "association": ({"association": "Management"}, lambda c: not isinstance(c.event, ResourceEvent)),
    "rule": ({"rule": "Note"}, lambda c: isinstance(c.event, Computed) and is_of(c, "Note")),
    "function": ({"rule": "rated"}, lambda c: isinstance(c.event, Computed) and is_of(c, "Score")),
    "connector": ({"connector": "HR"}, lambda c: not isinstance(c.event, Computed)),
    "after": ({"after": 12}, lambda c: c.position > 12),
}


def keys_of(change: LoggedChange) -> set[str]:
    ref: Any = change.event.ref
    return {ref.key} if isinstance(change.event, ResourceEvent) else {ref.source.key, ref.target.key}


def is_of(change: LoggedChange, name: str) -> bool:
    return isinstance(change.event, ResourceEvent) and name in change.event.changes


@pytest.mark.slow  # asks for every two filters
@pytest.mark.on_every_store
def test_every_filter_and_every_two_of_them_admit_what_is_all_that_they_name(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine
    everything = list(engine.changes())
    account = everything[0].user
    asked = {**ASKED, "account": ({"user": account}, lambda c: c.user == account)}

    shown = 0
    for names in [(name,) for name in asked] + list(combinations(asked, 2)):
        options = [asked[name][0] for name in names]
        if len({key for option in options for key in option}) < len(names):
            continue
        together = {key: value for option in options for key, value in option.items()}
        if "association" in together and {"property_name", "rule"} & together.keys():
            continue
        if {"connector", "rule"} <= together.keys():
            continue
        expected = [c.position for c in everything if all(asked[name][1](c) for name in names)]
        assert [c.position for c in engine.changes(**together)] == expected, names
        shown += bool(expected)
    assert shown > 50
    assert all(list(engine.changes(**asked[name][0])) for name in asked)


def test_pages_of_filtered_changes_together_are_all_of_them(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine
    whole = [c.position for c in engine.changes(user="ann", property_name="Label")]

    pages: list[int] = []
    while page := [
        c.position
        for c in islice(engine.changes(after=pages[-1] if pages else 0, user="ann", property_name="Label"), 2)
    ]:
        pages += page

    assert len(whole) > 2
    assert pages == whole


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"task": "Expresions"},
        'no configuration has or had a task "Expresions", and no run called one; did you mean',
    ),
    ({"user": "anne"}, 'no run was made by an account or for a person "anne"; did you mean "ann"'),
    ({"property_name": "Labl"}, 'no entity type has or had a property "Labl"; did you mean "Label"'),
    ({"property_name": "Labl", "entity_type": "Person"}, 'there is no property of Person "Labl"'),
    ({"property_name": "Manager"}, "Manager of Person holds no values"),
    ({"association": "Managment"}, 'there is no association "Managment"'),
    ({"rule": "Lable"}, 'had a rule "Lable" that computes properties; did you mean "Label"'),
    ({"rule": "Label", "association": "Management"}, "no change is one of what a rule computed and of the links"),
    ({"property_name": "Name", "association": "Management"}, "no change is one of a property and of the links"),
    ({"connector": "HX"}, 'no configuration has or had a connector "HX"; there is "HR"'),
    ({"connector": "HR", "rule": "Label"}, "no change is one of what a connector feeds and of what a rule computed"),
    ({"task": 5}, "the name of a task is given as a text"),
]


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_what_the_log_never_knew_is_refused(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine

    for asked, message in REFUSED:
        with pytest.raises(UsageError) as refused:
            list(engine.changes(**asked))

        assert message in str(refused.value)


def test_a_rule_of_keys_is_told_to_leave_no_changes(house: House) -> None:
    with pytest.raises(UsageError, match="rule Owner_1 computes correlation keys, which are kept as they are now"):
        list(house.people({"1": "Ann"}).engine.changes(rule="Owner_1"))


def test_what_left_the_configuration_can_be_asked_for(new_staff: NewStaff) -> None:
    staff = lived(new_staff)
    before = {
        name: [c.position for c in staff.engine.changes(**ASKED[name][0])] for name in ("rule", "task", "function")
    }
    staff.configured(people_model([], mapped=["Name"]))
    staff.engine.adopt()

    for name, positions in before.items():
        assert [c.position for c in staff.engine.changes(**ASKED[name][0])][: len(positions)] == positions
    adopted = [c.position for c in staff.engine.changes(task="*adopt*")]
    assert adopted == [c.position for c in staff.engine.changes() if c.task == "*adopt*"] != []


def test_the_log_is_followed_by_the_same_filters(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine

    for name in ("task", "person", "property", "association", "connector", "rule"):
        followed = list(engine.follow(0, **ASKED[name][0], timeout=0))
        assert followed == list(engine.changes(**ASKED[name][0]))
    assert list(engine.follow(0, user="nobody yet", timeout=0)) == []
