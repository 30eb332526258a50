"""What is dirty by way of computed values: listed and explained before the run that computes them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from deltamark import task
from deltamark.application.flagging.flag import flag_changes
from tests.scenarios.organisation.formulas import CLASSES, KEYS, PROPERTIES
from tests.scenarios.organisation.running import Organisation
from tests.scenarios.organisation.setting import Setting
from tests.scenarios.staff import Staff, by_row, calls, expressions_task, people_model

CHAIN = Setting(
    properties={
        "Person.Label": PROPERTIES["Person.Label"][1],
        "Person.Unit": PROPERTIES["Person.Unit"][0],
        "Person.BossUnit": PROPERTIES["Person.BossUnit"][0],
        "Person.Chain": PROPERTIES["Person.Chain"][0],
        "Person.Boss": PROPERTIES["Person.Boss"][0],
    },
    keys={"ByUnit": KEYS["ByUnit"]},
    classes={"Led": CLASSES["Led"]},
)


@pytest.fixture
def led(new_organisation) -> Organisation:
    """Ann, who leads Bob, who leads Cem, who leads Dee; Ann's department is A, and Bob has an account."""
    organisation = new_organisation(CHAIN).department("A", "Art")
    organisation.person("1", "Ann", department="A").person("2", "Bob", manager="1").person("3", "Cem", manager="2")
    organisation.person("4", "Dee", manager="3").account("b", owner="2", Kind="u")
    organisation.run()
    organisation.run("Weekly")
    return organisation


def dirty(organisation: Organisation, prefix: str = "") -> set[tuple[str, str, tuple[str, ...]]]:
    """Task, key and the computed values that they may follow, of one consumer."""
    names = {f"{prefix}{kind}": kind for kind in ("Properties", "Keys", "Classes")}
    found = organisation.engine.dirty()
    return {(names[one.task], one.key, one.through) for one in found if one.task in names}


def test_a_chain_of_computed_properties_keys_and_classes_is_dirty_before_its_beginning_is_computed(led):
    led.department("A", "Arts").run("Org")
    led.run("Flags")

    assert dirty(led) == {
        ("Properties", "2", ()),  # its unit is the department of its manager
        ("Properties", "3", ("Manager.Unit",)),
        ("Properties", "4", ("Manager.BossUnit",)),
        ("Keys", "2", ("Unit",)),
        ("Keys", "b", ("Owner.Unit",)),
    }
    (cause,) = led.engine.why("Person", "4", task="Properties").causes
    assert (cause.path, cause.property) == ("Manager.Manager.Manager.Department", "Title")
    assert cause.through == ("Manager.BossUnit", "Manager.Manager.Unit")
    assert cause.change.event.changes["Title"].after == "Arts"
    assert cause.reason == (
        "Manager.Manager.Manager.Department.Title is read by Manager.Manager.Unit; Chain may follow Manager.BossUnit, "
        "which may follow Manager.Manager.Unit"
    )
    run = led.run("Compute")
    assert [task.counts.computed for task in run.tasks] == [3, 2, 0]
    assert led.derived() == led.by_hand()
    assert dirty(led) == set()


def test_what_was_computed_equal_ends_the_chain_and_is_only_said_to_may_follow(led):
    led.person("1", "Ann", Mail="a@x", department="A").run("HR")
    led.run("Flags")

    assert ("Keys", "1", ("Label",)) in dirty(led)  # the label is the mail only without a name

    run = led.run("Compute")
    assert [task.counts.computed for task in run.tasks] == [1, 0, 0]


def test_what_another_task_computed_before_a_change_that_is_not_flagged_may_change_again(led):
    led.computing(Person_Unit=PROPERTIES["Person.Unit"][1]).run("Weekly")
    led.department("A", "Arts").run("Org")

    listed = {(kind, key) for kind, key, through in dirty(led) if through}
    assert {("Keys", "2"), ("Keys", "b")} <= listed
    assert all(through in (("Unit",), ("Owner.Unit",)) for kind, _, through in dirty(led) if kind == "Keys")
    (cause,) = led.engine.why("Person", "2", task="Keys").causes
    assert cause.through == ("Unit",)
    assert cause.reason.startswith("Unit is computed of all resources: the rule changed since the task last ran; ")

    run = led.run("Compute")
    assert run.tasks[1].counts.computed == 2
    assert led.people("Unit") == {"2": "Arts"}


