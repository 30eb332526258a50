"""Consumers: each task that computes has a place of its own, and gets every change once."""

from __future__ import annotations

import pytest

from deltamark import TaskState
from tests.scenarios.organisation.formulas import CLASSES, KEYS, PROPERTIES
from tests.scenarios.organisation.running import Organisation, task
from tests.scenarios.organisation.setting import Setting
from tests.scenarios.organisation.watching import failing

SETTING = Setting(
    properties={"Person.Label": PROPERTIES["Person.Label"][0], "Person.Boss": PROPERTIES["Person.Boss"][0]},
    keys={"ByMail": KEYS["ByMail"]},
    classes={"Kind": CLASSES["Kind"]},
)


@pytest.fixture
def followed(new_organisation) -> Organisation:
    """Ann and Bob, whom she leads; two jobs that follow them, and both have."""
    organisation = new_organisation(SETTING)
    organisation.person("1", "Ann", Mail="a@x").person("2", "Bob", manager="1", Mail="b@x").account("a@x", Kind="u")
    organisation.run()
    organisation.run("Weekly")
    return organisation


def executed(run: object) -> dict[str, int]:
    return {found.identifier: found.counts.executed for found in run.tasks if found.counts.executed}


def test_two_jobs_receive_each_change_once(followed):
    incremental = followed.person("1", "Anna", Mail="a@x").run()
    weekly = followed.run("Weekly")

    assert executed(incremental) == {"Properties": 2}
    assert executed(weekly) == {"WeeklyProperties": 2}
    assert weekly.counts.necessary == 0
    assert executed(followed.run("Follow")) == executed(followed.run("Weekly")) == {}


def test_a_rare_job_receives_all_changes_since_it_last_ran(followed):
    for name in ("Anna", "Anne", "Ännchen"):
        followed.person("1", name, Mail="a@x").run()
    followed.person("2", "Bert", manager="1", Mail="b@x").run()

    weekly = followed.run("Weekly")

    assert executed(weekly) == {"WeeklyProperties": 3}  # two labels, and the name of one manager
    assert weekly.counts.necessary == 0


def test_the_first_run_of_a_job_computes_everything_on_record(followed):
    run = followed.edited(consumers=("Weekly", "Late")).run("Late")

    assert executed(run) == {"LateProperties": 4, "LateKeys": 3, "LateClasses": 1}
    assert {found.messages for found in run.tasks[1:]} == {("computed everything: the task runs for the first time",)}
    assert executed(followed.run("Late")) == {}


def test_the_place_of_a_removed_task_is_dropped_on_record(followed):
    run = followed.edited(consumers=()).run("Follow")

    told = [message for message in task(run, "SetRecentlyModifiedFlag").messages if "WeeklyKeys" in message]
    assert told == [
        "task WeeklyKeys is no longer configured: its place was dropped; if it is configured again, it computes "
        "everything"
    ]
    back = followed.edited(consumers=("Weekly",)).run("Weekly")
    assert executed(back) == {"WeeklyProperties": 4, "WeeklyKeys": 3, "WeeklyClasses": 1}


def test_a_task_for_fewer_entity_types_leaves_the_others_to_other_tasks(followed):
    followed.account("a@x", Kind="v").account("B@X").person("2", "Bob", manager="1", Mail="c@x")
    followed.run("HR")
    followed.run("Directory")

    people = followed.run("People")
    assert ("ByMail", "target", "B@X", "b@x") not in followed.correlated()
    assert executed(people) == {"PeopleProperties": 4, "PeopleKeys": 2}  # its first time

    followed.run("Follow")
    assert followed.derived() == followed.by_hand()


@pytest.mark.many
@pytest.mark.parametrize("at", range(1, 12))
def test_a_failed_task_keeps_its_place(followed, at):
    followed.person("1", "Anna", Mail="an@x").without("Person", "2").person("3", "Cem", manager="1", Mail="A@X").run(
        "HR"
    )
    followed.run("Flags")
    before = followed.derived()

    with failing(followed.engine, at) as calls:
        run = followed.attempt("Compute")
    assert len(calls) == at
    assert run.state is TaskState.FAILED
    assert "failed at call" in task(run, "Properties").messages[0] or followed.derived() != before

    again = followed.run("Compute")

    assert followed.derived() == followed.by_hand()
    assert followed.engine.verify_derived().differences == ()
    assert executed(again)


def test_a_complete_call_of_a_task_moves_its_place(followed):
    followed.person("1", "Anna", Mail="a@x").run("Complete")

    run = followed.run("Follow")

    assert executed(run) == {}
    assert executed(followed.run("Weekly")) == {"WeeklyProperties": 2}


def test_values_computed_by_one_job_are_changes_to_another(new_organisation):
    setting = Setting(
        properties={"Person.Label": PROPERTIES["Person.Label"][0]},
        keys={"ByLabel": (PROPERTIES["Person.Greeting"][1], KEYS["ByMail"][1])},
    )
    organisation = new_organisation(setting).person("1", "Ann", Mail="a@x")
    organisation.run()
    organisation.run("Weekly")

    organisation.person("1", "Anna", Mail="a@x").run()
    weekly = organisation.run("Weekly")

    assert executed(weekly) == {"WeeklyProperties": 1, "WeeklyKeys": 1}
    assert weekly.counts.written == 0


