"""Processes of this machine as workers."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from random import Random
from typing import Any

import pytest

from deltamark import Engine, TaskState
from deltamark.application.derivation import inputs
from deltamark.infrastructure.workers.processes import ProcessWorkers
from tests.tiers import examples
from tests.workers.company import PEOPLE, computed, opened

PARTS = -(-PEOPLE // 5)
STAGES = 2


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(inputs, "AT_ONCE", 5)


@pytest.fixture
def on_submit(monkeypatch) -> list[Callable[[ProcessWorkers], None]]:
    """What is called with each function that is submitted: with the workers."""
    told: list[Callable[[ProcessWorkers], None]] = []
    submit = ProcessWorkers.submit

    def noted(self: ProcessWorkers, function: Any, /, *arguments: Any) -> Future[Any]:
        future = submit(self, function, *arguments)
        for tell in told:
            tell(self)
        return future

    monkeypatch.setattr(ProcessWorkers, "submit", noted)
    return told


def killed(workers: ProcessWorkers) -> None:
    assert workers._pool is not None
    for process in tuple(workers._pool._processes.values()):
        os.kill(process.pid, signal.SIGKILL)


def values(engine: Engine) -> list[Any]:
    return [*engine.changes(kind="computed")]


def test_the_log_and_the_messages_are_those_of_one_process(new_store, memory, clock, on_submit):
    counted: list[ProcessWorkers] = []
    on_submit.append(counted.append)
    with opened(new_store(), memory, clock) as alone:
        run, log = computed(alone)
        assert not counted
    with opened(new_store(), memory, clock, workers="processes:2") as engine:
        shared_run, shared_log = computed(engine)

    assert len(counted) == STAGES * PARTS
    assert shared_log == log
    (task,), (shared) = run.tasks, shared_run.tasks[0]
    assert shared.state is task.state is TaskState.WARNING
    assert shared.messages == task.messages
    assert '"p17"' in str(task.messages)
    assert shared.counts == task.counts


@pytest.mark.slow  # begins processes for each example
def test_killed_workers_end_the_task_whole_and_the_run_can_be_resumed(new_store, memory, clock, on_submit):
    with opened(new_store(), memory, clock) as alone:
        computed(alone)
        expected = [change.event.ref for change in values(alone)]
    assert expected
    for number in range(examples(8)):
        with opened(new_store(), memory, clock, workers="processes:2") as engine:
            until = [Random(number).randint(1, STAGES * PARTS)]
            on_submit[:] = [partial(killed_at, until)]
            run = engine.run_job("Compute", force=True)

            assert run.state is TaskState.FAILED
            assert "ended in the middle of its work. Nothing of the task was written" in str(run.tasks[0].messages)
            assert values(engine) == []
            assert engine.resume(run.number).state is TaskState.WARNING
            assert [change.event.ref for change in values(engine)] == expected


def killed_at(until: list[int], workers: ProcessWorkers) -> None:
    until[0] -= 1
    if until[0] == 0:
        killed(workers)


_RUN = """
import sys
from tests.workers.company import configuration
from deltamark import Engine

if __name__ == "__main__":
    Engine.open(sys.argv[1], configuration=configuration()).close()
    engine = Engine.open(sys.argv[1], configuration=configuration(), workers="processes:1")
    workers = engine._services.workers
    workers.submit(str).result()
    print(*workers._pool._processes, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow  # begins processes
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is no child")
def test_a_worker_ends_when_the_run_is_killed(memory):
    program = memory / "program.py"
    program.write_text(_RUN)
    command = [sys.executable, str(program), f"sqlite:///{memory}/killed.db"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as run:
        assert run.stdout is not None
        worker = os.pidfd_open(int(run.stdout.readline()))
        run.kill()
        ended, _, _ = select.select([worker], [], [], 60)
        os.close(worker)
    assert ended
