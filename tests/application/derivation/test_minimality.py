"""Work is in proportion to what changed: counted in values and statements, never in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from deltamark import TaskState
from tests.scenarios.organisation.formulas import KEYS, PROPERTIES, sql
from tests.scenarios.organisation.running import Organisation, task
from tests.scenarios.organisation.setting import Setting

PEOPLE, EACH = 9_000, 5
"""People and departments together are 10,800: five people in each department."""

READING = {
    "Person.Label": PROPERTIES["Person.Label"][1],
    "Person.Unit": sql("x.Department.Title", lambda x: x.one("Department.Title")),
    "Person.Team": PROPERTIES["Person.Team"][0],
    "Person.BossUnit": PROPERTIES["Person.BossUnit"][0],
    "Person.Chain": sql("x.Manager.BossUnit", lambda x: x.one("Manager.BossUnit")),
}


@pytest.fixture(scope="module")
def large(lasting_store_url, tmp_path_factory) -> Iterator[Organisation]:
    """Ten thousand people and departments: department `D7` holds `P35` to `P39`; `P35` leads the other four, and those
    who lead are led by the one who leads in `D0`. Everything is computed. Each test changes other people.
    """
    seconds, folder = count(), tmp_path_factory.mktemp("large")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    organisation = Organisation(
        lasting_store_url, folder, lambda: start + timedelta(seconds=next(seconds)), Setting(properties=READING)
    )
    for number in range(PEOPLE // EACH):
        organisation.department(f"D{number}", f"Title {number}")
    for number in range(PEOPLE):
        first = number - number % EACH
        manager = None if number == 0 else f"P{first}" if number != first else "P0"
        organisation.person(f"P{number}", f"Name {number}", manager=manager, department=f"D{number // EACH}")
    organisation.run()
    yield organisation
    organisation.engine.close()


def work(run: object) -> tuple[int, int]:
    """How many values the task for properties computed, and how many of these differed."""
    counts = task(run, "Properties").counts
    return counts.executed, counts.necessary


@pytest.mark.slow  # needs many resources
def test_renaming_a_department_computes_only_its_people_and_their_readers(large):
    run = large.department("D7", "New").run()

    # The unit of five; the unit of their boss for the four whom one of them leads; and nobody is led by these.
    assert task(run, "SetRecentlyModifiedFlag").counts.flagged == 5
    assert work(run) == (5 + 4, 5 + 4)
    assert large.computed == {
        *(("Unit", f"P{number}") for number in range(35, 40)),
        *(("BossUnit", f"P{number}") for number in range(36, 40)),
    }
    assert large.people("BossUnit")["P36"] == "New"


def test_renaming_the_department_of_a_manager_computes_the_manager_and_reports(large):
    run = large.department("D0", "New").run()

    led = 4 + PEOPLE // EACH - 1
    everybody_below = 4 * (PEOPLE // EACH - 1)
    assert work(run) == (5 + led + everybody_below, 5 + led + everybody_below)


def test_a_change_that_nothing_reads_flags_and_computes_nothing(large):
    run = large.person("P101", "Name 101", manager="P100", department="D20", Nick="new").run()

    assert run.counts.updated == 1
    assert task(run, "SetRecentlyModifiedFlag").counts.flagged == 0
    assert work(run) == (0, 0)


def test_a_new_name_computes_only_its_readers(large):
    run = large.person("P201", "Other", manager="P200", department="D40").run()

    assert large.computed == {("Label", "P201"), ("Team", "P200")}
    assert work(run) == (2, 2)


def test_another_manager_computes_only_the_resources_concerned(large):
    run = large.person("P301", "Name 301", manager="P305", department="D60").run()

    # What P301 reads over the manager, and the teams of both of them.
    assert large.computed == {("BossUnit", "P301"), ("Chain", "P301"), ("Team", "P300"), ("Team", "P305")}
    assert work(run) == (4, 3)


def test_an_unchanged_computed_value_flags_nothing_further(new_organisation):
    first_letter = sql("left(x.Department.Title, 1)", lambda x: (x.one("Department.Title") or "")[:1] or None)
    organisation = new_organisation(Setting(properties={**READING, "Person.Unit": first_letter}))
    organisation.department("D", "Delta")
    organisation.person("1", "Ann", department="D").person("2", "Bob", manager="1").person("3", "Cem", manager="2")
    organisation.run()
    head = organisation.engine.position()

    run = organisation.department("D", "Data").run()

    assert organisation.computed == {("Unit", "1")}
    assert work(run) == (1, 0)
    assert [change.kind for change in organisation.engine.changes(after=head)] == ["updated"]
    assert task(run, "Properties").state is TaskState.COMPLETED
    assert task(run, "Keys").state is TaskState.COMPLETED or task(run, "Keys").counts.executed == 0
    assert organisation.engine.dirty(task="Properties") == []


def test_a_new_person_computes_each_expression_once_and_the_groups_joined(large):
    run = large.person("New", "New", manager="P400", department="D80").run()

    assert large.computed == {*((name.split(".")[1], "New") for name in READING), ("Team", "P400")}
    assert work(run)[0] == len(READING) + 1


def test_keys_are_computed_where_their_side_reads_the_change(new_organisation):
    organisation = new_organisation(keys={"ByMail": KEYS["ByMail"]})
    for number in range(20):
        organisation.person(str(number), "N", Mail=f"m{number}").account(f"m{number}", owner=str(number))
    organisation.run()

    organisation.person("7", "Other", Mail="m7")
    assert task(organisation.run(), "Keys").counts.executed == 0

    organisation.person("7", "Other", Mail="m8")
    assert task(organisation.run(), "Keys").counts.executed == 1
    assert organisation.pairs() == organisation.by_hand()["pairs"]
