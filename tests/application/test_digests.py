"""The digest of a configuration: equal for equal meaning, another for everything else."""

from __future__ import annotations

import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields, has

from deltamark.application.digests import configuration_digest
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    Agent,
    Connection,
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
from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    Job,
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskOverride,
)
from deltamark.domain.configuration.rules import ResourceCorrelationRule, ResourceType
from deltamark.domain.location import Location

END = PropertyRef("Person", "Boss")
RICH = Configuration(
    agents=[Agent("A")],
    policies=[Policy("P")],
    connectors=[Connector("HR")],
    connections=[Connection("C", "HR")],
    entity_types=[EntityType("Person", [Property("Number")])],
    associations=[EntityAssociation("Boss", END, END)],
    entity_type_mappings=[EntityTypeMapping("Person", "HR", "people", [PropertyMapping("Number", "n")])],
    association_mappings=[EntityAssociationMapping("Boss", "HR", "people", "a", "b", END, END)],
    resource_types=[ResourceType("R", "Person", "Person")],
    correlation_rules=[ResourceCorrelationRule("R")],
    tasks=[PrepareSynchronizationTask(connector="HR"), SetRecentlyModifiedFlagTask()],
    jobs=[
        Job(
            "J",
            [
                SynchronizeTask(connector="HR"),
                ComputeCorrelationKeysTask(),
                Step("S"),
                TaskOverride("SynchronizeTask", "S", {"level": 1}),
            ],
        )
    ],
)


def places(item: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every field of an object and of all that it holds."""
    found = []
    for attribute in fields(type(item)):
        here = (*path, attribute.name)
        found.append(here)
        value = getattr(item, attribute.name)
        if has(type(value)):
            found += places(value, here)
        elif isinstance(value, tuple):
            for number, part in enumerate(value):
                if has(type(part)):
                    found += places(part, (*here, number))
    return found


def changed(item: Any, path: tuple[Any, ...]) -> Any:
    """The object with another value in the field at the path."""
    name, *rest = path
    if isinstance(name, int):
        return (*item[:name], changed(item[name], tuple(rest)), *item[name + 1 :])
    value = getattr(item, name)
    return evolve(item, **{name: changed(value, tuple(rest)) if rest else another(name, value)})


def another(name: str, value: Any) -> Any:
    if name == "location":
        return Location("moved.xml", 99)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, Enum):
        return next(member for member in type(value) if member is not value)
    if isinstance(value, tuple):
        return value[1:] if value else ("one",)
    if isinstance(value, dict):
        return {**value, 1: "named"} if name == "display_names" else {**value, "other": 2}
    return f"{value}x" if isinstance(value, str) else "given" if value is None else None


EVERYWHERE = places(RICH)
PLACES = ("location", "name_locations")
"""Where something is written."""


@pytest.mark.parametrize("path", [p for p in EVERYWHERE if p[-1] not in PLACES], ids=lambda p: ".".join(map(str, p)))
def test_the_digest_changes_with_every_field(path):
    assert configuration_digest(changed(RICH, path)) != configuration_digest(RICH)


@pytest.mark.parametrize("path", [p for p in EVERYWHERE if p[-1] in PLACES], ids=lambda p: ".".join(map(str, p)))
def test_the_digest_does_not_change_with_where_something_is_written(path):
    assert configuration_digest(changed(RICH, path)) == configuration_digest(RICH)


def test_the_digest_is_the_same_in_any_process():
    script = "from tests.application.test_digests import *; print(configuration_digest(RICH))"
    root = Path(__file__).parents[2]

    other = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert other.stdout.strip() == configuration_digest(RICH)


def test_what_an_override_changes_counts_with_values_of_every_kind():
    def digest(value: object) -> str:
        call = TaskOverride("PrepareSynchronizationTask", "P", {"synchronization_mode": value})
        return configuration_digest(Configuration(jobs=[Job("J", [call])]))

    values = [*SynchronizationMode, "x", ("x",), 1, True, None]
    assert len({digest(value) for value in values}) == len(values)


def test_tasks_of_different_kinds_with_the_same_words_differ():
    flag = Configuration(tasks=[SetRecentlyModifiedFlagTask(identifier="T")])
    keys = Configuration(tasks=[ComputeCorrelationKeysTask(identifier="T")])

    assert configuration_digest(flag) != configuration_digest(keys)
