"""What nothing feeds any more is named, and deleted or frozen by a person's decision, on record."""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from deltamark import (
    Configuration,
    Connector,
    DecommissionWaits,
    Engine,
    EntityPropertyExpression,
    EntityType,
    Job,
    Property,
    Step,
    Thresholds,
    UpdateEntityPropertyExpressionsTask,
    UsageError,
)
from deltamark.config.check import judged_configuration
from deltamark.domain.adoption.decommission import frozen_inputs
from deltamark.domain.next_steps import NextAction
from deltamark.domain.validation.unfed_warnings import Frozen
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.scenarios.house import House, configuration
from tests.store.tables import tables
from tests.stores import NewStore


def without_mappings(configured: Configuration, connector: str) -> Configuration:
    """The configuration in which nothing is fed by a connector, which stays."""
    return evolve(
        configured,
        entity_type_mappings=[m for m in configured.entity_type_mappings if m.connector != connector],
        association_mappings=[m for m in configured.association_mappings if m.connector != connector],
        **without_job_steps(configured, connector),
    )


def without_jobs(configured: Configuration, connector: str) -> Configuration:
    """The configuration in which the mappings of a connector stay, and no job synchronizes it."""
    return evolve(configured, **without_job_steps(configured, connector))


def without_job_steps(configured: Configuration, connector: str) -> dict[str, object]:
    gone = {task.identifier for task in configured.tasks if connector in (task.prepares, task.synchronizes)}
    jobs = [evolve(job, tasks=[step for step in job.tasks if step.task not in gone]) for job in configured.jobs]
    tasks = [task for task in configured.tasks if task.identifier not in gone]
    return {
        "tasks": [evolve(task, parents=[p for p in task.parents if p not in gone]) for task in tasks],
        "jobs": [job for job in jobs if job.tasks],
    }


def reopened(house: House, configured: Configuration, **options: object) -> Engine:
    """The engine of the house under another configuration."""
    house.engine.close()
    house.engine = Engine.open(
        house.url, configuration=configured, export_output=house.folder, clock=house._clock, **options
    )
    return house.engine


def filled(house: House) -> House:
    """Two people of HR, one team of Teams with both."""
    house.people({"1": {"name": "Ann", "mail": "a@b"}, "2": {"name": "Bo", "mail": "b@b"}}).run()
    house.teams({"T": "Team"}, ("T", "1"), ("T", "2")).run("Teams")
    house.run("Flags")
    return house


def named(engine: Engine) -> list[tuple[str, str, bool]]:
    return [(str(u.subject), u.because, u.freeze is not None) for u in engine.health().unfed]


def test_health_and_plan_name_what_nothing_feeds(house: House) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "Teams"))
    assert named(engine) == [
        ("entity type Team", "no mapping fills it", False),
        ("association Members", "no mapping fills it", False),
    ]
    engine.adopt()

    found = engine.health()

    (problem,) = found.problems
    assert problem.startswith("connector Teams no longer feeds what the store has of it: entity type Team, association")
    assert [(step.action, step.subject) for step in found.next_steps] == [(NextAction.DECOMMISSION, "Teams")]
    assert [u.connector for u in found.unfed] == ["Teams", "Teams"]
    assert engine.plan().unfed == tuple(evolve(u, readers=()) for u in found.unfed)


def test_a_connector_that_no_job_synchronizes_feeds_nothing(house: House) -> None:
    engine = reopened(filled(house), without_jobs(configuration(), "HR"))

    assert named(engine) == [("entity type Person", "no job synchronizes connector HR", False)]
    (person,) = engine.plan().unfed
    assert person.readers == ("the source expression of rule Owner_1", "the target expression of rule Owner_1")


def test_what_the_store_does_not_hold_is_not_named(house: House) -> None:
    house.people({"1": "Ann"}).run()

    assert named(reopened(house, without_mappings(configuration(), "Teams"))) == []


def test_what_the_adoption_removes_is_not_named(house: House) -> None:
    configured = without_mappings(configuration(), "Teams")
    engine = reopened(filled(house), evolve(configured, entity_types=configured.entity_types[:1], associations=()))

    assert named(engine) == []
    engine.adopt()
    assert named(engine) == []


@pytest.mark.on_every_store
def test_deleting_removes_resources_and_links_with_events_and_what_depends_on_them(house: House) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "HR"))
    engine.adopt()
    head, keys = engine.position(), house.keys()

    done = engine.decommission("HR", "delete", reason="  HR\nwas sold ")

    assert keys
    assert [(str(h.subject), h.resources, h.links, h.is_with_resources) for h in done.holdings] == [
        ("entity type Person", 2, 0, False),
        ("association Members", 0, 2, True),
    ]
    assert house.changes(after=head) == [
        ("unlinked", "T-1"), ("unlinked", "T-2"), ("deleted", "1"), ("deleted", "2"),
    ]  # fmt: skip
    assert {(c.run, c.job, c.task) for c in engine.changes(after=head)} == {
        (done.run, "*decommission*", "*decommission*")
    }
    run = engine.run(done.run)
    assert (run.counts.deleted, run.counts.unlinked) == (2, 2)
    assert run.reason == "HR was sold"
    assert house.state() == {}
    assert named(engine) == []
    house.run("Flags")
    assert house.keys() == {}
    assert not engine.verify_derived().differences
    assert engine.verify().is_sound


