"""The disk of a PostgreSQL server is full from some task on: with space again it is as if it had not been."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from random import Random, randrange
from shutil import which
from typing import Any

import pytest

from deltamark import Engine, Observer, StoreError, TaskRun, TaskState
from tests.crash.children import LEASE_S
from tests.crash.company import ENDED_WELL, JOB, TASKS, Days, continued, harm_in, lives, opened, seen
from tests.crash.postgresql_power import SETTINGS
from tests.crash.told import Told
from tests.postgresql import Server, running
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
DAYS = 10 if SOAK else 3
TOLD = ("the server cannot write (could not ", "the disk of the server is full", "the server ended the connection")
LOST = ("cannot be reached, or the connection to it was lost",)
"""What is told where the server could not even write its log: then it gives up."""


class FullFrom(Told):
    """The disk is full when a task begins, and stays so."""

    def __init__(self, engine: Engine, server: Server, task: str, size: int) -> None:
        super().__init__(engine)
        self._full = (task, server, size)

    def task_started(self, run: int, task: TaskRun) -> None:
        name, server, size = self._full
        if task.identifier == name:
            server.let_files_grow_to(size)


def ended(engine: Engine, observer: Observer) -> tuple[str, list[str]]:
    """How the run ended, and what was said of what failed."""
    try:
        run = engine.run_job(JOB, observer=observer)
    except StoreError as error:  # not even the record of the run could be written
        return "failed", [str(error)]
    return run.state.value, [task.messages[0] for task in run.tasks if task.state is TaskState.FAILED]


def impatient(engine: Engine) -> Engine:
    """Does not wait for a server that gave up."""
    store: Any = engine._services.store
    store._datastore.connections._reconnect_s = 0.1
    return engine


pytestmark = pytest.mark.skipif(which("prlimit") is None, reason="this system cannot limit a process that runs")


@pytest.mark.soak
@pytest.mark.slow  # the server starts again each day
def test_a_server_whose_disk_is_full_from_some_task_on_goes_on_when_there_is_space_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "undisturbed").mkdir()
    expected = lives(SEED, DAYS, tmp_path / "undisturbed")
    random, extracts, states = Random(SEED), Days(tmp_path / "exports", SEED), Counter[str]()
    with running(SETTINGS) as server, opened(server.url("postgres"), tmp_path / "exports", lease_s=LEASE_S) as engine:
        engine.position()
        impatient(engine)
        for number, day in enumerate(expected):
            extracts.next()
            full = FullFrom(engine, server, TASKS[number % len(TASKS)], random.choice((1, 1 << 16, 1 << 20)))

            state, told = ended(engine, full)

            states[state] += 1
            assert all(any(words in each for words in (*TOLD, *LOST)) for each in told), told
            server.kill()
            server.start()
            assert full.lost_in(engine) == [], f"seed {SEED}, day {number}"
            assert harm_in(engine) == [], f"seed {SEED}, day {number}"
            assert continued(engine).state in ENDED_WELL
            assert seen(engine) == day, f"seed {SEED}, day {number}"
            assert harm_in(engine) == [], f"seed {SEED}, day {number}"
    with capsys.disabled():
        print(f"\npostgresql, seed {SEED}: with a full disk, runs ended {dict(states)}")
    assert states["failed"] >= DAYS / 2
