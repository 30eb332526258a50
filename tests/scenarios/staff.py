"""Staff with managers, and functions of users that compute something of them; each remembers what it was given."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    JobRun,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    PythonTask,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    TaskRun,
    TaskState,
    Thresholds,
    UpdateEntityPropertyExpressionsTask,
    UserTask,
    task,
)
from deltamark.domain.configuration.entity_model import CONNECTOR_DEFAULTS

NO_LIMITS = Thresholds(**dict.fromkeys((name for name in CONNECTOR_DEFAULTS.__slots__ if name[0] != "_"), 0))
COLUMNS = ("Name", "Mail", "Room")
Row = Mapping[str, Any]


def by_row(compute: Callable[[Row], Row], **declared: Any) -> tuple[UserTask, list[list[str]]]:
    """A task that computes each row by itself, and the keys that it was given, batch by batch."""
    given: list[list[str]] = []

    def rated(batch: pa.Table) -> pa.Table:
        given.append(sorted(batch["key"].to_pylist()))
        rows = [{"key": row["key"], **compute(row)} for row in batch.to_pylist()]
        return pa.Table.from_pylist(rows, schema=answer_schema(declared["writes"]))

    return task(**{"entity_types": ["Person"], **declared})(rated), given


def answer_schema(names: Iterable[str]) -> pa.Schema:
    """The schema of an answer of these properties."""
    kinds = {"Score": pa.int32()}
    return pa.schema([("key", pa.string()), *((name, kinds.get(name, pa.string())) for name in names)])


def people_model(
    tasks: Iterable[Any], /, expressions: Mapping[str, str] = {}, mapped: Iterable[str] = COLUMNS, **more: Any
) -> Configuration:
    """People of HR, who have managers; `Score` (a number), `Label`, `Badge` and `Note` are there to be computed.

    :param tasks: of the job, run after synchronizing and flagging.
    :param expressions: property -> SQL.
    """
    named = list(tasks)
    return Configuration(
        **{
            "connectors": [Connector("HR", thresholds=NO_LIMITS)],
            "entity_types": [
                EntityType(
                    "Person",
                    [
                        Property("Number", is_key=True),
                        *(Property(name) for name in COLUMNS),
                        Property("Score", PropertyType.INT32),
                        *(Property(name) for name in ("Label", "Badge", "Note")),
                    ],
                )
            ],
            "associations": [
                EntityAssociation(
                    "Management",
                    PropertyRef("Person", "Manager"),
                    PropertyRef("Person", "Reports"),
                    is_property2_collection=True,
                )
            ],
            "entity_type_mappings": [
                EntityTypeMapping(
                    "Person",
                    "HR",
                    "people",
                    [
                        PropertyMapping("Number", "number", is_primary_key=True),
                        *(PropertyMapping(name, name.lower()) for name in mapped),
                    ],
                )
            ],
            "association_mappings": [
                EntityAssociationMapping(
                    "Management",
                    "HR",
                    "people",
                    "number",
                    "manager",
                    PropertyRef("Person", "Number"),
                    PropertyRef("Person", "Number"),
                )
            ],
            "property_expressions": [
                EntityPropertyExpression(name, "Person", name, expression=f"SQL:p: {sql}")
                for name, sql in expressions.items()
            ],
            "jobs": [
                Job(
                    "Daily",
                    [
                        SynchronizeTask(connector="HR", do_not_delete_changes=True),
                        SetRecentlyModifiedFlagTask(),
                        *named,
                    ],
                ),
                Job("Synchronize", [SynchronizeTask(identifier="Only", connector="HR", do_not_delete_changes=True)]),
            ],
            **more,
        }
    )


def expressions_task(identifier: str = "Expressions", *, dirty: bool = True) -> UpdateEntityPropertyExpressionsTask:
    """A task that computes what has an expression."""
    return UpdateEntityPropertyExpressionsTask(identifier=identifier, dirty=dirty, all_entity_type=True)


def calls(function: UserTask | str, identifier: str = "Rate", **said: Any) -> PythonTask:
    """A task that calls a function."""
    return PythonTask(identifier=identifier, function=function, **said)


class Staff:
    """The people of today, and the engine that follows them."""

    def __init__(
        self, url: str, folder: Path, clock: Callable[[], datetime], configured: Configuration, **opened: Any
    ) -> None:
        self.url, self.folder, self._clock = url, folder, clock
        folder.mkdir(exist_ok=True)
        self.people: dict[str, dict[str, str | None]] = {}
        self.managers: dict[str, str] = {}
        self.engine = self._opened(configured, opened)

    def _opened(self, configured: Configuration, said: Mapping[str, Any]) -> Engine:
        return Engine.open(self.url, configuration=configured, export_output=self.folder, clock=self._clock, **said)

    def configured(self, configured: Configuration, **opened: Any) -> Staff:
        """The same store under another configuration."""
        self.engine.close()
        self.engine = self._opened(configured, opened)
        return self

    def person(self, number: str, name: str | None = None, *, manager: str | None = None, **values: str) -> Staff:
        """There is this person today."""
        self.people[number] = {"Name": name, **values}
        self.managers.pop(number, None)
        if manager is not None:
            self.managers[number] = manager
        return self

    def without(self, *numbers: str) -> Staff:
        """These people are gone today."""
        for number in numbers:
            self.people.pop(number, None)
            self.managers.pop(number, None)
        return self

    def write(self) -> None:
        """The extract of today."""
        with (self.folder / "people.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["number", *map(str.lower, COLUMNS), "manager"])
            for number, said in self.people.items():
                manager = self.managers.get(number)
                manager = manager if manager in self.people else None
                writer.writerow([number, *(said.get(name) for name in COLUMNS), manager])

    def run(self, job: str = "Daily", **options: Any) -> JobRun:
        """The record of a run that ended well."""
        run = self.tried(job, **options)
        assert run.state is TaskState.COMPLETED, [task.messages for task in run.tasks]
        return run

    def tried(self, job: str = "Daily", **options: Any) -> JobRun:
        """The record of a run, however it ended."""
        self.write()
        return self.engine.run_job(job, **options)

    def all(self, name: str) -> dict[str, Any]:
        """Key -> the value of a property, of those that have one."""
        found = {row.key: row.values.get(name) for row in self.engine.export_resources("Person")}
        return {key: value for key, value in found.items() if value is not None}


def of(run: JobRun, identifier: str = "Rate") -> TaskRun:
    """The last task of a run with that identifier."""
    return [task for task in run.tasks if task.identifier == identifier][-1]
