"""A simulation leaves the store and those who write to it alone, and says what it cannot know."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from attrs import evolve

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    DerivedChange,
    DerivedKind,
    Engine,
    EntityType,
    HistoryDiscarded,
    Property,
    PropertyType,
    ResourceCorrelationRule,
    ResourceType,
    RunMoment,
    TaskState,
    UsageError,
    UserTaskFailed,
)
from deltamark.application.simulation import differences
from tests.scenarios.staff import by_row, calls, expressions_task, people_model
from tests.store.released import bring_back
from tests.store.tables import tables

LABEL = {"Label": "p.Name || '!'"}
LOUD = {"Label": "upper(p.Name)"}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, for this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def labelled(expressions: dict[str, str]) -> Configuration:
    return people_model([expressions_task()], expressions)


def shown(engine: Engine, other: Configuration, **asked):
    found = engine.simulate(other, **asked).differences
    return {(d.kind, d.name): [(c.key, c.before, c.after) for c in d.samples] for d in found}


@pytest.mark.on_every_store
def test_no_table_of_the_store_is_touched(new_staff, temporary):
    staff = new_staff(labelled(LABEL)).person("1", "Ann").person("2", "Bo", manager="1")
    staff.run()
    staff.person("3", "Cy").run("Synchronize")
    before = tables(staff.url)

    staff.engine.simulate(labelled(LOUD))
    staff.engine.simulate(labelled(LOUD), RunMoment(1), "Daily")

    assert tables(staff.url) == before
    assert not list(temporary.rglob("*.db*"))


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_no_byte_of_the_file_is_touched(new_staff):
    staff = new_staff(labelled(LABEL)).person("1", "Ann")
    staff.run()
    staff.engine.close()
    file = Path(staff.url.removeprefix("sqlite:///"))
    before = file.read_bytes()

    with staff._opened(labelled(LABEL), {}) as engine:
        assert engine.simulate(labelled(LOUD)).differences

    assert file.read_bytes() == before


@pytest.mark.on_every_store
def test_others_write_while_it_computes_and_it_shows_the_state_of_its_beginning(new_staff):
    def beside(row):
        staff.person("2", "Robert").write()
        with staff._opened(labelled(LABEL), {}) as other:
            assert other.run_job("Daily").state is TaskState.COMPLETED
        return {"Score": len(row["Name"])}

    function, given = by_row(beside, reads=["Name"], writes=["Score"])
    staff = new_staff(labelled(LABEL)).person("1", "Ann")
    staff.run()
    head = staff.engine.position()

    simulation = staff.engine.simulate(people_model([expressions_task(), calls(function)], LABEL))

    assert simulation.position == head
    assert staff.engine.position() > head
    assert given == [["1"]]
    (scores,) = simulation.differences
    assert (scores.name, scores.added, scores.samples) == ("Score", 1, (DerivedChange(key="1", before=None, after=3),))


def test_values_of_functions_are_computed_and_read_by_expressions(new_staff):
    function, _ = by_row(lambda row: {"Score": len(row["Name"])}, reads=["Name"], writes=["Score"])
    expressions = {"Badge": "p.Name || p.Score"}
    staff = new_staff(labelled(LABEL)).person("1", "Ann")
    staff.run()

    found = shown(staff.engine, people_model([expressions_task(), calls(function)], expressions))

    assert found == {
        (DerivedKind.PROPERTY, "Badge"): [("1", None, "Ann3")],  # although its task is the first one
        (DerivedKind.PROPERTY, "Label"): [("1", "Ann!", None)],
        (DerivedKind.PROPERTY, "Score"): [("1", None, 3)],
    }


def test_the_functions_of_the_past_are_not_needed_for_a_simulation_over_it(new_staff):
    function, given = by_row(lambda row: {"Score": len(row["Name"])}, reads=["Name"], writes=["Score"])
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")
    staff.run()
    asked: list[tuple[int, int]] = []

    simulation = staff.engine.simulate(
        labelled(LABEL), RunMoment(1), told=lambda done, total: asked.append((done, total))
    )

    assert simulation.notes == ()
    assert [(d.name, d.added, d.removed) for d in simulation.differences] == [("Label", 1, 0), ("Score", 0, 1)]
    assert given == [["1"]]
    assert asked[0] == (1, 3)
    assert asked[-1] == (2, 3)


def test_a_function_that_fails_leaves_nothing_behind(new_staff, temporary):
    function, _ = by_row(lambda row: 1 / 0, reads=["Name"], writes=["Score"])
    staff = new_staff(labelled(LABEL)).person("1", "Ann")
    staff.run()
    before = tables(staff.url)

    with pytest.raises(UserTaskFailed, match="ZeroDivisionError"):
        staff.engine.simulate(people_model([calls(function)]))

    assert tables(staff.url) == before
    assert not list(temporary.rglob("*.db*"))


def correlated(expression: str) -> Configuration:
    """People and, as their accounts, the same people: a rule gives both sides a key."""
    rule = ResourceCorrelationRule(
        "Same", source_expression=expression, target_expression=expression, identifier="Rule"
    )
    model = people_model([ComputeCorrelationKeysTask(all_entity_type=True, dirty=True)])
    return evolve(model, resource_types=[ResourceType("Same", "Person", "Person")], correlation_rules=[rule])


def test_all_pairs_are_counted_and_those_of_the_first_sources_listed(new_staff, monkeypatch):
    staff = new_staff(correlated("SQL:p: p.Name"))
    for number in range(40):
        staff.person(f"{number:02}", f"Name {number}")
    staff.run()
    monkeypatch.setattr(differences, "MOST_PAIRS", 100)

    simulation = staff.engine.simulate(correlated("SQL:p: 'all'"), samples=2)

    matches = simulation.differences[-1]
    assert (matches.kind, matches.added, matches.changed, matches.removed) == (DerivedKind.MATCH, 40 * 39, 40, 0)
    assert [(c.key, c.other_key, c.before, c.after) for c in matches.samples] == [
        ("00", "00", "Name 0", "all"), ("00", "01", None, "all"),
    ]  # fmt: skip
    pairs = [row for row in simulation.table.to_pylist() if row["kind"] == "match"]
    assert [pair["key"] for pair in pairs] == ["00"] * 40 + ["01"] * 40 + ["02"] * 40


def test_a_rule_that_goes_takes_its_keys_and_pairs_with_it(new_staff):
    staff = new_staff(correlated("SQL:p: p.Name")).person("1", "Ann")
    staff.run()

    found = shown(staff.engine, people_model([]))

    assert found == {
        (DerivedKind.SOURCE_KEY, "Rule"): [("1", "Ann", None)],
        (DerivedKind.TARGET_KEY, "Rule"): [("1", "Ann", None)],
        (DerivedKind.MATCH, "Rule"): [("1", "Ann", None)],
    }


def test_a_past_state_is_converted_to_the_other_model_and_what_does_not_fit_is_counted(new_staff):
    staff = new_staff(labelled(LABEL)).person("1", "Ann", Room="7").person("2", "Bo", Room="attic")
    staff.run()
    staff.without("1").run()
    number = people_model(
        [expressions_task()],
        {"Label": "p.Room"},
        entity_types=[
            EntityType(
                "Person",
                [
                    Property("Number", is_key=True),
                    *(Property(name) for name in ("Name", "Mail", "Label")),
                    Property("Room", PropertyType.INT32),
                ],
            )
        ],
    )

    simulation = staff.engine.simulate(number, RunMoment(1))

    assert (simulation.adoption.weight, simulation.adoption.summary) == (
        2, "1 value converted, 1 value that cannot be converted removed",
    )  # fmt: skip
    (label,) = simulation.differences
    assert [(c.key, c.before, c.after) for c in label.samples] == [("1", "Ann!", "7"), ("2", "Bo!", None)]


def test_a_moment_of_which_changes_were_discarded_is_refused(new_staff):
    staff = new_staff(labelled(LABEL)).person("1", "Ann")
    staff.run()
    staff.person("1", "Anne").run()
    staff.engine.retain("HR", keep=0)

    with pytest.raises(HistoryDiscarded):
        staff.engine.simulate(labelled(LOUD), RunMoment(1))
    assert shown(staff.engine, labelled(LOUD)) == {(DerivedKind.PROPERTY, "Label"): [("1", "Anne!", "ANNE")]}


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_a_moment_before_the_first_known_configuration_says_what_is_not_known(new_store, tmp_path):
    url = new_store()
    bring_back(7, url)
    model = EntityType("Person", [Property("No", is_key=True)])

    with Engine.open(url, configuration=Configuration(), export_output=tmp_path) as engine:
        simulation = engine.simulate(Configuration(entity_types=[model]), engine.position())

    assert not simulation.adoption.is_known
    assert simulation.notes == (
        "The configuration of that moment cannot be computed with (it is not known): all keys and classifications "
        "count as added.",
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"job": "Nightly"}, 'there is no job "Nightly"'),
        ({"job": 7}, "a job is given as a text"),
        ({"at": "yesterday"}, "at is a moment"),
        ({"samples": -1}, "samples, their number, is a whole number from 0"),
    ],
)
def test_what_does_not_exist_is_refused(new_staff, asked, words):
    staff = new_staff(labelled(LABEL)).person("1", "Ann")
    staff.run()

    with pytest.raises(UsageError, match=words):
        staff.engine.simulate(labelled(LOUD), **asked)
