"""A model with derived values: people with managers and departments, departments at sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityType, Property, PropertyRef
from deltamark.domain.configuration.rules import EntityPropertyExpression, ResourceType
from deltamark.domain.derivation.dependency_paths import Read
from deltamark.domain.derivation.derivations import Derivation, derivations
from deltamark.domain.derivation.plan import Plan, plan
from deltamark.domain.values import PropertyType


def ref(text: str) -> PropertyRef:
    """Parses `EntityType:Property`."""
    entity_type, name = text.split(":")
    return PropertyRef(entity_type, name)


def association(identifier: str, property1: str, property2: str, *, one: bool = False, two: bool = True):
    """An association. `one`, `two`: whether its first and its second property are collections."""
    return EntityAssociation(identifier, ref(property1), ref(property2), one, two)


MODEL = Configuration(
    entity_types=[
        EntityType(
            "Person",
            [
                Property("Number", is_key=True),
                *(Property(name) for name in ("FirstName", "LastName", "Mail", "Login", "Full", "Line", "Chain")),
                Property("Age", PropertyType.INT32),
            ],
        ),
        EntityType("Department", [Property("Name", is_key=True), Property("Label"), Property("Heads")]),
        EntityType("Site", [Property("City", is_key=True), Property("Plate")]),
    ],
    associations=[
        association("Boss", "Person:Manager", "Person:Reports"),
        association("Staff", "Person:Department", "Department:Members"),
        association("Place", "Department:Site", "Site:Departments"),
        association("Friends", "Person:Friends", "Person:FriendOf", one=True),
    ],
    resource_types=[ResourceType("Head", "Person", "Department"), ResourceType("Boss", "Person", "Person")],
)


def read(text: str) -> Read:
    """Parses a read as users write it: `Manager.Department.Name`."""
    *path, name = text.split(".")
    return Read(tuple(path), name)


def computing(properties: Iterable[str], model: Configuration = MODEL, **priorities: int) -> Configuration:
    """The model with an expression for each of these properties, `EntityType:Property`."""
    expressions = [
        EntityPropertyExpression(
            f"Compute {name}", *name.split(":"), expression="…", priority=priorities.get(name.split(":")[1], 0)
        )
        for name in properties
    ]
    return evolve(model, property_expressions=expressions)


def reads_of(configuration: Configuration, reads: Mapping[str, Iterable[str]]) -> dict[Derivation, tuple[Read, ...]]:
    """What each derivation reads; keys are `EntityType:Property` for properties and names for rules."""
    by_derivation = {}
    for derivation in derivations(configuration):
        name = f"{derivation.entity_type}:{derivation.name}"
        texts = reads.get(name, reads.get(derivation.name, ()))
        by_derivation[derivation] = tuple(sorted(read(text) for text in texts))
    return by_derivation


def plan_of(reads: Mapping[str, Iterable[str]], model: Configuration = MODEL, **priorities: int) -> Plan:
    """The plan of properties with what each of them reads."""
    configuration = computing(reads, model, **priorities)
    return plan(configuration, reads_of(configuration, reads))
