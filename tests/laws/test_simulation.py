"""A simulation is what a copy of the store holds that adopts the configuration and computes everything."""

from __future__ import annotations

import csv
import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
    RunMoment,
    SetRecentlyModifiedFlagTask,
    Simulation,
    Step,
    SynchronizeTask,
    TaskState,
    Thresholds,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from tests.stores import NewStore
from tests.tiers import law

C = (None, "SQL:p: p.B", "SQL:p: p.D || '!'", "SQL:p: p.Team.Rank", "SQL:p: CASE WHEN p.A IS NULL THEN 'no' END")
D = (None, "mapped", "SQL:p: 'd'", "SQL:p: p.Team.Name")
RANK = (None, "mapped", "SQL:t: t.Name || len(t.Members.No)")
SOURCES = ("SQL:p: p.B", "SQL:p: p.C", "SQL:p: 'same'")
TARGETS = ("SQL:t: t.Name", "SQL:t: t.Rank", "SQL:t: 'same'")
HOLDS = ("SQL:t: t.Name = '1'", "SQL:t: t.Rank IS NULL", "SQL:t: true")


@frozen
class Rules:
    """What is edited of a configuration.

    :param is_number: whether the property A is a number.
    :param correlation: expressions for both sides, by rule.
    :param classification: resource type, expression and confidence, by rule.
    """

    key: str
    is_number: bool
    c: str | None
    d: str | None
    rank: str | None
    correlation: Any
    classification: Any


RULES = st.builds(
    Rules,
    st.sampled_from(["No", "No", "Alt"]),
    st.booleans(),
    st.sampled_from(C),
    st.sampled_from(D),
    st.sampled_from(RANK),
    st.dictionaries(st.sampled_from(["Same", "Other"]), st.tuples(st.sampled_from(SOURCES), st.sampled_from(TARGETS))),
    st.dictionaries(
        st.sampled_from(["First", "Second"]),
        st.tuples(st.sampled_from(["Group", "Club"]), st.sampled_from(HOLDS), st.sampled_from([10, 20])),
    ),
)
VALUES = st.sampled_from(["", "1", "2", "x"])
DATA = st.tuples(
    st.lists(st.tuples(VALUES, VALUES, VALUES, st.integers(0, 3)), max_size=4),
    st.lists(st.tuples(VALUES, VALUES), max_size=3),
)
_numbers = count(1)


def configuration(rules: Rules) -> Configuration:
    computed = {("Person", "C"): rules.c, ("Person", "D"): rules.d, ("Team", "Rank"): rules.rank}
    deriving = [UpdateEntityPropertyExpressionsTask, ComputeCorrelationKeysTask, UpdateClassificationTask]
    dirty = [task(all_entity_type=True, dirty=True) for task in deriving]
    complete = [task(identifier=f"All{task.__name__}", all_entity_type=True) for task in deriving]
    read = [SynchronizeTask(connector="HR", do_not_delete_changes=True), SetRecentlyModifiedFlagTask()]
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        entity_types=[
            EntityType(
                "Person",
                [
                    Property("No", is_key=rules.key == "No"),
                    Property("Alt", is_key=rules.key == "Alt"),
                    Property("A", PropertyType.INT32 if rules.is_number else PropertyType.STRING),
                    *map(Property, "BCD"),
                ],
            ),
            EntityType("Team", [Property("No", is_key=True), Property("Name"), Property("Rank")]),
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person",
                "HR",
                "Person",
                [
                    PropertyMapping("No", "no", is_primary_key=rules.key == "No", is_unique_key=rules.key != "No"),
                    PropertyMapping("Alt", "alt", is_primary_key=rules.key == "Alt"),
                    PropertyMapping("A", "a"),
                    PropertyMapping("B", "b"),
                    *([PropertyMapping("D", "d")] if rules.d == "mapped" else []),
                ],
            ),
            EntityTypeMapping(
                "Team",
                "HR",
                "Team",
                [
                    PropertyMapping("No", "no", is_primary_key=True),
                    PropertyMapping("Name", "name"),
                    *([PropertyMapping("Rank", "rank")] if rules.rank == "mapped" else []),
                ],
            ),
        ],
        associations=[
            EntityAssociation(
                "Membership",
                PropertyRef("Person", "Team"),
                PropertyRef("Team", "Members"),
                is_property1_collection=False,
                is_property2_collection=True,
            )
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Membership", "HR", "Person", "no", "team", PropertyRef("Person", "No"), PropertyRef("Team", "No")
            )
        ],
        property_expressions=[
            EntityPropertyExpression(f"{owner}{name}", owner, name, expression=expression)
            for (owner, name), expression in computed.items()
            if expression not in (None, "mapped")
        ],
        resource_types=[ResourceType("Group", "Person", "Team"), ResourceType("Club", "Person", "Team")],
        correlation_rules=[
            ResourceCorrelationRule("Group", source_expression=source, target_expression=target, identifier=name)
            for name, (source, target) in rules.correlation.items()
        ],
        classification_rules=[
            ResourceClassificationRule(kind, expression, confidence, identifier=name)
            for name, (kind, expression, confidence) in rules.classification.items()
        ],
        tasks=[*read, *dirty, *complete],
        jobs=[
            Job("Follow", [Step(task.identifier) for task in [*read, *dirty]]),
            Job("Read", [Step(task.identifier) for task in read[:1]]),
            Job("Properties", [Step(complete[0].identifier)]),
            Job("Everything", [Step(task.identifier) for task in complete]),
        ],
    )


