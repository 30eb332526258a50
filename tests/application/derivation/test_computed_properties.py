"""Computed properties, keys and classes: after every incremental run they are what a complete run would give."""

from __future__ import annotations

import pytest

from deltamark import Change, TaskState
from deltamark.application.derivation import inputs
from tests.scenarios.organisation.formulas import CLASSES, KEYS, PROPERTIES
from tests.scenarios.organisation.running import Organisation, task
from tests.scenarios.organisation.setting import Setting, everything


def computing(*names: str, **other: object) -> Setting:
    """A configuration that computes these properties, each by its first expression."""
    return Setting(properties={f"Person.{name}": PROPERTIES[f"Person.{name}"][0] for name in names}, **other)


@pytest.fixture
def staffed(new_organisation) -> Organisation:
    """Two departments; Ann, who leads Bob and Cem; Bob, who leads Dee; accounts of Bob and Dee; all is computed."""
    organisation = new_organisation(everything())
    organisation.department("R", "Root").department("A", "Alpha", parent="R").department("B", "Beta", parent="R")
    organisation.person("1", "Ann", department="A", Mail="a@x", Nick="annie")
    organisation.person("2", "Bob", manager="1", department="A", Mail="b@x")
    organisation.person("3", "Cem", manager="1", department="B", Mail="c@x")
    organisation.person("4", "Dee", manager="2", department="B", Mail="d@x")
    organisation.account("b@x", owner="2", Kind="u").account("d@x", owner="4")
    organisation.run()
    assert organisation.derived() == organisation.by_hand()
    return organisation


def test_every_kind_of_expression_equals_plain_python(staffed):
    assert staffed.state()["Person"]["4"] == {
        "Number": "4",
        "Name": "Dee",
        "Mail": "d@x",
        "Label": "Dee<d@x>",
        "Size": 3,
        "Greeting": "Hi Dee<d@x>",
        "Boss": "Bob",
        "Unit": "Alpha",
        "BossUnit": "Alpha",
        "Chain": "-Root/Beta",
    }
    assert staffed.people("Team") == {"1": "Bob,Cem", "2": "Dee"}
    assert staffed.state()["Department"] == {
        "R": {"Code": "R", "Title": "Root", "Full": "Root", "Roll": "Ann<a@x>|Bob<b@x>&Cem<c@x>|Dee<d@x>"},
        "A": {"Code": "A", "Title": "Alpha", "Full": "Root/Alpha", "Crew": "Ann<a@x>|Bob<b@x>"},
        "B": {"Code": "B", "Title": "Beta", "Full": "Root/Beta", "Crew": "Cem<c@x>|Dee<d@x>"},
    }
    assert staffed.pairs() == {
        ("ByMail", "2", "b@x"),
        ("ByMail", "4", "d@x"),
        ("ByUnit", "2", "b@x"),
        ("ByUnit", "4", "d@x"),
    }
    assert staffed.classes() == {"b@x": ("User", "Led"), "d@x": ("User", "Led")}


@pytest.fixture
def one_at_a_time(monkeypatch) -> None:
    """No entity type is kept in memory: a complete computation reads one resource at a time."""
    monkeypatch.setattr(inputs, "FEW", 0)
    monkeypatch.setattr(inputs, "AT_ONCE", 1)


@pytest.mark.usefixtures("one_at_a_time")
def test_what_is_computed_in_portions_equals_plain_python(staffed):
    staffed.department("R", "Radix").person("5", "Eve", manager="2", department="B", Mail="e@x")

    staffed.run("Complete")

    assert staffed.derived() == staffed.by_hand()


@pytest.mark.usefixtures("one_at_a_time")
def test_portions_without_their_links_would_be_noticed(staffed, monkeypatch):
    monkeypatch.setattr(inputs.InputReader, "_ends_from", lambda reader, hop, near: reader._all_ends(hop).slice(0, 0))

    staffed.run("Complete")

    assert staffed.derived() != staffed.by_hand()


