"""Differences between configurations: every attribute, the words, the order."""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from attrs import NOTHING, evolve, fields, has

from deltamark.domain.adoption.differences import DifferenceKind, differences
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    Agent,
    Connection,
    ConnectionTable,
    ConnectionTransformation,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Policy,
    Property,
    PropertyMapping,
    PropertyRef,
)
from deltamark.domain.configuration.jobs import TASK_TYPES, Job, Step, TaskOverride
from deltamark.domain.configuration.rules import (
    EntityPropertyExpression,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
)
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType

FUNCTION = UserTask(
    function=lambda batch: batch, name="m:f", entity_types=("Person",), reads=("Id",), writes=("Risk",), source="a1"
)


def a_task(kind, function=FUNCTION):
    required = {"connector": "HR", "function": function}
    if any(attribute.name == "connection" and attribute.default is NOTHING for attribute in fields(kind)):
        required["connection"] = "C"
    names = {attribute.name for attribute in fields(kind)}
    given = {name: value for name, value in required.items() if name in names}
    return kind(identifier=kind.kind, display_names={1: "T"}, **given)


WHOLE = Configuration(
    agents=[Agent("A", display_names={1: "Agent"})],
    policies=[Policy("Po")],
    connectors=[Connector("HR", agent="A"), Connector("AD")],
    connections=[Connection("C", "HR", "Sql", [ConnectionTable("HR_Person", {"Query": "SELECT 1"})])],
    transformations=[ConnectionTransformation("HR_Person", "HR", "Raw", "select * from Raw")],
    entity_types=[
        EntityType("Person", [Property("Id", is_key=True), Property("Phone"), Property("Risk"), Property("Teams")]),
        EntityType("Team", [Property("Id", is_key=True), Property("Members")]),
    ],
    associations=[
        EntityAssociation("Membership", PropertyRef("Person", "Teams"), PropertyRef("Team", "Members"), True, True)
    ],
    entity_type_mappings=[
        EntityTypeMapping(
            "Person", "HR", "HR_Person", [PropertyMapping("Id", "id", True), PropertyMapping("Phone", "tel")]
        ),
        EntityTypeMapping("Team", "HR", "HR_Team", [PropertyMapping("Id", "id", True)]),
    ],
    association_mappings=[
        EntityAssociationMapping(
            "Membership", "HR", "HR_Member", "p", "t", PropertyRef("Person", "Id"), PropertyRef("Team", "Id")
        )
    ],
    resource_types=[ResourceType("R", "Person", "Team")],
    property_expressions=[EntityPropertyExpression("E", "Person", "Risk", expression="SQL:p: p.Id")],
    correlation_rules=[ResourceCorrelationRule("R"), ResourceCorrelationRule("R", identifier="Named")],
    classification_rules=[ResourceClassificationRule("R"), ResourceClassificationRule("R", identifier="Named")],
    tasks=[a_task(kind) for kind in TASK_TYPES],
    jobs=[
        Job(
            "Nightly",
            [
                Step("SynchronizeTask"),
                TaskOverride("SynchronizeTask", "SynchronizeTask", {"orphans": True}),
                *[evolve(a_task(kind, "m:f"), identifier=f"In{kind.kind}") for kind in TASK_TYPES],
            ],
        )
    ],
)

MEANINGLESS = {"location", "name_locations", "kind"}
"""What no difference is of: places in files."""
NOT_A_PART = {"function", "name"}
"""Of a user's function: the object itself, and what another function has."""


def variants(item: Any, path=()):
    """Yields (path, changed item) for each attribute of an item and of all in it, one change each."""
    hints = get_type_hints(type(item))
    for attribute in fields(type(item)):
        value = getattr(item, attribute.name)
        where = (*path, attribute.name)
        if attribute.name in (MEANINGLESS | NOT_A_PART if isinstance(item, UserTask) else MEANINGLESS):
            continue
        if isinstance(value, UserTask):
            for inner, other in variants(value, where):
                yield inner, evolve(item, **{attribute.name: other})
        elif isinstance(value, tuple) and value and has(type(value[0])):
            for number, part in enumerate(value):
                for inner, other in variants(part, (*where, number)):
                    yield inner, evolve(item, **{attribute.name: (*value[:number], other, *value[number + 1 :])})
                yield (
                    (*where, number, "dropped"),
                    evolve(item, **{attribute.name: value[:number] + value[number + 1 :]}),
                )
        elif has(type(value)):
            for inner, other in variants(value, where):
                yield inner, evolve(item, **{attribute.name: other})
        else:
            yield where, evolve(item, **{attribute.name: another(value, hints[attribute.name])})


def another(value: Any, declared: Any) -> Any:
    """Another value of the same declared type."""
    kinds = [kind for kind in get_args(declared) if kind is not type(None)] if is_union(declared) else [declared]
    if isinstance(value, bool) or (value is None and kinds[0] is bool):
        return not value
    if isinstance(value, Enum):
        return next(member for member in type(value) if member is not value)
    if isinstance(value, int):
        return value + 1
    if isinstance(value, Mapping):
        return {**value, (1 if get_args(declared)[0] is int else "level"): "Another"}
    if isinstance(value, tuple) or get_origin(kinds[0]) is tuple:
        return (*(value or ()), "Another")
    return f"{value or ''}x"


def is_union(declared: Any) -> bool:
    return isinstance(declared, UnionType) or str(get_origin(declared)) == "typing.Union"


VARIANTS = list(variants(WHOLE))


def test_every_attribute_of_every_class_is_a_difference():
    for path, changed in VARIANTS:
        for found in (differences(WHOLE, changed), differences(changed, WHOLE)):
            assert found, path
            assert all(item.kind is DifferenceKind.DESCRIBED for item in found) == ("display_names" in path), path
            assert len({item.text for item in found}) == len(found), [item.text for item in found]
            assert all("\n" not in item.text for item in found)


