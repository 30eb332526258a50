"""People and groups with members in an SQLite database, which a connection reads by a watermark."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deltamark import (
    Configuration,
    Connection,
    ConnectionTable,
    Connector,
    Engine,
    EntityType,
    EntityTypeMapping,
    ExportTask,
    Job,
    JobRun,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskOverride,
    Thresholds,
)

PERSON = "HR_Person"
OPTIONS = {"Query": "select * from person", "Watermark": "version", "Overlap": "2", "Deleted": "gone"}


NO_LIMITS = Thresholds()


def configuration(limits: Thresholds = NO_LIMITS, options: Mapping[str, str] = OPTIONS) -> Configuration:
    """Jobs that read what changed (`Changes`), everything (`Everything`), and that read or apply alone."""
    export = ExportTask(identifier="Read", connection="HR_Source")
    synchronization = SynchronizeTask(identifier="Synchronize", connector="HR", do_not_delete_changes=True)
    read, synchronize = Step(export.identifier), Step(synchronization.identifier)
    read_all = TaskOverride(export.kind, export.identifier, {"ignore_cookie_file": True})
    return Configuration(
        connectors=[Connector("HR", thresholds=limits)],
        connections=[Connection("HR_Source", "HR", "Sql", tables=[ConnectionTable(PERSON, options)])],
        entity_types=[EntityType(PERSON, [Property("Id2", is_key=True), Property("Name")])],
        entity_type_mappings=[
            EntityTypeMapping(
                PERSON,
                connector="HR",
                connection_table=PERSON,
                properties=[PropertyMapping("Id2", "id", is_primary_key=True), PropertyMapping("Name", "name")],
            )
        ],
        tasks=[export, synchronization],
        jobs=[
            Job("Changes", [read, synchronize], is_incremental=True),
            Job("Everything", [read_all, synchronize]),
            Job("Read", [read]),
            Job("Apply", [synchronize]),
            Job(
                "Prepared",
                [
                    read,
                    PrepareSynchronizationTask(
                        identifier="Prepare", connector="HR", synchronization_mode=SynchronizationMode.INCREMENTAL
                    ),
                    synchronize,
                ],
            ),
        ],
    )


class DatabaseSource:
    """A database, a store, and an engine between them."""

    def __init__(self, store: str, folder: Path, configured: Configuration, database: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.database = database or folder / "hr.db"
        self.exports = folder / "exports"
        self.version = 0
        self.execute("CREATE TABLE IF NOT EXISTS person (id TEXT PRIMARY KEY, name, version, gone)")
        self.engine = Engine.open(
            store,
            configuration=configured,
            export_output=self.exports,
            connections={"HR_Source": {"server": f"sqlite:///{self.database}"}},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.engine.close()

    def execute(self, statement: str, *parameters: Any) -> None:
        """Executes a statement in the database."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, parameters)

    def put(self, **names: Any) -> None:
        """Writes people, by their keys."""
        for key, name in names.items():
            self.version += 1
            self.execute("INSERT OR REPLACE INTO person VALUES (?, ?, ?, 0)", key, name, self.version)

    def mark_deleted(self, *keys: str) -> None:
        """Marks people as deleted."""
        for key in keys:
            self.version += 1
            self.execute("UPDATE person SET gone=1, version=? WHERE id=?", self.version, key)

    def people(self) -> dict[str, Any]:
        """The people of the database that are not deleted: an oracle."""
        with closing(sqlite3.connect(self.database)) as connection:
            return dict(connection.execute("SELECT id, name FROM person WHERE NOT gone"))

    def stored(self) -> dict[str, Any]:
        """The people of the store."""
        return {item.key: item.values.get("Name") for item in self.engine.export_resources(PERSON)}

    def run(self, job: str = "Changes", **arguments: Any) -> JobRun:
        """Runs a job."""
        return self.engine.run_job(job, **arguments)

    def place(self) -> Any:
        """The place that the store keeps, as a cookie; None where it keeps none."""
        with self.engine._store.reading() as reading:
            moved = reading.source_place("HR_Source")
        return None if moved is None else moved[1].cookie


def messages(run: JobRun) -> str:
    """All messages of a run."""
    return "\n".join(message for task in run.tasks for message in task.messages)


def states(runs: Iterable[JobRun]) -> list[str]:
    """The states of runs."""
    return [run.state.value for run in runs]
