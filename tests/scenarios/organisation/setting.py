"""What the configuration of the organisation says, and what of it may differ from one day to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskOverride,
    Thresholds,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from tests.scenarios.organisation.formulas import (
    ASSOCIATIONS,
    CLASSES,
    KEY_OF,
    KEYS,
    MAPPED,
    PROPERTIES,
    TYPE_OF,
    TYPES,
    Ends,
    Formula,
)

CONNECTORS = tuple(dict.fromkeys(TYPES.values()))
SYNCHRONIZING = tuple(f"Synchronize{connector}" for connector in CONNECTORS)
FLAG = "SetRecentlyModifiedFlag"
KINDS = {
    "Properties": UpdateEntityPropertyExpressionsTask,
    "Keys": ComputeCorrelationKeysTask,
    "Classes": UpdateClassificationTask,
}
COMMAND = "Command"


@frozen
class Setting:
    """What of the configuration may differ from one day to the next.

    :param properties: computed property -> its expression.
    :param keys: the correlation rules.
    :param classes: the classification rules.
    :param discarding: the connectors whose changes are discarded.
    :param renamed: association -> the identifier that it has now.
    :param consumers: prefixes of the tasks that compute, each with a job of that name.
    :param of_people: whether there is a job of tasks for people only.
    """

    properties: Mapping[str, Formula] = field(factory=dict)
    keys: Mapping[str, tuple[Formula, Formula]] = field(factory=dict)
    classes: Mapping[str, tuple[str, int, Formula]] = field(factory=dict)
    discarding: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(factory=dict)
    consumers: tuple[str, ...] = ("Weekly",)
    of_people: bool = True

    def mapped(self, entity_type: str) -> tuple[str, ...]:
        """The properties that an extract feeds, without the key."""
        return tuple(name for name in MAPPED[entity_type] if f"{entity_type}.{name}" not in self.properties)

    def association(self, name: str) -> str:
        """What the association is called now."""
        return self.renamed.get(name, name)

    @property
    def configuration(self) -> Configuration:
        """As the engine reads it."""
        return Configuration(
            connectors=[Connector(name, thresholds=Thresholds()) for name in CONNECTORS],
            entity_types=[_entity_type(name) for name in TYPES],
            associations=[_association(self.association(name), ends) for name, ends in ASSOCIATIONS.items()],
            entity_type_mappings=[
                EntityTypeMapping(
                    name,
                    connector,
                    name,
                    [
                        PropertyMapping(KEY_OF[name], KEY_OF[name], is_primary_key=True),
                        *(PropertyMapping(mapped, mapped) for mapped in self.mapped(name)),
                    ],
                )
                for name, connector in TYPES.items()
            ],
            association_mappings=[
                EntityAssociationMapping(
                    self.association(name),
                    ends.connector,
                    name,
                    "source",
                    "target",
                    PropertyRef(ends.source, KEY_OF[ends.source]),
                    PropertyRef(ends.target, KEY_OF[ends.target]),
                )
                for name, ends in ASSOCIATIONS.items()
            ],
            property_expressions=[
                EntityPropertyExpression(name, *name.split("."), binding=said.binding, expression=said.expression)
                for name, said in self.properties.items()
            ],
            resource_types=[ResourceType(name, "Person", "Account") for name in ("Admin", "User")],
            correlation_rules=[
                ResourceCorrelationRule(
                    "Admin",
                    source_binding=source.binding,
                    source_expression=source.expression,
                    target_binding=target.binding,
                    target_expression=target.expression,
                    identifier=name,
                )
                for name, (source, target) in self.keys.items()
            ],
            classification_rules=[
                ResourceClassificationRule(owner, said.expression, confidence, identifier=name)
                for name, (owner, confidence, said) in self.classes.items()
            ],
            tasks=[*self._synchronizing(), SetRecentlyModifiedFlagTask(parents=SYNCHRONIZING), *self._computing()],
            jobs=[*self._jobs()],
        )

    def _synchronizing(self) -> Iterable[Any]:
        for connector in CONNECTORS:
            yield SynchronizeTask(connector=connector, do_not_delete_changes=connector not in self.discarding)
            yield PrepareSynchronizationTask(
                connector=connector, synchronization_mode=SynchronizationMode.INCREMENTAL, column_name=COMMAND
            )

    def _computing(self) -> Iterable[Any]:
        parent = FLAG
        for name, kind in KINDS.items():
            yield kind(identifier=name, dirty=True, entity_types=[*TYPES], parents=dict.fromkeys((FLAG, parent)))
            parent = "Properties"
        for consumer in self.consumers:
            for name, kind in KINDS.items():
                yield kind(identifier=f"{consumer}{name}", dirty=True, all_entity_type=True)
        for name in ("Properties", "Keys") if self.of_people else ():
            yield KINDS[name](identifier=f"People{name}", dirty=True, entity_types=["Person"])

    def _jobs(self) -> Iterable[Job]:
        synchronized = [Step(name) for name in SYNCHRONIZING]
        prepared = [Step(f"PrepareSynchronization{connector}") for connector in CONNECTORS]
        computed = [Step(name) for name in KINDS]
        yield Job("Incremental", [*synchronized, Step(FLAG), *computed])
        yield Job("Commands", [*prepared, *synchronized, Step(FLAG), *computed])
        yield Job("Levels", [*_in_level(0, SYNCHRONIZING), *_in_level(1, [FLAG]), *_one_by_one(2, KINDS)])
        yield Job("Follow", [Step(FLAG), *computed])
        yield Job("Flags", [Step(FLAG)])
        yield Job("Compute", computed)
        whole = {"dirty": False, "parents": []}
        yield Job("Complete", [*synchronized, *(TaskOverride(k.kind, name, whole) for name, k in KINDS.items())])
        for connector in CONNECTORS:
            yield Job(connector, [Step(f"Synchronize{connector}")])
            prepare, synchronize = Step(f"PrepareSynchronization{connector}"), Step(f"Synchronize{connector}")
            yield Job(f"{connector}Commands", [prepare, synchronize])
        for consumer in self.consumers:
            yield Job(consumer, [Step(FLAG), *(Step(f"{consumer}{name}") for name in KINDS)])
        if self.of_people:
            yield Job("People", [Step(FLAG), Step("PeopleProperties"), Step("PeopleKeys")])


def _in_level(level: int, names: Iterable[str]) -> Iterator[Step]:
    return (Step(name, level) for name in names)


def _one_by_one(first: int, names: Iterable[str]) -> Iterator[Step]:
    return (Step(name, level) for level, name in enumerate(names, first))


def _entity_type(name: str) -> EntityType:
    computed = [full.split(".")[1] for full in PROPERTIES if full.startswith(f"{name}.")]
    return EntityType(
        name,
        [
            Property(KEY_OF[name], is_key=True),
            *(
                Property(other, TYPE_OF.get(f"{name}.{other}", PropertyType.STRING))
                for other in dict.fromkeys([*MAPPED[name], *computed])
            ),
        ],
    )


def _association(identifier: str, ends: Ends) -> EntityAssociation:
    return EntityAssociation(
        identifier,
        PropertyRef(ends.source, ends.there),
        PropertyRef(ends.target, ends.back),
        is_property1_collection=ends.is_many,
        is_property2_collection=True,
    )


def everything() -> Setting:
    """A configuration of all that the formulas know, each property with its first expression; Nick is mapped."""
    return Setting(
        properties={name: formulas[0] for name, formulas in PROPERTIES.items() if name != "Person.Nick"},
        keys=dict(KEYS),
        classes=dict(CLASSES),
    )