def test_links_that_are_still_named_wait_for_deleted_resources(house: House) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "HR"))
    engine.adopt()
    engine.decommission("Person", "delete", reason="gone")
    engine.run_job("Teams")

    reopened(house, configuration())
    house.people({"1": {"name": "Ann", "mail": "a@b"}, "2": {"name": "Bo", "mail": "b@b"}}).run()

    assert house.pairs() == {("T", "1"), ("T", "2")}
    assert house.engine.verify().is_sound


def test_links_wait_without_another_run_of_their_connector(house: House) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "HR"))
    engine.adopt()
    engine.decommission("Person", "delete", reason="gone")

    reopened(house, configuration())
    house.people({"2": "Bo"}).run()

    assert house.pairs() == {("T", "2")}


@pytest.mark.on_every_store
def test_freezing_is_an_event_that_nothing_warns_of_until_it_is_fed_again(house: House, new_store: NewStore) -> None:
    configured = without_mappings(configuration(), "HR")
    engine = reopened(filled(house), configured)
    engine.adopt()
    before = house.state()

    done = engine.decommission("HR", "freeze", reason="sold")

    (person,) = engine.health().unfed
    assert person.freeze is not None
    assert (person.freeze.run, person.freeze.reason, person.freeze.position) == (done.run, "sold", done.position)
    assert person.text == f"entity type Person is {person.freeze.text}"
    assert "because: sold" in person.text
    assert engine.health().problems == ()
    assert house.state() == before
    assert engine.verify().is_sound
    copy = new_store()
    engine.replay(into=copy)
    with Engine.open(copy, configuration=configured, export_output=house.folder) as copied:
        assert copied.health().unfed == (person,)
        assert copied.verify().is_sound

    reopened(house, configuration()).run_job("People")
    assert any("no longer frozen" in words for words in house.engine.runs()[-1].adoption.messages)
    engine = reopened(house, configured)
    engine.adopt()

    assert [u.freeze for u in engine.health().unfed] == [None]
    assert len(engine.configurations()) == 4


def test_what_is_frozen_can_be_deleted_and_frozen_for_another_reason(house: House) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "HR"))
    engine.adopt()

    engine.decommission("Person", "freeze", reason="one")
    engine.decommission("Person", "freeze", reason="two")
    assert [u.freeze.reason for u in engine.health().unfed if u.freeze] == ["two"]
    engine.decommission("Person", "delete", reason="three")

    assert engine.health().unfed == ()
    assert house.state() == {}


def test_an_association_is_deleted_alone_with_the_links_that_wait(house: House) -> None:
    filled(house).teams({"T": "Team"}, ("T", "1"), ("T", "9")).engine.run_job("Teams")
    configured = configuration()
    engine = reopened(house, evolve(configured, association_mappings=()))
    engine.adopt()
    assert named(engine) == [("association Members", "no mapping fills it", False)]

    done = engine.decommission("Members", "delete", reason="r")

    assert [(h.links, h.waiting) for h in done.holdings] == [(1, 1)]
    assert house.pairs() == set()
    assert tables(house.url)["awaited"] == []
    assert engine.verify().is_sound


def test_more_than_the_limit_waits_for_force(house: House) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "HR"), adoption=30)
    engine.adopt()

    with pytest.raises(DecommissionWaits, match=r"4 resources and links would be removed; .* at most 3 are"):
        engine.decommission("HR", "delete", reason="r")
    assert len(house.state()) == 2
    engine.decommission("HR", "freeze", reason="r")
    engine.decommission("HR", "delete", reason="r", force=True)

    assert house.state() == {}


def test_asking_and_dry_runs_write_nothing(house: House) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "HR"))
    engine.adopt()
    before = tables(house.url)

    asked = engine.decommission("HR")
    rehearsed = engine.decommission("HR", "delete", reason="r", dry_run=True)

    assert (asked.weight, asked.run, asked.action) == (4, None, None)
    assert (rehearsed.weight, rehearsed.run) == (4, None)
    assert tables(house.url) == before


def test_where_there_is_nothing_no_run_is_recorded(house: House) -> None:
    engine = reopened(filled(house), without_mappings(configuration(), "HR"))
    engine.adopt()
    engine.decommission("HR", "delete", reason="r")
    runs = len(engine.runs())

    assert engine.decommission("HR", "delete", reason="again").run is None
    assert engine.decommission("Person", "freeze", reason="again").run is None
    assert len(engine.runs()) == runs


def refused(engine: Engine, *arguments: object, **options: object) -> str:
    before = engine.position()
    with pytest.raises(UsageError) as error:
        engine.decommission(*arguments, **{"reason": "r", **options})  # type: ignore[arg-type]
    assert engine.position() == before
    return str(error.value)


