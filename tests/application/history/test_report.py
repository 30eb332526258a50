"""The report on one resource: everything that it was, had and was computed to be, across its links."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from deltamark import (
    Engine,
    GroundsKind,
    Job,
    ResourceClassificationRule,
    RunMoment,
    Step,
    UpdateClassificationTask,
    UsageError,
)
from deltamark.domain.errors import ErasedResource
from tests.scenarios.house import House
from tests.scenarios.staff import Staff, expressions_task, people_model

NewStaff = Callable[..., Staff]
NewHouse = Callable[..., House]


def values(engine: Engine, key: str, *between: object) -> list[tuple[str, object, int | None, int | None]]:
    """Property, value, and the runs that began and ended it."""
    return [
        (v.held.property, v.held.value, v.held.since and v.held.since.run, v.held.until and v.held.until.run)
        for v in engine.report("Person", key, *between).values  # type: ignore[arg-type]
    ]


@pytest.mark.on_every_store
def test_a_report_has_values_links_and_existence_with_their_causes(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([expressions_task()], {"Label": "p.Name || '!'", "Note": "p.Manager.Label"}))
    staff.person("1", "Ann").person("2", "Bo", manager="1").run(by="ann")
    staff.person("1", "Anna").person("3", "Cy").run()
    staff.person("2", "Bo", manager="3").run()
    staff.without("2").run()

    report = staff.engine.report("Person", "2")

    assert [(e.since and e.since.run, e.until and e.until.run) for e in report.existence] == [(1, 4)]
    assert values(staff.engine, "2") == [
        ("Label", "Bo!", 1, 4),
        ("Name", "Bo", 1, 4),
        ("Note", "Ann!", 1, 2),
        ("Note", "Anna!", 2, 3),
        ("Note", "Cy!", 3, 4),
        ("Number", "2", 1, 4),
    ]
    assert {v.held.property: (v.is_computed, v.rule) for v in report.values} == {
        "Label": (True, "SQL:p: p.Name || '!'"),
        "Name": (False, None),
        "Note": (True, "SQL:p: p.Manager.Label"),
        "Number": (False, None),
    }
    noted = report.values[3].held.since
    assert noted is not None
    assert noted.grounds is not None
    cause = next(c for c in staff.engine.changes(run=2, rule="Label") if c.position == noted.grounds.first)
    assert cause.event.ref.key == "1"  # type: ignore[union-attr]
    assert [
        (link.ref.target.key, link.since and link.since.run, link.until and link.until.run) for link in report.links
    ] == [
        ("1", 1, 3),
        ("3", 3, 4),
    ]
    assert report.existence[0].since is not None
    assert report.existence[0].since.by == "ann"
    assert report.existence[0].until is not None
    assert report.existence[0].until.grounds is not None
    assert report.existence[0].until.grounds.kind is GroundsKind.MISSING_ROW
    assert [link.ref.source.key for link in staff.engine.report("Person", "1").links] == ["2"]


def test_a_report_between_two_moments_leaves_out_what_was_before_and_after(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([]))
    for name in ("Ann", "Bea", "Cleo", "Dea"):
        staff.person("1", name).run()

    assert values(staff.engine, "1", RunMoment(2), RunMoment(3)) == [
        ("Name", "Bea", 2, 3),
        ("Name", "Cleo", 3, 4),
        ("Number", "1", 1, None),
    ]
    with pytest.raises(UsageError, match="lies before the first one"):
        staff.engine.report("Person", "1", RunMoment(3), RunMoment(2))
    with pytest.raises(UsageError, match="there never was a Person"):
        staff.engine.report("Person", "9")


@pytest.mark.on_every_store
def test_a_report_has_keys_and_matches_as_they_are_now(new_house: NewHouse) -> None:
    house = new_house()
    house.people({"1": {"name": "ada", "mail": "x"}, "2": {"name": "x", "mail": "y"}, "3": {"name": "X"}})
    house.run("Complete")

    report = house.engine.report("Person", "1")

    assert sorted((key.side, key.value) for key in report.keys) == sorted(
        (side, value) for (side, number), value in house.keys().items() if number == "1"
    )
    of_all = [pair for pair in house.engine.matches() if "1" in (pair.source_key, pair.target_key)]
    assert sorted(report.matches, key=str) == sorted(of_all, key=str)


@pytest.mark.on_every_store
def test_a_report_has_the_classification_of_now(new_house: NewHouse) -> None:
    house = new_house(
        more_tasks=[UpdateClassificationTask(identifier="Classify", all_entity_type=True)],
        more_jobs=[Job("Classify", [Step("SynchronizeHR"), Step("Classify")])],
    )
    rule = ResourceClassificationRule("Owner", "SQL:p: p.Name = 'Ann'", 70, identifier="IsAnn")
    configured = evolve(house.engine.configuration, classification_rules=[rule])
    house.engine.close()
    house.engine = Engine.open(house.url, configuration=configured, export_output=house.folder)
    house.people({"1": "Ann", "2": "Bo"}).run("Classify")

    found = [house.engine.report("Person", key).classification for key in "12"]

    assert found == [*house.engine.classifications(), None]
    assert found[0] is not None
    assert (found[0].rule, found[0].confidence) == ("IsAnn", 70)


def test_what_was_discarded_and_erased_is_said(new_house: NewHouse) -> None:
    house = new_house()
    house.people({"1": "Ann", "2": "Bo"}).run()
    house.people({"1": "Anna", "2": "Bo"}).run()
    house.engine.retain("HR", keep=0, even_unread=True)

    report = house.engine.report("Person", "1")

    assert [horizon.subject for horizon in report.horizons] == ["Person"]
    assert report.existence[0].since is None
    assert [(v.held.property, v.held.since) for v in report.values if v.held.property == "Name"] == [("Name", None)]
    house.engine.erase("Person", "1", reason="request 17")
    with pytest.raises(ErasedResource, match="request 17"):
        house.engine.report("Person", "1")