def test_the_variants_reach_every_class_of_a_configuration():
    reached = {type(part).__name__ for part in parts(WHOLE)}
    expected = {kind.__name__ for kind in classes_of(Configuration)}
    assert expected <= reached


def parts(item):
    yield item
    for attribute in fields(type(item)):
        value = getattr(item, attribute.name)
        for part in value if isinstance(value, tuple) else (value,):
            if has(type(part)):
                yield from parts(part)


def classes_of(kind):
    """The classes of what a configuration holds, as declared."""
    found = {*TASK_TYPES, Step, TaskOverride, Job, UserTask}
    waiting = [kind, *found]
    while waiting:
        for hint in get_type_hints(waiting.pop()).values():
            for inner in (hint, *get_args(hint)):
                if isinstance(inner, type) and has(inner) and inner not in found and not issubclass(inner, Location):
                    found.add(inner)
                    waiting.append(inner)
    return {item for item in found if item.__name__ != "Task"}


def test_equal_configurations_do_not_differ():
    moved = evolve(WHOLE, connectors=[evolve(item, location=Location("other.xml", 3)) for item in WHOLE.connectors])
    assert differences(WHOLE, WHOLE) == differences(WHOLE, moved) == ()


def test_the_order_in_files_means_nothing_for_the_model():
    draw = random.Random(3)
    names = ["agents", "policies", "connectors", "entity_types", "associations", "entity_type_mappings", "tasks"]
    other = evolve(WHOLE, **{name: draw.sample(getattr(WHOLE, name), len(getattr(WHOLE, name))) for name in names})
    assert differences(WHOLE, other) == ()
    for _, changed in VARIANTS[::7]:
        reordered = evolve(changed, **{name: tuple(reversed(getattr(changed, name))) for name in names})
        assert differences(WHOLE, changed) == differences(WHOLE, reordered) == differences(other, changed)


def test_the_order_of_tasks_and_of_equal_rules_is_a_difference():
    (job,) = WHOLE.jobs
    turned = evolve(WHOLE, jobs=[evolve(job, tasks=reversed(job.tasks))])
    assert [item.aspect for item in differences(WHOLE, turned)] == ["order"]
    rules = [ResourceClassificationRule("R", identifier="One"), ResourceClassificationRule("R", identifier="Two")]
    before, after = evolve(WHOLE, classification_rules=rules), evolve(WHOLE, classification_rules=rules[::-1])
    assert texts(before, after) == ["Classification rule One: order One, Two → Two, One"]


def test_everything_is_added_where_nothing_was_known():
    found = differences(None, WHOLE)
    assert {item.kind for item in found} == {DifferenceKind.ADDED}
    assert "Entity type Person: added (4 properties)" in [item.text for item in found]


def texts(before, after):
    return [item.text for item in differences(before, after)]


PERSON, TEAM = WHOLE.entity_types
INT64 = PropertyType.INT64
OF_PHONE = EntityPropertyExpression("F", "Person", "Phone", "Id")
MAPPED = WHOLE.entity_type_mappings[0]


def with_person(properties, columns=MAPPED.properties, **others):
    person = EntityType("Person", properties)
    mapping = evolve(MAPPED, properties=columns)
    mappings = [mapping, WHOLE.entity_type_mappings[1]]
    return evolve(WHOLE, entity_types=[person, TEAM], entity_type_mappings=mappings, **others)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (
            with_person([evolve(p, type=INT64) if p.identifier == "Phone" else p for p in PERSON.properties]),
            ["Property Phone of Person: String → Int64"],
        ),
        (
            with_person(
                [Property("Tel") if p.identifier == "Phone" else p for p in PERSON.properties],
                [MAPPED.properties[0], PropertyMapping("Tel", "tel")],
            ),
            [
                "Property Phone of Person: dropped (String)",
                "Property Tel of Person: added (String; the column of the dropped Phone; a rename drops and adds)",
            ],
        ),
        (
            with_person(
                PERSON.properties,
                MAPPED.properties[:1],
                property_expressions=[*WHOLE.property_expressions, OF_PHONE],
            ),
            ["Property Phone of Person: mapped → computed by F", "Property expression F: added (Person:Phone)"],
        ),
        (
            evolve(WHOLE, associations=[evolve(WHOLE.associations[0], is_property1_collection=False)]),
            ["Association Membership: Person:Teams several → one"],
        ),
        (
            evolve(WHOLE, associations=(), association_mappings=()),
            [
                "Property Teams of Person: navigation of Membership → not filled",
                "Property Members of Team: navigation of Membership → not filled",
                "Association Membership: dropped (Person:Teams – Team:Members)",
                "Mapping of Membership: dropped (connector HR, table HR_Member)",
            ],
        ),
        (
            evolve(WHOLE, entity_type_mappings=[evolve(MAPPED, connector="AD"), WHOLE.entity_type_mappings[1]]),
            ["Mapping of Person: Connector HR → AD"],
        ),
        (
            with_person(
                PERSON.properties,
                [evolve(p, is_primary_key=not p.is_primary_key, format="SID") for p in MAPPED.properties],
            ),
            [
                "Entity type Person: key Id → Phone",
                "Property Id of Person: Format none → SID",
                "Property Phone of Person: Format none → SID",
            ],
        ),
        (
            evolve(WHOLE, property_expressions=[evolve(WHOLE.property_expressions[0], expression="SQL:p: p.Phone")]),
            ['Property expression E: Expression "SQL:p: p.Id" → "SQL:p: p.Phone"'],
        ),
    ],
)  # fmt: skip
def test_the_words(after, expected):
    assert texts(WHOLE, after) == expected
