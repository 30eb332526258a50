"""The model by which what was stored is read: the configuration that was in force then.

The past keeps the properties, types and associations that it had. What no configuration describes, because the log was
begun by a version that kept none, is described by what the store holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Literal

from attrs import evolve, field, frozen

from deltamark.application import arguments
from deltamark.application.adoption.configurations import configuration_in_force, known_configurations
from deltamark.application.lookup import entity_type_named, property_named
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityType, Property
from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position
from deltamark.domain.history.intervals import value_intervals
from deltamark.domain.message_parts import Place
from deltamark.domain.suggestions import hint
from deltamark.domain.values import PropertyType, shown

ModelChoice = Literal["then", "now"]
"""By which model the past is shown: that of its time, or the present one."""


@frozen(kw_only=True)
class TypeModel:
    """An entity type at a moment: the properties that hold values, and the associations that start at it."""

    entity_type: str
    properties: tuple[Property, ...] = field(converter=as_tuple)
    associations: tuple[EntityAssociation, ...] = field(converter=as_tuple)


def present_type_model(services: Services, entity_type: str) -> TypeModel:
    """An entity type as the configuration of the engine has it.

    :raises UsageError: if it has none of that name.
    """
    return _type_model(services.configuration, entity_type_named(entity_type, services.configuration))


def _type_model(configuration: Configuration, entity_type: EntityType) -> TypeModel:
    return TypeModel(
        entity_type=entity_type.identifier,
        properties=configuration.valued_properties(entity_type),
        associations=configuration.associations_from(entity_type.identifier),
    )


def type_model_at(reading: Reading, services: Services, entity_type: str, position: Position | None) -> TypeModel:
    """An entity type as it was at a position, or as it is stored now.

    It comes from the configuration in force then. A type that this one does not know comes from the present
    configuration, or from the newest one that knew it. Where no configuration of that time was kept, the properties and
    associations that the store holds besides are added: nothing of the past is left out.
    """
    then = configuration_in_force(reading, services, position)
    models = [] if then is None else [then.configuration]
    known = _first_that_knows(entity_type, chain(models, known_configurations(reading, services)))
    model = TypeModel(entity_type=entity_type, properties=(), associations=()) if known is None else known
    if then is not None and then.configuration.entity_type(entity_type) is not None:
        return model
    return _with_what_is_stored(reading, model, position)


def known_type(reading: Reading, services: Services, name: str) -> str:
    """The name of an entity type, which a configuration knows or knew, or of which the store holds resources.

    :raises UsageError: if there never was one of that name.
    """
    arguments.text("an entity type", name)
    names = _names(services.configuration)
    if name not in names:
        for configuration in known_configurations(reading, services):
            names |= _names(configuration)
        names |= dict.fromkeys(reading.stored_entity_types())
    if name not in names:
        raise UsageError(f"there is no entity type {shown(name)}{hint(name, names)}").about(Place(entity_type=name))
    return name


def known_association(reading: Reading, services: Services, name: str) -> EntityAssociation:
    """The association of that name in the newest configuration that knows it.

    :raises UsageError: if there never was one.
    """
    arguments.text("an association", name)
    names: dict[str, None] = {}
    for configuration in known_configurations(reading, services):
        association = configuration.association(name)
        if association is not None:
            return association
        names |= dict.fromkeys(a.identifier for a in configuration.associations)
    stored = {association.identifier: association for association in reading.stored_associations()}
    if name in stored:
        return stored[name]
    raise UsageError(f"there is no association {shown(name)}{hint(name, [*names, *stored])}")


def check_property(reading: Reading, services: Services, entity_type: str, name: str) -> None:
    """Checks that an entity type has or had a property of that name that holds values.

    :raises UsageError: if it never had one; the message of a navigation property names its association.
    """
    arguments.text("a property", name)
    newest: Configuration | None = None
    for configuration in known_configurations(reading, services):
        definition = configuration.entity_type(entity_type)
        if definition is None:
            continue
        newest = newest or configuration
        if any(p.identifier == name for p in configuration.valued_properties(definition)):
            return
    is_all_known = configuration_in_force(reading, services, 0) is not None
    if not is_all_known and any(any(value_intervals(facts, name)) for facts in reading.facts_of_all(entity_type)):
        return
    if newest is None:
        error = UsageError(f"{entity_type} never had a property {shown(name)}.")
        raise error.about(Place(entity_type=entity_type, property=name))
    property_named(name, entity_type_named(entity_type, newest), newest)


def _names(configuration: Configuration) -> dict[str, None]:
    return dict.fromkeys(entity_type.identifier for entity_type in configuration.entity_types)


def _first_that_knows(entity_type: str, configurations: Iterable[Configuration]) -> TypeModel | None:
    for configuration in configurations:
        definition = configuration.entity_type(entity_type)
        if definition is not None:
            return _type_model(configuration, definition)
    return None


def _with_what_is_stored(reading: Reading, model: TypeModel, position: Position | None) -> TypeModel:
    """Adds the properties of which a resource held a value at a position, and the associations that the store knows."""
    properties = {declared.identifier for declared in model.properties}
    kinds: dict[str, set[type]] = {}
    for _, values in reading.states_at(model.entity_type, position):
        for name, value in values.items():
            if name not in properties:
                kinds.setdefault(name, set()).add(type(value))
    associations = {association.identifier for association in model.associations}
    return evolve(
        model,
        properties=[*model.properties, *(Property(name, _type_of(kinds[name])) for name in sorted(kinds))],
        associations=[
            *model.associations,
            *(
                association
                for association in reading.stored_associations()
                if association.property1.entity_type == model.entity_type and association.identifier not in associations
            ),
        ],
    )


_TYPES = {bool: PropertyType.BOOL, int: PropertyType.INT64, float: PropertyType.DOUBLE}


def _type_of(kinds: set[type]) -> PropertyType:
    """The type of a property of which only values are known: that of numbers and Booleans, otherwise a text."""
    return _TYPES.get(next(iter(kinds)), PropertyType.STRING) if len(kinds) == 1 else PropertyType.STRING