def write(data: Any, folder: Path) -> Path:
    people, teams = data
    folder.mkdir(exist_ok=True)
    _write(
        folder / "Person.csv",
        ["no", "alt", "a", "b", "d", "team"],
        [[f"P{n}", f"A{9 - n}", a, b, d, f"T{team}"] for n, (a, b, d, team) in enumerate(people)],
    )
    _write(folder / "Team.csv", ["no", "name", "rank"], [[f"T{n}", *values] for n, values in enumerate(teams)])
    return folder


def _write(file: Path, header: list[str], rows: list[Any]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def run(engine: Engine, job: str) -> None:
    done = engine.run_job(job, force=True)
    assert done.state in (TaskState.COMPLETED, TaskState.WARNING), [task.messages for task in done.tasks]


Derived = dict[tuple[Any, ...], Any]


def derived(engine: Engine) -> Derived:
    """The derived values of all resources that exist, each by what it is.

    Keys of deleted resources, which stay until the next task computes keys, are no derived values of a resource.
    """
    live = {
        (kind.identifier, row.key): engine.resource(kind.identifier, row.key)
        for kind in engine.configuration.entity_types
        for row in engine.export_resources(kind.identifier)
    }
    found: Derived = {
        ("property", *ref, name, None): value
        for ref, resource in live.items()
        for name, value in (resource.computed if resource else {}).items()
    }
    found = {(kind, of, name, key, other): value for (kind, of, key, name, other), value in found.items()}
    keys = engine.keys()
    for key in keys:
        found[f"{key.side}_key", key.entity_type, key.rule, key.key, None] = key.value
    for pair in engine.matches():
        if (pair.target_entity_type, pair.target_key) in live:
            found["match", pair.source_entity_type, pair.rule, pair.source_key, pair.target_key] = pair.value
    for resource in engine.classifications():
        found["classification", resource.entity_type, "", resource.key, None] = resource.resource_type
    return {name: value for name, value in found.items() if (name[1], name[3]) in live}


def simulated(simulation: Simulation) -> dict[tuple[Any, ...], tuple[Any, Any]]:
    """The differences of a simulation, without those of classification rules, which nothing else shows."""
    counts = {(d.kind.value, d.entity_type, d.name): [d.added, d.changed, d.removed] for d in simulation.differences}
    listed: dict[tuple[Any, ...], list[int]] = {}
    found = {}
    for row in simulation.table.to_pylist():
        before, after = (None if row[name] is None else json.loads(row[name]) for name in ("before", "after"))
        place = listed.setdefault((row["kind"], row["entity_type"], row["name"]), [0, 0, 0])
        place[0 if before is None else 2 if after is None else 1] += 1
        if row["kind"] != "classification_rule":
            found[row["kind"], row["entity_type"], row["name"], row["key"], row["other_key"]] = before, after
    assert counts == listed
    return found


def difference(before: Derived, after: Derived) -> dict[tuple[Any, ...], tuple[Any, Any]]:
    return {
        name: (before.get(name), after.get(name))
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    }


def adopted(url: str, other: Configuration, job: str) -> Derived:
    """What a store holds that adopts a configuration and runs a job of it."""
    with Engine.open(url, configuration=other) as engine:
        engine.adopt()
        run(engine, job)
        return derived(engine)


@pytest.mark.slow  # each example fills seven stores
@law(6)
@given(rules=RULES, other=RULES.map(configuration), data=DATA, later=DATA, is_followed=st.booleans())
def test_a_simulation_is_what_a_copy_holds_that_adopts_the_configuration_and_computes_everything(
    new_store: NewStore, tmp_path: Path, rules: Rules, other: Configuration, data: Any, later: Any, is_followed: bool
) -> None:
    folder = write(data, tmp_path / f"files-{next(_numbers)}")
    with Engine.open(new_store(), configuration=configuration(rules), export_output=folder) as engine:
        run(engine, "Follow")
        then, first, past = derived(engine), RunMoment(1), new_store()
        engine.replay(into=past)
        write(later, folder)
        run(engine, "Follow" if is_followed else "Read")
        now, head, copies = derived(engine), engine.position(), [new_store(), new_store()]
        for copy in copies:
            engine.replay(into=copy)

        of_all, of_properties = engine.simulate(other), engine.simulate(other, job="Properties")
        of_the_past = engine.simulate(other, at=first)

        assert simulated(of_all) == difference(now, adopted(copies[0], other, "Everything"))
        assert simulated(of_properties) == difference(now, adopted(copies[1], other, "Properties"))
        assert simulated(of_the_past) == difference(then, adopted(past, other, "Everything"))
        assert engine.position() == head
        assert derived(engine) == now
