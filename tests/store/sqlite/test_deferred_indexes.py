"""Indexes that are built when the rows of a first load are there: whatever ends a load, they are there afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    Engine,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyMapping,
    ResourceCorrelationRule,
    ResourceType,
    SynchronizeTask,
    TaskState,
)
from deltamark.infrastructure.store.commands.append import AppendCommands
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from deltamark.infrastructure.store.sqlite.definitions import definitions

PEOPLE = 20


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch) -> None:
    monkeypatch.setattr(Database, "many", 1)


def opened(folder: Path) -> Engine:
    (folder / "people.csv").write_text("\n".join(["id", *(f"P{number}" for number in range(PEOPLE))]) + "\n")
    configuration = Configuration(
        connectors=[Connector("HR")],
        entity_types=[EntityType("Person", [Property("Name", is_key=True)])],
        entity_type_mappings=[
            EntityTypeMapping("Person", "HR", "people", [PropertyMapping("Name", "id", is_primary_key=True)])
        ],
        resource_types=[ResourceType("Person", "Person", "Person")],
        correlation_rules=[ResourceCorrelationRule("Person", source_binding="Name", target_binding="Name")],
        jobs=[Job("All", [SynchronizeTask(connector="HR"), ComputeCorrelationKeysTask(entity_types=["Person"])])],
    )
    return Engine.open(f"sqlite:///{folder}/store.db", configuration=configuration, export_output=str(folder))


def defined(folder: Path) -> dict[str, str]:
    with sqlite3.connect(folder / "store.db") as connection:
        return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())


def loaded(engine: Engine) -> None:
    run = engine.run_job("All")
    assert run.state is TaskState.COMPLETED
    assert run.tasks[-1].counts.written == 2 * PEOPLE
    assert engine.verify().is_sound


def test_a_dry_run_leaves_them(memory):
    with opened(memory) as engine:
        assert engine.run_job("All", dry_run=True).counts.inserted == PEOPLE
        assert defined(memory).items() >= definitions().items()
        loaded(engine)
    assert defined(memory).items() >= definitions().items()


def test_a_load_that_fails_leaves_them(memory, monkeypatch):
    def failing(self, *arguments):
        raise OSError("the disk is gone")

    with opened(memory) as engine:
        with monkeypatch.context() as patched:
            patched.setattr(AppendCommands, "_create", failing)
            with pytest.raises(OSError, match="the disk is gone"):
                engine.run_job("All")
        assert defined(memory).items() >= definitions().items()
        loaded(engine)


def test_an_open_query_keeps_an_index(memory):
    with opened(memory) as engine:
        engine.run_job("All")
    with sqlite3.connect(memory / "store.db", isolation_level=None) as connection:
        connection.execute("BEGIN")
        database = SQLiteDatabase(connection)
        rows = iter(database.rows("SELECT key FROM resources"))
        next(rows)

        database.defer_index("resources_by_key")
        database.build_deferred_indexes()

        assert "resources_by_key" in dict(connection.execute("SELECT name, sql FROM sqlite_master").fetchall())
        connection.execute("ROLLBACK")


def killed_in_a_load(folder: str) -> None:
    """Loads, and is killed when an index is to be built again."""

    def killed(self) -> None:
        if self._deferred_indexes:
            os.kill(os.getpid(), signal.SIGKILL)

    Database.many, SQLiteDatabase.build_deferred_indexes = 1, killed
    opened(Path(folder)).run_job("All")


def test_a_load_that_is_killed_leaves_them(memory):
    with opened(memory):
        pass
    call = f"from {__name__} import killed_in_a_load; killed_in_a_load({str(memory)!r})"

    assert subprocess.run([sys.executable, "-c", call], check=False).returncode == -signal.SIGKILL

    assert defined(memory).items() >= definitions().items()
    with opened(memory) as engine:
        assert engine.position() > 0
        assert [*engine.changes()] == []
        loaded(engine)
