"""A small company that changes at random, for tests that compare two ways to the same result."""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    ResourceCorrelationRule,
    ResourceType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    Thresholds,
)

PERSON = ("Number", "Mail", "Level", "Active", "Department", "Note")
ACCOUNT = ("Login", "Name")
KEYS = (
    *("a", "B", "ä", "É", "Z", "z", "10", "9", "1e3", "true", "😀", "ﬀ", "'", '"', "\\", "%s", "?1", "$1", "{}"),
    *("two words", "a,b", "line\nbreak", "tab\there", "x" * 4_096, "x" * 4_095 + "y", "é" * 2_000, "NULL", "\\N"),
)
TEXTS = (
    "",
    "a@b.example",
    "A@B.example",
    "x" * 3_000,
    "ünïcödé",
    'say "hi"',
    "back\\slash",
    "line\nbreak",
    "null",
    "0",
)


def configuration(*, keep: bool = True) -> Configuration:
    """People in departments with accounts in groups; keys on both sides; a complete and an incremental job.

    :param keep: whether the changes of people stay in the log.
    """
    hr = SynchronizeTask(connector="HR", do_not_delete_changes=keep)
    directory = SynchronizeTask(connector="Directory", do_not_delete_changes=True)
    flag = SetRecentlyModifiedFlagTask()
    keys = ComputeCorrelationKeysTask(dirty=True, entity_types=["Person", "Account"])
    prepare = PrepareSynchronizationTask(
        connector="HR", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="Command"
    )
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds()), Connector("Directory", thresholds=Thresholds())],
        entity_types=[
            EntityType("Person", [_property(name) for name in PERSON]),
            EntityType("Department", [Property("Name", is_key=True)]),
            EntityType("Account", [Property(name, is_key=name == "Login") for name in ACCOUNT]),
        ],
        associations=[
            EntityAssociation(
                "Works",
                PropertyRef("Person", "WorksIn"),
                PropertyRef("Department", "Workers"),
                is_property2_collection=True,
            ),
            EntityAssociation(
                "Knows",
                PropertyRef("Person", "Knows"),
                PropertyRef("Person", "KnownBy"),
                is_property1_collection=True,
                is_property2_collection=True,
            ),
        ],
        entity_type_mappings=[
            _mapping("Person", "HR", PERSON),
            _mapping("Department", "HR", ("Name",)),
            _mapping("Account", "Directory", ACCOUNT),
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Works",
                "HR",
                "Works",
                "Number",
                "Name",
                PropertyRef("Person", "Number"),
                PropertyRef("Department", "Name"),
            ),
            EntityAssociationMapping(
                "Knows",
                "HR",
                "Knows",
                "One",
                "Other",
                PropertyRef("Person", "Number"),
                PropertyRef("Person", "Mail"),
            ),
        ],
        resource_types=[ResourceType("Accounts", "Person", "Account")],
        correlation_rules=[
            ResourceCorrelationRule(
                "Accounts",
                source_binding="Mail",
                source_expression="ToLower",
                target_binding="Name",
                target_expression="ToLower",
            ),
            ResourceCorrelationRule("Accounts", source_binding="Number", target_binding="Login"),
        ],
        tasks=[hr, directory, flag, keys, prepare],
        jobs=[
            Job("Complete", [Step(task.identifier) for task in (hr, directory, flag, keys)]),
            Job("Incremental", [Step(task.identifier) for task in (prepare, hr, flag, keys)], is_incremental=True),
        ],
    )


def _property(name: str) -> Property:
    kinds = {"Level": PropertyType.DOUBLE, "Active": PropertyType.BOOL}
    return Property(name, kinds.get(name, PropertyType.STRING), is_key=name == "Number")


def _mapping(name: str, connector: str, columns: tuple[str, ...]) -> EntityTypeMapping:
    mapped = [
        PropertyMapping(column, column, is_primary_key=column == columns[0], is_unique_key=column == "Mail")
        for column in columns
    ]
    return EntityTypeMapping(name, connector, name, mapped)


class Company:
    """Writes the extracts of a new day with every call; the same seed gives the same days."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = Random(seed)
        folder.mkdir()

    def complete_day(self) -> None:
        """Writes complete extracts."""
        chosen = self._some(KEYS, at_least=2)
        self._write("Person", PERSON, [self._person(key) for key in chosen])
        departments = self._some(("Sales", "IT", "Ärzte", "a b"), at_least=1)
        self._write("Department", ("Name",), [(name,) for name in departments])
        self._write("Account", ACCOUNT, [(key, self._one(TEXTS)) for key in self._some(KEYS, at_least=1)])
        works = [(key, self._one(departments)) for key in chosen if self._random.random() < 0.7]
        self._write("Works", ("Number", "Name"), works or [(chosen[0], departments[0])])
        knows = [(self._one(chosen), self._one(TEXTS[1:])) for _ in range(8)]
        self._write("Knows", ("One", "Other"), knows)

    def incremental_day(self) -> None:
        """Writes the changes of a day, with a command in every row."""
        commands = ("insert", "update", "merge", "delete")
        people = [(*self._person(key), self._one(commands)) for key in self._some(KEYS, at_least=1)]
        self._write("Person", (*PERSON, "Command"), people)
        self._write("Department", ("Name", "Command"), [(self._one(("Sales", "New")), "merge")])
        self._write(
            "Works", ("Number", "Name", "Command"), [(self._one(KEYS), "Sales", self._one(("insert", "delete")))]
        )
        pair = (self._one(KEYS), self._one(TEXTS[1:]), self._one(("insert", "delete")))
        self._write("Knows", ("One", "Other", "Command"), [pair])

    def _person(self, key: str) -> tuple[str, ...]:
        level, active = self._one(("", "1", "2.50", "-0.001", "1e21")), self._one(("", "true", "false"))
        return (key, self._one(TEXTS), level, active, self._one(TEXTS), self._one(TEXTS))

    def _one(self, of: tuple[str, ...]) -> str:
        return self._random.choice(of)

    def _some(self, of: tuple[str, ...], *, at_least: int) -> tuple[str, ...]:
        return tuple(self._random.sample(of, self._random.randint(at_least, len(of))))

    def _write(self, table: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        with (self._folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
