"""Expressions that were edited, added or removed: just they are computed anew, and what they left is put right."""

from __future__ import annotations

import pytest

from deltamark import Change, TaskState
from tests.scenarios.organisation.formulas import CLASSES, KEYS, PROPERTIES, sql
from tests.scenarios.organisation.running import Organisation, task
from tests.scenarios.organisation.setting import Setting
from tests.store.tables import alter

FIVE = {
    name: PROPERTIES[name][0] for name in ("Person.Label", "Person.Size", "Person.Boss", "Person.Unit", "Person.Team")
}


@pytest.fixture
def five(new_organisation) -> Organisation:
    """Three people, of whom five properties are computed."""
    organisation = new_organisation(Setting(properties=FIVE)).department("A", "Alpha")
    organisation.person("1", "Ann", Mail="a@x", department="A").person("2", "Bob", manager="1").person(
        "3", "Cem", manager="2"
    )
    organisation.run()
    return organisation


def test_only_an_edited_expression_is_computed_for_all(five):
    run = five.computing(Person_Boss=PROPERTIES["Person.Boss"][1]).run()

    assert five.computed == {("Boss", key) for key in "123"}
    assert task(run, "Properties").messages == (
        "computed Person:Boss of all resources: the rule changed since the task last ran",
    )
    assert five.people("Boss") == {"2": "a@x"}
    assert five.derived() == five.by_hand()


def test_the_others_are_computed_for_flagged_resources_beside_an_edited_expression(five):
    five.person("2", "Bert", manager="1")

    run = five.computing(Person_Boss=PROPERTIES["Person.Boss"][1]).run()

    assert five.computed == {*(("Boss", key) for key in "123"), ("Label", "2"), ("Size", "2"), ("Team", "1")}
    assert task(run, "Properties").counts.executed == 6
    assert five.derived() == five.by_hand()


def test_only_a_new_expression_is_computed_for_all(five):
    run = five.computing(Person_Greeting=PROPERTIES["Person.Greeting"][0]).run()

    assert five.computed == {("Greeting", key) for key in "123"}
    assert task(run, "Properties").messages == (
        "computed Person:Greeting of all resources: the rule is new to the task",
    )
    assert five.people("Greeting") == {"1": "Hi Ann<a@x>"}


def test_readers_of_an_edited_expression_are_computed_where_its_value_differs(five):
    five.computing(
        Person_Greeting=PROPERTIES["Person.Greeting"][0], Person_BossUnit=PROPERTIES["Person.BossUnit"][1]
    ).run()

    run = five.computing(Person_Label=sql("coalesce(x.Name || '<' || x.Mail || '>', x.Name)", lambda x: None)).run()

    assert five.people("Label") == {"1": "Ann<a@x>", "2": "Bob", "3": "Cem"}
    assert five.people("Greeting") == {"1": "Hi Ann<a@x>", "2": "Hi Bob", "3": "Hi Cem"}
    assert five.people("BossUnit") == {"2": "Ann<a@x>", "3": "Bob"}
    # Label of three, Greeting of the two whose label came out differently, BossUnit of the one whom one of these leads.
    assert (task(run, "Properties").counts.executed, task(run, "Properties").counts.necessary) == (6, 5)


def test_an_expression_that_another_task_computed_in_another_form_is_computed_for_all(five):
    five.run("Weekly")
    five.computing(Person_Boss=PROPERTIES["Person.Boss"][1]).run("Weekly")
    assert five.people("Boss") == {"2": "a@x"}

    run = five.computing(Person_Boss=FIVE["Person.Boss"]).run("Compute")

    assert five.people("Boss") == {"2": "Ann", "3": "Bob"}
    assert task(run, "Properties").messages == (
        "computed Person:Boss of all resources: another task computed with another rule since the task last ran",
    )


def test_other_white_space_in_a_binding_is_no_edit(five):
    five.computing(Person_Unit=PROPERTIES["Person.Unit"][1]).run()

    run = five.run()

    assert task(run, "Properties").state is TaskState.SKIPPED


def test_the_values_of_a_removed_expression_are_removed_on_record(five):
    run = five.computing(Person_Label=None).run()

    assert five.people("Label") == {}
    assert task(run, "Properties").messages == ("removed 1 value of Person:Label: nothing computes it any more",)
    ((change),) = list(five.engine.changes(run=run.number))
    assert (change.kind, change.event.ref.key, change.event.changes) == (
        "updated",
        "1",
        {"Label": Change("Ann<a@x>", None)},
    )


