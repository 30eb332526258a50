"""What commands leave when their rows are applied one after another, in plain Python."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve, field, frozen, mutable

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    JobRun,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskState,
    Thresholds,
)

Row = TypeVar("Row")


def sequences(rows: Sequence[Row], longest: int) -> Iterator[tuple[Row, ...]]:
    """All sequences of one to so many of these rows."""
    for length in range(1, longest + 1):
        yield from product(rows, repeat=length)


BAD = "bad"
"""A command, or a value, that cannot be read."""


@frozen
class ResourceRow:
    """A row of a resource.

    :param key: 0 or 1.
    :param sets: the property that has a value; BAD for a value of another type.
    """

    key: int
    command: str
    sets: str = ""

    @property
    def is_bad(self) -> bool:
        return BAD in (self.command, self.sets)


@mutable
class Resources:
    """Resources of one type, to which rows are applied."""

    states: dict[int, dict[str, str]]
    created_by_bad_rows: set[int] = field(factory=set)
    set_aside: list[int] = field(factory=list)

    def apply(self, rows: Sequence[ResourceRow]) -> None:
        """Applies rows in their order; the value that a row sets is its number."""
        for number, row in enumerate(rows):
            values = {row.sets: str(number)} if row.sets else {}
            exists = row.key in self.states or row.key in self.created_by_bad_rows
            if row.is_bad:
                self.set_aside.append(number)
                if row.command in ("insert", "merge"):
                    self.created_by_bad_rows.add(row.key)
            elif row.command == "delete" and any(later.is_bad and later.key == row.key for later in rows[number:]):
                self.set_aside.append(number)
            elif row.command == "delete":
                self.states.pop(row.key, None)
                self.created_by_bad_rows.discard(row.key)
            elif row.command == "update" and not exists:
                self.set_aside.append(number)
            elif row.command == "merge":
                self.states[row.key] = {**self.states.get(row.key, {}), **values}
            else:
                self.states[row.key] = values


@frozen
class LinkRow:
    """A row of a link: the numbers of its ends; no second one for an empty cell."""

    command: str
    first: str
    second: str | None = None

    @property
    def is_bad(self) -> bool:
        return self.command == BAD


@mutable
class Pairs:
    """The pairs of one association that hold, linked or not, to which rows are applied.

    :param single: for both ends, whether one may have only one link.
    """

    single: tuple[bool, bool]
    pairs: list[tuple[str, str]]
    set_aside: list[int] = field(factory=list)

    def apply(self, rows: Sequence[LinkRow]) -> None:
        """Applies rows in their order."""
        replaced: set[str] = set()
        unreadable = {row.first for row in rows if row.is_bad}
        for number, row in enumerate(rows):
            emptying = ("replace", "insert", "update") if self.single[0] else ("replace",)
            removes = row.command == "delete" or (row.second is None and row.command in emptying)
            if row.command == "replace" and row.first not in {*replaced, *unreadable}:
                self._remove([p for p in self.pairs if p[0] == row.first])
            replaced |= {row.first} if row.command == "replace" else set()
            if row.is_bad or (removes and any(later.is_bad and later.first == row.first for later in rows[number:])):
                self.set_aside.append(number)
            elif removes:
                self._remove([p for p in self.pairs if p[0] == row.first and row.second in (None, p[1])])
            elif row.second is not None:
                pair = (row.first, row.second)
                self._remove([p for p in self.pairs for end in (0, 1) if self.single[end] and p[end] == pair[end]])
                self._remove([pair])
                self.pairs.append(pair)

    def delete(self, name: str) -> None:
        """Removes the pairs that name a resource."""
        self._remove([pair for pair in self.pairs if name in pair])

    def _remove(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = [pair for pair in self.pairs if pair not in set(pairs)]


COMMAND = "command"
ENDS = {"Many": (True, True), "One": (False, True), "OfOne": (True, False), "OneOfOne": (False, False)}
"""Association -> for both ends, whether it may have many links."""


def configuration(associations: Iterable[str] = ()) -> Configuration:
    """Groups with members, and items with two texts and a number; associations have tables of their own."""
    group, user = PropertyRef("Group", "Name"), PropertyRef("User", "Login")
    item = {"Key": PropertyType.STRING, "A": PropertyType.STRING, "B": PropertyType.STRING, "N": PropertyType.INT32}
    return Configuration(
        connectors=[Connector("S", thresholds=Thresholds())],
        entity_types=[
            EntityType("Item", [Property(name, kind, is_key=name == "Key") for name, kind in item.items()]),
            EntityType("Group", [Property("Name", is_key=True)]),
            EntityType("User", [Property("Login", is_key=True)]),
        ],
        associations=[
            EntityAssociation(
                name,
                PropertyRef("Group", name),
                PropertyRef("User", f"Of{name}"),
                is_property1_collection=ENDS[name][0],
                is_property2_collection=ENDS[name][1],
            )
            for name in associations
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Item", "S", "items", [PropertyMapping(n, n.lower(), is_primary_key=n == "Key") for n in item]
            ),
            EntityTypeMapping("Group", "S", "groups", [PropertyMapping("Name", "name", is_primary_key=True)]),
            EntityTypeMapping("User", "S", "users", [PropertyMapping("Login", "login", is_primary_key=True)]),
        ],
        association_mappings=[
            EntityAssociationMapping(name, "S", name.lower(), "group", "user", group, user) for name in associations
        ],
        jobs=[
            Job("Load", [SynchronizeTask(connector="S", do_not_delete_changes=True)]),
            Job(
                "Delta",
                [
                    PrepareSynchronizationTask(
                        connector="S", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name=COMMAND
                    ),
                    Step("SynchronizeS"),
                ],
            ),
        ],
    )


def with_complete_tables(configured: Configuration, tables: Iterable[str]) -> Configuration:
    """The configuration in which these tables are always complete."""
    chosen = set(tables)
    changed = {
        name: [evolve(m, always_complete=m.connection_table in chosen) for m in getattr(configured, name)]
        for name in ("entity_type_mappings", "association_mappings")
    }
    return evolve(configured, **changed)


@frozen
class StaffRow:
    """A row of a person with the manager; "" for an empty cell."""

    key: str
    command: str
    manager: str


@mutable
class Staff:
    """People and the managers that their rows name: key -> manager, or "" for none."""

    managers: dict[str, str]

    def apply(self, rows: Sequence[StaffRow]) -> list[int]:
        """Applies rows in their order, and returns the numbers of those that were set aside."""
        aside = []
        for number, row in enumerate(rows):
            if row.command == "delete":
                self.managers.pop(row.key, None)
            elif row.command == "update" and row.key not in self.managers:
                aside.append(number)
            elif row.command == "merge":
                self.managers[row.key] = row.manager or self.managers.get(row.key, "")
            else:
                self.managers[row.key] = row.manager
        return aside

    def links(self) -> dict[str, str]:
        """Key -> manager, of those whose manager exists."""
        return {key: manager for key, manager in self.managers.items() if manager in self.managers}

    def waiting(self) -> dict[str, str]:
        """Key -> manager, of those whose manager does not exist."""
        return {key: manager for key, manager in self.managers.items() if manager and manager not in self.managers}


def staff_configuration() -> Configuration:
    """People with links in columns of their own extract: to one manager, to one among many, and from the manager."""
    number = PropertyRef("Person", "Number")
    names = {"Manager": False, "Team": True}
    return evolve(
        configuration(),
        entity_types=[EntityType("Person", [Property("Number", is_key=True)])],
        associations=[
            EntityAssociation(
                name,
                PropertyRef("Person", name),
                PropertyRef("Person", f"Of{name}"),
                is_property1_collection=is_collection,
                is_property2_collection=True,
            )
            for name, is_collection in names.items()
        ]
        + [
            EntityAssociation(
                "Boss", PropertyRef("Person", "OfBoss"), PropertyRef("Person", "Boss"), is_property1_collection=True
            )
        ],
        entity_type_mappings=[
            EntityTypeMapping("Person", "S", "people", [PropertyMapping("Number", "number", is_primary_key=True)])
        ],
        association_mappings=[
            EntityAssociationMapping(name, "S", "people", "number", name.lower(), number, number) for name in names
        ]
        + [EntityAssociationMapping("Boss", "S", "people", "boss", "number", number, number)],
    )


class Source:
    """A store and the extracts that feed it."""

    def __init__(self, url: str, folder: Path, configured: Configuration) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.tables: dict[str, list[str]] = {}
        self.complete = {mapping.connection_table for mapping in configured.mappings if mapping.always_complete}
        for mapping in configured.entity_type_mappings:
            columns = self.tables.setdefault(mapping.connection_table, [])
            columns += [item.connection_column for item in mapping.properties if item.connection_column not in columns]
        for mapping in configured.association_mappings:
            columns = self.tables.setdefault(mapping.connection_table, [])
            columns += [name for name in (mapping.column1, mapping.column2) if name not in columns]
        self.engine = Engine.open(url, configuration=configured, export_output=folder)

    def run(self, job: str, **tables: Iterable[Sequence[object]]) -> JobRun:
        """Runs a job with these rows; tables that are not named are empty."""
        run = self.attempt(job, **tables, force=True)
        assert run.state in (TaskState.COMPLETED, TaskState.WARNING), [task.messages for task in run.tasks]
        return run

    def attempt(
        self, job: str, *, force: bool = False, dry_run: bool = False, **tables: Iterable[Sequence[object]]
    ) -> JobRun:
        """The same, whatever becomes of the run."""
        for table, columns in self.tables.items():
            header = [*columns, COMMAND] if job == "Delta" and table not in self.complete else columns
            with (self.folder / f"{table}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([header, *tables.get(table, [])])
        return self.engine.run_job(job, force=force, dry_run=dry_run)

    def states(self, entity_type: str) -> dict[str, Mapping[str, Any]]:
        """Key -> values, of the live resources."""
        return {row.key: row.values for row in self.engine.export_resources(entity_type)}

    def links(self, entity_type: str, association: str) -> dict[str, list[str]]:
        """Key -> the keys at the other end, of the resources that have a link."""
        rows = self.engine.export_resources(entity_type)
        return {row.key: sorted(row.links[association]) for row in rows if row.links.get(association)}

    def waiting(self, association: str) -> set[tuple[str, str]]:
        """The pairs that wait."""
        with self.engine._services.store.reading() as reading:
            return reading.waiting_links(association)

    def set_aside(self, run: JobRun) -> dict[str, set[int]]:
        """File -> the numbers of the rows that were set aside; the first row below the header is 0."""
        lines: dict[str, set[int]] = {}
        for row in self.engine.run(run.number).set_aside:
            assert row.line is not None
            lines.setdefault(row.file.removesuffix(".csv"), set()).add(row.line - 2)
        return lines