@pytest.mark.slow  # runs many jobs
@pytest.mark.parametrize("change", ["moved", "left"])
def test_links_that_come_and_go_and_deleted_resources_are_seen_through_computed_values(led, change):
    if change == "moved":
        led.department("B", "Biology").person("1", "Ann", department="B").run("Org")
    else:
        led.without("Person", "1").person("2", "Bob")
    led.run("HR")
    led.run("Flags")
    listed = {(task, key) for task, key, _ in dirty(led)}
    before = led.engine.position()

    led.run("Compute")

    written = {(change.task, change.event.ref.key) for change in led.engine.changes(after=before)}
    assert {("Properties", "2"), ("Properties", "3"), ("Properties", "4")} <= written
    assert written <= listed
    assert led.derived() == led.by_hand()


def test_a_consumer_that_is_behind_makes_nothing_dirty_for_those_that_are_not(led):
    led.department("A", "Arts").run()

    assert dirty(led) == set()
    weekly = dirty(led, "Weekly")
    # Its flags are unread, and it follows nothing: the others have computed what it would.
    assert {("Properties", "2", ()), ("Properties", "3", ()), ("Keys", "b", ())} <= weekly
    assert all(through == () for _, _, through in weekly)


def test_what_both_consumers_have_still_to_compute_is_followed_by_both(led):
    led.department("A", "Arts").run("Org")
    led.run("Flags")

    assert dirty(led) == dirty(led, "Weekly") != set()


def test_values_of_an_expression_that_is_gone_make_their_readers_dirty(led):
    led.computing(Person_Unit=None)

    listed = dirty(led)
    before, keys = led.engine.position(), led.correlated()

    assert ("Properties", "2", ()) in listed
    assert led.engine.why("Person", "2", task="Properties").causes
    led.run("Compute")
    written = {(change.task, change.event.ref.key) for change in led.engine.changes(after=before)}
    changed = {("Keys", key) for _, _, key, _ in keys ^ led.correlated()}
    assert written
    assert changed
    assert written | changed <= {(task, key) for task, key, _ in listed}


def test_functions_of_users_are_followed_and_follow(new_store, tmp_path, clock):
    rated, _ = by_row(lambda row: {"Score": len(row["Name"] or "")}, reads=["Name"], writes=["Score"])

    @task(entity_types=["Person"], reads=["Note"], writes=["Badge"])
    def told(batch):
        return pa.table({"key": batch["key"], "Badge": batch["Note"]})

    tasks = [calls(rated, dirty=True), expressions_task(), calls(told, "Tell", dirty=True)]
    jobs = people_model(tasks, {"Note": "concat('', p.Manager.Score)"})
    staff = Staff(new_store(), tmp_path / "staff", clock, jobs)
    try:
        staff.person("1", "Ann").person("2", "Bo", manager="1").run()
        staff.person("1", "Annabel").run("Synchronize")
        _flag(staff)

        listed = {(one.task, one.key, one.through) for one in staff.engine.dirty()}

        assert listed == {
            ("Rate", "1", ()),
            ("Expressions", "2", ("Manager.Score",)),
            ("Tell", "2", ("Note",)),
        }
        (cause,) = staff.engine.why("Person", "2", task="Tell").causes
        assert (cause.path, cause.property, cause.through) == ("Manager", "Name", ("Note", "Manager.Score"))
        run = staff.run()
        assert [task.counts.computed for task in run.tasks[-3:]] == [1, 1, 1]
    finally:
        staff.engine.close()


def _flag(staff: Staff) -> None:
    services = staff.engine._services
    with services.store.transaction() as tx:
        flag_changes(services, tx)
