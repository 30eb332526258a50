"""PostgreSQL: a server that cannot write fails the run and leaves the store unchanged."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityType,
    EntityTypeMapping,
    Job,
    JobRun,
    Property,
    PropertyMapping,
    StoreError,
    SynchronizeTask,
    TaskState,
    Thresholds,
)
from tests.postgresql import running

LARGEST_FILE = 20 << 20
"""More than a segment of the server's write-ahead log, less than a table of `PEOPLE` needs."""

PEOPLE = 30_000


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Processes started in the block cannot make a file longer, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def configuration() -> Configuration:
    names = ("Number", "Note")
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        entity_types=[EntityType("Person", [Property(name, is_key=name == "Number") for name in names])],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person", "HR", "people", [PropertyMapping(n, n, is_primary_key=n == "Number") for n in names]
            )
        ],
        jobs=[Job("Load", [SynchronizeTask(connector="HR", do_not_delete_changes=True)])],
    )


def told(engine: Engine) -> tuple[TaskState | None, str]:
    """The exit status and the messages of the job."""
    try:
        run: JobRun = engine.run_job("Load")
    except StoreError as e:
        return None, str(e)
    return run.state, " ".join(run.tasks[0].messages)


@pytest.mark.slow  # starts a server on a small disk
def test_a_server_on_a_full_disk_fails_the_run_and_continues_once_there_is_space(tmp_path: Path) -> None:
    draw = Random(1)
    rows = (f"{number},{draw.randbytes(400).hex()}" for number in range(PEOPLE))
    (tmp_path / "people.csv").write_text("\n".join(["Number,Note", *rows, ""]))
    with running() as server:
        server.stop()
        with files_no_larger_than(LARGEST_FILE):
            server.start()
        with Engine.open(server.url("postgres"), configuration=configuration(), export_output=tmp_path) as engine:
            state, words = told(engine)

            assert state in (TaskState.FAILED, None)
            assert "the server cannot write (could not " in words
            assert "What was being written was undone. Check the disk of the server" in words
            assert list(engine.export_resources("Person")) == []
            assert list(engine.changes()) == []

        server.stop()
        server.start()
        with Engine.open(server.url("postgres"), configuration=configuration(), export_output=tmp_path) as engine:
            assert told(engine)[0] is TaskState.COMPLETED
            assert sum(1 for _ in engine.export_resources("Person")) == PEOPLE
            assert sum(1 for _ in engine.changes()) == PEOPLE