def test_what_is_fed_is_refused(house: House) -> None:
    configured = configuration()
    filled(house)
    for name in ("HR", "Person"):
        for how in ("delete", "freeze", None):
            assert "connector HR feeds entity type Person" in refused(house.engine, name, how)
    engine = reopened(house, without_mappings(configured, "HR"))
    for name in ("HR", "Person"):
        assert "under the configuration in force, connector HR feeds entity type Person" in refused(
            engine, name, "delete"
        )


def test_wrong_names_and_arguments_are_refused(house: House) -> None:
    engine = filled(house).engine
    assert 'there is no connector, entity type or association "Persn"; did you mean "Person"?' in refused(
        engine, "Persn", "delete"
    )
    assert 'there is no association "Person"' in refused(engine, "Person", "delete", kind="association")
    assert 'how is "delete" or "freeze"' in refused(engine, "Person", "drop")
    assert 'kind is "connector" or "type" or "association"' in refused(engine, "Person", "delete", kind="job")
    for reason in ("", " ", "x" * 501, None):
        refused(engine, "Person", "delete", reason=reason)


def test_a_name_that_several_have_needs_its_kind(house: House) -> None:
    configured = configuration()
    more = evolve(configured, connectors=[*configured.connectors, Connector("Team")])
    engine = reopened(filled(house), without_mappings(more, "Teams"))
    engine.adopt()

    assert '"Team" is a connector and an entity type' in refused(engine, "Team", "delete")
    assert engine.decommission("Team", kind="connector").holdings == ()
    assert [str(h.subject) for h in engine.decommission("Team", kind="type").holdings] == [
        "entity type Team", "association Members",
    ]  # fmt: skip


def test_what_is_held_back_keeps_from_deleting_what_it_concerns(house: House) -> None:
    configured = configuration(teams_limits=Thresholds(maximum_deleted_lines=1, maximum_link_deleted_lines=1))
    reopened(filled(house), configured)
    house.teams({}).engine.run_job("Teams")
    engine = reopened(house, without_mappings(configured, "HR"))
    engine.adopt()

    assert "holds changes of connector Teams back" in refused(engine, "HR", "delete")
    engine.decommission("HR", "freeze", reason="r")
    engine.cancel(engine.health().held_back[0].run)
    assert engine.decommission("HR", "delete", reason="r").run is not None


def reading(configured: Configuration) -> Configuration:
    """People with a number of teams, and a copy of a property that nothing fills."""
    person, *others = configured.entity_types
    more = EntityType("Person", [*person.properties, Property("Titles"), Property("Empty"), Property("Copy")])
    return evolve(
        configured,
        entity_types=[more, *others],
        property_expressions=[
            EntityPropertyExpression("T", "Person", "Titles", expression="SQL:p: list_string_agg(p.Teams.Title, '/')"),
            EntityPropertyExpression("C", "Person", "Copy", binding="Empty"),
        ],
        tasks=[*configured.tasks, UpdateEntityPropertyExpressionsTask(identifier="Compute", all_entity_type=True)],
        jobs=[*configured.jobs, Job("Compute", [Step("Compute")])],
    )


def said(configured: Configuration, frozen: Frozen | None = None) -> tuple[list[str], list[str]]:
    """The warnings and notices about what is not fed, each up to its first comma or colon."""
    judged = judged_configuration(configured, DuckEvaluator, frozen=frozen or {})
    assert not judged.faults
    warnings = [fault.message for fault in judged.warnings if re.search("feed|fill", fault.message)]
    return [re.split("[,:] ", words)[0] for words in warnings], [fault.message for fault in judged.notices]


def test_expressions_that_read_what_nothing_feeds_are_warned_of() -> None:
    configured = reading(configuration())

    assert said(configured) == (["the expression of Person:Copy reads Person:Empty"], [])
    assert said(without_mappings(configured, "Teams"))[0][-2:] == [
        "the expression of Person:Titles reads association Members and entity type Team",
        "the expression of Person:Copy reads Person:Empty",
    ]
    assert sorted(said(without_jobs(configured, "HR"))[0]) == [
        'no job synchronizes connector "HR"',
        "the expression of Person:Copy reads entity type Person",
        "the source expression of rule Owner_1 reads entity type Person",
        "the target expression of rule Owner_1 reads entity type Person",
    ]


def test_what_is_frozen_is_a_notice_and_no_warning(house: House) -> None:
    configured = reading(configuration())
    left = without_mappings(configured, "Teams")
    engine = reopened(filled(house), left)
    engine.adopt()
    engine.decommission("Teams", "freeze", reason="sold")
    with engine._services.store.reading() as view:
        frozen = frozen_inputs(view.decisions())

    warnings, notices = said(left, frozen)

    assert warnings == ["the expression of Person:Copy reads Person:Empty"]
    assert [words.partition(" since ")[0] for words in notices] == [
        'entity type "Team" is frozen', 'association "Members" is frozen',
    ]  # fmt: skip
    assert all("because: sold (run 5, by " in words for words in notices)
    assert said(configured, frozen)[1] == []