def test_readers_of_a_removed_expression_are_computed_in_the_same_run(five):
    five.computing(
        Person_Greeting=PROPERTIES["Person.Greeting"][0], Person_BossUnit=PROPERTIES["Person.BossUnit"][1]
    ).run()
    assert five.people("BossUnit") == {"2": "Ann<a@x>"}

    five.computing(Person_Label=None).run()

    assert five.people("Greeting") == {}
    assert five.people("BossUnit") == {}
    assert five.derived() == five.by_hand()


def test_a_restored_expression_is_computed_for_all(five):
    five.computing(Person_Label=None).run()
    five.person("2", "Bob", manager="1", Mail="b@x").run()

    five.computing(Person_Label=PROPERTIES["Person.Label"][0]).run()

    assert {("Label", key) for key in "123"} <= five.computed
    assert five.people("Label") == {"1": "Ann<a@x>", "2": "Bob<b@x>"}


def test_an_expression_restored_before_the_next_run_keeps_its_values(five):
    five.computing(Person_Label=None)
    five.person("2", "Bob", manager="1", Mail="b@x").run("HR")
    five.run("Flags")

    five.computing(Person_Label=PROPERTIES["Person.Label"][0]).run()

    assert five.people("Label") == {"1": "Ann<a@x>", "2": "Bob<b@x>"}


def test_only_an_edited_key_rule_is_computed_for_all(new_organisation):
    organisation = new_organisation(keys={"ByMail": KEYS["ByMail"], "ByTeam": KEYS["ByTeam"]})
    organisation.person("1", "Ann", Mail="A@x").account("a@x", owner="1").run()
    other = (PROPERTIES["Person.Label"][2], KEYS["ByMail"][1])

    run = organisation.edited(keys={"ByMail": other, "ByTeam": KEYS["ByTeam"]}).run()

    assert organisation.computed == {("ByMail", "1")}
    assert task(run, "Keys").messages == (
        "computed Person:ByMail of all resources: the rule changed since the task last ran",
    )
    assert organisation.correlated() == {("ByMail", "source", "1", "ANN"), ("ByMail", "target", "a@x", "a@x")}


def test_the_keys_and_classes_of_removed_rules_are_removed_on_record(new_organisation):
    organisation = new_organisation(keys={"ByMail": KEYS["ByMail"]}, classes={"Kind": CLASSES["Kind"]})
    organisation.person("1", "Ann", Mail="A@x").account("a@x", owner="1", Kind="u").run()
    assert (len(organisation.correlated()), len(organisation.classes())) == (2, 1)

    run = organisation.edited(keys={}, classes={}).run()

    assert "removed 2 keys of rules that are no longer configured" in task(run, "Keys").messages
    assert "removed 1 classification of rules that are no longer configured" in task(run, "Classes").messages
    assert list(organisation.engine._services.store.reading().__enter__().correlation_keys(None)) == []
    organisation.edited(keys={"ByMail": KEYS["ByMail"]}, classes={"Kind": CLASSES["Kind"]}).run()
    assert organisation.derived() == organisation.by_hand()


def test_a_renamed_association_is_another_one(five):
    renamed = five.edited(renamed={"Manager": "Superior"})

    renamed.run("Follow")
    assert renamed.people("Boss") == renamed.people("Team") == {}

    renamed.run()
    assert renamed.people("Boss") == {"2": "Ann", "3": "Bob"}
    assert renamed.derived() == renamed.by_hand()


# A property that is mapped one day and computed the other.

NICK = PROPERTIES["Person.Nick"][0]
"""Gives `ann!` for Ann, and nothing for somebody without a name."""


def told(organisation: Organisation, entity_type: str = "Person") -> dict[str, dict[str, object]]:
    """What the log says, change by change: this is what somebody who follows it holds."""
    held: dict[str, dict[str, object]] = {}
    for change in organisation.engine.changes(entity_type=entity_type):
        if change.kind in ("linked", "unlinked"):
            continue
        key = change.event.ref.key
        values = held.setdefault(key, {})
        for name, found in change.event.changes.items():
            assert values.get(name) == found.before, (
                f"{change.kind} {key} at {change.position}: {name} was {values.get(name)!r}, not {found.before!r}"
            )
            values[name] = found.after
        held[key] = {name: value for name, value in values.items() if value is not None}
        if change.kind == "deleted":
            del held[key]
    return held