def test_flags_that_all_tasks_have_read_are_dropped(followed):
    followed.person("1", "Anna", Mail="a@x").run()
    with followed.engine._services.store.transaction() as tx:
        tx.drop_read_flags()
    weekly = followed.run("Weekly")
    assert executed(weekly) == {"WeeklyProperties": 2}

    with followed.engine._services.store.transaction() as tx:
        tx.drop_read_flags()

    assert executed(followed.run("Follow")) == executed(followed.run("Weekly")) == {}
    followed.person("2", "Bert", manager="1", Mail="b@x").run()
    assert executed(followed.run("Weekly")) == {"WeeklyProperties": 1}


def test_unflagged_discarded_changes_cost_work_but_no_value(followed):
    followed.edited(discarding=frozenset({"HR"})).person("1", "Anna", Mail="a@x").run()
    assert followed.derived() == followed.by_hand()

    followed.run("Weekly")

    assert followed.derived() == followed.by_hand()


def test_unflagged_discarded_links_count_within_a_path(new_organisation):
    accounts_of_managers = PROPERTIES["Person.Team"][2]
    organisation = new_organisation(properties={"Person.Team": accounts_of_managers}, discarding=frozenset({"HR"}))
    organisation.person("1", "Ann").person("2", "Bob").person("3", "Cem", manager="1")
    organisation.account("a", owner="1", Kind="u").account("b", owner="2", Kind="v").run()
    assert organisation.people("Team") == {"3": "u"}

    organisation.person("3", "Cem", manager="2").run()

    assert organisation.people("Team") == {"3": "v"}


def test_a_restored_task_misses_nothing_that_another_computed(new_organisation):
    setting = Setting(properties={"Person.Label": PROPERTIES["Person.Label"][1]})
    organisation = new_organisation(setting).person("1", "Ann")
    organisation.run()
    by_label = {"ByLabel": (PROPERTIES["Person.Greeting"][1], KEYS["ByMail"][1])}
    organisation.edited(keys=by_label).run("Weekly")
    assert organisation.correlated() == {("ByLabel", "source", "1", "ann")}
    organisation.person("1", "Anna").run("HR")
    organisation.run("Flags")

    # Nobody is left who has computed the rule, and the one who is about to fails.
    organisation.edited(consumers=())
    with failing(organisation.engine, 10_000) as calls:
        organisation.run("Compute", dry_run=True)
    first_of_keys = calls.index("put_keys") + 1
    with failing(organisation.engine, first_of_keys):
        failed = organisation.attempt("Compute")
    assert [found.state for found in failed.tasks[:2]] == [TaskState.COMPLETED, TaskState.FAILED]
    organisation.edited(consumers=("Weekly",)).run("Weekly")

    assert organisation.correlated() == {("ByLabel", "source", "1", "anna")}


def test_a_rule_removed_while_its_task_failed_is_computed_for_all_when_restored(new_organisation):
    by_label = {"ByLabel": (PROPERTIES["Person.Greeting"][1], KEYS["ByMail"][1])}
    setting = Setting(properties={"Person.Label": PROPERTIES["Person.Label"][1]}, keys=by_label)
    organisation = new_organisation(setting).person("1", "Ann")
    organisation.run()
    organisation.person("1", "Anna").run("HR")
    organisation.run("Flags")

    organisation.edited(keys={})
    with failing(organisation.engine, 10_000) as calls:
        organisation.run("Compute", dry_run=True)
    of_keys = max(number for number, call in enumerate(calls) if call == "remove_rules")
    with failing(organisation.engine, of_keys):
        failed = organisation.attempt("Compute")
    assert [found.state for found in failed.tasks[:2]] == [TaskState.COMPLETED, TaskState.FAILED]
    run = organisation.edited(keys=by_label).run("Compute")

    assert task(run, "Keys").messages == (
        "computed everything: not all changes of what the rule reads were flagged since the task last ran",
    )
    assert organisation.correlated() == {("ByLabel", "source", "1", "anna")}


def test_effects_of_unflagged_discarded_changes_are_pending_and_no_fault(followed):
    # Without a task that never ran: what such a one would compute is pending anyway.
    followed.edited(discarding=frozenset({"HR"}), of_people=False).person("1", "Anna", Mail="a@x").run("HR")

    found = followed.engine.verify_derived()

    assert {(one.derivation.name, one.ref.key) for one in found.differences} == {("Label", "1"), ("Boss", "2")}
    assert found.faults == ()
    followed.run("Follow")
    assert followed.engine.verify_derived().differences == ()


def test_a_change_after_a_complete_run_counts_although_one_before_it_was_flagged(followed):
    # The first change is not flagged yet when everything is computed: it is flagged together with the second one.
    followed.person("1", "Anna", Mail="a@x").run("Complete")

    followed.person("1", "Anne", Mail="a@x").run()

    assert followed.people("Label")["1"] == "Anne<a@x>"
    assert followed.people("Boss")["2"] == "Anne"
    assert followed.derived() == followed.by_hand()