CHANGES = {
    "a value of the resource itself": lambda o: o.person("2", "Bert", manager="1", department="A", Mail="b@x"),
    "a value that is there no more": lambda o: o.person("2", manager="1", department="A", Mail="b@x"),
    "the name of a manager": lambda o: o.person("1", "Anna", department="A", Mail="a@x"),
    "the name of a department": lambda o: o.department("A", "Aleph", parent="R"),
    "the name of the department above": lambda o: o.department("R", "Radix"),
    "another manager": lambda o: o.person("4", "Dee", manager="3", department="B", Mail="d@x"),
    "no manager any more": lambda o: o.person("4", "Dee", department="B", Mail="d@x"),
    "a manager for somebody who had none": lambda o: o.person("1", "Ann", manager="4", department="A", Mail="a@x"),
    "oneself as manager": lambda o: o.person("4", "Dee", manager="4", department="B", Mail="d@x"),
    "another department of a manager": lambda o: o.person("1", "Ann", department="B", Mail="a@x"),
    "another department above": lambda o: o.department("B", "Beta", parent="A"),
    "no department above any more": lambda o: o.department("B", "Beta"),
    "another owner": lambda o: o.account("b@x", owner="3", Kind="u"),
    "no owner any more": lambda o: o.account("b@x", Kind="u"),
    "a new person": lambda o: o.person("5", "Eve", manager="2", department="B", Mail="e@x"),
    "a person who leads others is gone": lambda o: o.without("Person", "1"),
    "a person who leads nobody is gone": lambda o: o.without("Person", "4"),
    "a department is gone": lambda o: o.without("Department", "A"),
    "the department above is gone": lambda o: o.without("Department", "R"),
    "an account is gone": lambda o: o.without("Account", "b@x"),
    "everybody is gone": lambda o: o.without("Person", "1", "2", "3", "4"),
}


QUICK = (
    "a value of the resource itself",
    "the name of the department above",
    "another manager",
    "oneself as manager",
    "another owner",
    "a new person",
    "a person who leads others is gone",
    "everybody is gone",
)
"""One of each kind, which is also taken back; the others come in a delta."""


@pytest.mark.many
@pytest.mark.parametrize("change", [CHANGES[name] for name in QUICK], ids=QUICK)
def test_derived_values_follow_a_change_and_its_reversal(staffed, change):
    before, world = staffed.derived(), staffed.world
    staffed.world = type(world)(
        {name: dict(values) for name, values in world.resources.items()},
        {name: set(pairs) for name, pairs in world.links.items()},
    )

    change(staffed)
    staffed.run()

    assert staffed.derived() == staffed.by_hand()
    assert staffed.engine.verify_derived().differences == ()

    staffed.world = world
    staffed.run()

    assert staffed.derived() == before


OTHERS = [name for name in CHANGES if name not in QUICK]


@pytest.mark.slow  # a second each
@pytest.mark.parametrize("change", [CHANGES[name] for name in OTHERS], ids=OTHERS)
def test_derived_values_follow_a_change_in_a_delta(staffed, change):
    change(staffed)

    staffed.run("Commands")

    assert staffed.derived() == staffed.by_hand()
    assert staffed.engine.verify_derived().differences == ()


def test_a_deleted_resource_has_no_derived_values_and_the_log_has_its_last_ones(new_organisation):
    organisation = new_organisation(computing("Label", keys=KEYS)).person("1", "Ann", Mail="a@x").person("2", "Bob")
    organisation.run()

    organisation.without("Person", "1").run()

    assert organisation.state()["Person"] == {"2": {"Number": "2", "Name": "Bob"}}
    assert organisation.correlated() == set()
    deleted = organisation.engine.history("Person", "1")[-1]
    assert deleted.kind == "deleted"
    assert deleted.event.changes["Label"] == Change("Ann<a@x>", None)


def test_a_recreated_resource_is_computed_in_the_same_run(new_organisation):
    organisation = new_organisation(computing("Label")).person("1", "Ann", Mail="a@x").person("2", "Bob")
    organisation.run()
    organisation.without("Person", "1").run()

    run = organisation.person("1", "Ann", Mail="a@x").run()

    kinds = [(c.kind, set(c.event.changes)) for c in organisation.engine.changes(run=run.number)]
    assert kinds == [("created", {"Number", "Name", "Mail"}), ("updated", {"Label"})]
    assert organisation.people("Label") == {"1": "Ann<a@x>"}


def test_a_resource_recreated_between_two_runs_of_a_task_has_the_right_values(new_organisation):
    organisation = new_organisation(computing("Label", "Boss"))
    organisation.person("1", "Ann", Mail="a@x").person("2", "Bob", manager="1").run()
    organisation.without("Person", "1").run("HR")
    organisation.person("1", "Ann", Mail="a@x").run("HR")

    organisation.run()

    assert organisation.people("Label") == {"1": "Ann<a@x>"}
    assert organisation.people("Boss") == {"2": "Ann"}


def test_a_missing_manager_counts_from_the_run_that_creates_him(new_organisation):
    organisation = new_organisation(computing("Boss")).person("1", "Ann", manager="9").person("2", "Bob")
    run = organisation.run()
    assert run.state is TaskState.WARNING
    assert organisation.people("Boss") == {}

    organisation.person("9", "Nobody no more").run()

    assert organisation.people("Boss") == {"1": "Nobody no more"}
    assert organisation.computed == {("Boss", "1"), ("Boss", "9")}