@pytest.fixture
def nicked(new_organisation) -> Organisation:
    """Ann and somebody without a name, both with a nickname of their own."""
    organisation = new_organisation(Setting()).person("1", "Ann", Nick="annie").person("2", Nick="x")
    organisation.run()
    return organisation


@pytest.mark.slow  # runs six jobs on both sides of an edit
@pytest.mark.parametrize("first", ["Incremental", "Commands", "Follow", "Compute", "HR", "Complete"])
def test_a_property_that_becomes_computed_has_the_computed_value_in_the_log(nicked, first):
    nicked.computing(Person_Nick=NICK)

    nicked.run(first)
    if first not in ("HR", "Compute"):
        assert nicked.people("Nick") == {"1": "ann!"}
    assert told(nicked) == nicked.state()["Person"]

    nicked.run()
    assert nicked.people("Nick") == {"1": "ann!"}
    assert told(nicked) == nicked.state()["Person"]
    assert nicked.engine.verify_derived().differences == ()


@pytest.mark.slow  # runs six jobs on both sides of an edit
@pytest.mark.parametrize("first", ["Incremental", "Follow", "Compute", "HR", "Complete"])
def test_a_property_that_becomes_mapped_has_the_value_of_the_extract_in_the_log(nicked, first):
    nicked.computing(Person_Nick=NICK).run()
    nicked.computing(Person_Nick=None)

    nicked.run(first)
    assert told(nicked) == nicked.state()["Person"]

    nicked.run()
    assert nicked.people("Nick") == {"1": "annie", "2": "x"}
    assert told(nicked) == nicked.state()["Person"]


@pytest.mark.slow  # runs six jobs on both sides of an edit
@pytest.mark.parametrize("job", ["Follow", "Compute", "Commands"])
def test_readers_follow_a_property_that_becomes_computed_without_a_synchronization(nicked, job):
    reads = {"Person_Boss": PROPERTIES["Person.Boss"][2], "Person_Label": sql("x.Nick || '?'", lambda x: None)}
    nicked.person("3", "Cem", manager="2").person("4", "Dee", manager="1").computing(**reads).run()
    nicked.run("Weekly")
    assert nicked.people("Boss") == {"3": "x", "4": "annie"}
    assert nicked.people("Label") == {"1": "annie?", "2": "x?"}

    nicked.computing(Person_Nick=NICK).run(job)

    assert nicked.people("Boss") == {"4": "ann!"}
    assert nicked.people("Label") == {"1": "ann!?", "3": "cem!?", "4": "dee!?"}
    assert nicked.engine.verify_derived().differences == ()


@pytest.mark.slow  # runs several jobs
def test_readers_follow_a_property_that_becomes_computed_and_mapped_again(nicked):
    reads = PROPERTIES["Person.Boss"][2]
    nicked.person("3", "Cem", manager="2").person("4", "Dee", manager="1").computing(Person_Boss=reads).run()
    assert nicked.people("Boss") == {"3": "x", "4": "annie"}

    nicked.computing(Person_Nick=NICK).run()
    assert nicked.people("Boss") == {"4": "ann!"}
    assert nicked.derived() == nicked.by_hand()

    nicked.computing(Person_Nick=None).run()
    assert nicked.people("Boss") == {"3": "x", "4": "annie"}
    assert nicked.derived() == nicked.by_hand()


def test_a_property_changes_hands_although_the_configuration_before_is_unknown(nicked):
    forget_configurations(nicked)
    nicked.computing(Person_Nick=NICK).run("Compute")
    assert nicked.people("Nick") == {"1": "ann!"}
    assert told(nicked) == nicked.state()["Person"]

    forget_configurations(nicked)
    nicked.computing(Person_Nick=None).run("HR")
    assert nicked.people("Nick") == {"1": "annie", "2": "x"}
    assert told(nicked) == nicked.state()["Person"]
    assert nicked.engine.verify_derived().differences == ()


def forget_configurations(organisation: Organisation) -> None:
    """Leaves a store as versions left it that did not record configurations."""
    alter(organisation.url, "DELETE FROM stored_events WHERE originator_id=0", "DELETE FROM configurations")


@pytest.mark.slow  # runs several jobs
def test_a_property_that_becomes_computed_while_changes_are_discarded_is_right(nicked):
    nicked.edited(discarding=frozenset({"HR"})).run()

    nicked.computing(Person_Nick=NICK).run()
    assert nicked.people("Nick") == {"1": "ann!"}

    nicked.computing(Person_Nick=None).run()
    assert nicked.people("Nick") == {"1": "annie", "2": "x"}