def test_the_name_of_a_deleted_manager_is_removed(new_organisation):
    organisation = new_organisation(computing("Boss", "Team"))
    organisation.person("1", "Ann", manager="2").person("2", "Bob", manager="3").person("3", "Cem").run()

    organisation.without("Person", "2").run()

    assert organisation.people("Boss") == {}
    assert organisation.people("Team") == {}


def test_a_stage_reads_the_values_of_earlier_stages(new_organisation):
    organisation = new_organisation(computing("Unit", "BossUnit"))
    organisation.department("A", "Alpha")
    organisation.person("1", "Ann", department="A").person("2", "Bob", manager="1").person("3", "Cem", manager="2")
    organisation.run()
    assert organisation.people("BossUnit") == {"3": "Alpha"}

    run = organisation.department("A", "Aleph").run()

    assert organisation.people("Unit") == {"2": "Aleph"}
    assert organisation.people("BossUnit") == {"3": "Aleph"}
    assert (task(run, "Properties").counts.executed, task(run, "Properties").counts.necessary) == (2, 2)


def test_keys_and_classes_read_properties_computed_in_the_same_run(new_organisation):
    organisation = new_organisation(computing("Label", "Unit", "Boss", keys=KEYS, classes=CLASSES))
    organisation.department("A", "Alpha").person("1", "Ann", department="A").person("2", "Bob", manager="1")
    organisation.account("bob", owner="2").run()
    assert ("ByUnit", "2", "bob") in organisation.pairs()
    assert organisation.classes() == {"bob": ("User", "Led")}

    run = organisation.department("A", "Aleph").run()

    assert {key for key in organisation.correlated() if key[0] == "ByUnit"} == {
        ("ByUnit", "source", "2", "Aleph"),
        ("ByUnit", "target", "bob", "Aleph"),
    }
    assert task(run, "Keys").counts.executed == 2
    assert task(run, "Classes").counts.executed == 0


def test_the_record_of_a_task_counts_computed_and_differing_values(new_organisation):
    organisation = new_organisation(computing("Label", "Boss"))

    first = organisation.person("1", "Ann", Mail="a@x").person("2", "Bob", manager="1").run()
    second = organisation.person("1", "Anna", Mail="a@x").run()

    assert (first.counts.executed, first.counts.necessary) == (4, 2)
    assert (second.counts.executed, second.counts.necessary) == (2, 2)
    assert [(c.event.ref.key, dict(c.event.changes)) for c in organisation.engine.changes(run=second.number)] == [
        ("1", {"Name": Change("Ann", "Anna")}),
        ("1", {"Label": Change("Ann<a@x>", "Anna<a@x>")}),
        ("2", {"Boss": Change("Ann", "Anna")}),
    ]


def test_removing_values_of_a_deleted_resource_does_not_count_as_computing(new_organisation):
    organisation = new_organisation(keys={"ByMail": KEYS["ByMail"]}).person("1", "Ann", Mail="a@x").person("2", "Bob")
    organisation.run()

    run = organisation.without("Person", "1").run("Complete")

    assert organisation.correlated() == set()
    counts = task(run, "Keys").counts
    assert (counts.executed, counts.written) == (1, 1)
    assert counts.necessary <= counts.executed


def test_a_run_without_changes_computes_and_writes_nothing(staffed):
    head = staffed.engine.position()

    run = staffed.run()

    assert list(staffed.engine.changes(after=head)) == []
    assert [t.state for t in run.tasks[3:]] == [TaskState.SKIPPED] * 4
    assert (run.counts.executed, run.counts.necessary, run.counts.written) == (0, 0, 0)


def test_a_complete_run_over_current_values_writes_nothing(staffed):
    head = staffed.engine.position()

    run = staffed.run("Complete")

    assert list(staffed.engine.changes(after=head)) == []
    assert run.counts.necessary == 0
    assert run.counts.executed == 8 * 4 + 3 * 3 + 3 * (4 + 2) + 3 * 2


def test_computed_values_of_a_past_moment_can_be_read(staffed):
    before, then = staffed.state(), staffed.engine.position()

    staffed.department("A", "Aleph", parent="R").run()

    assert staffed.state(at=then) == before
    assert staffed.state() == staffed.by_hand()["state"]


def test_resources_whose_values_are_removed_do_not_count_as_computed(staffed):
    run = staffed.computing(Person_Size=None).run()

    assert staffed.people("Size") == {}
    assert task(run, "Properties").counts.computed == 0
