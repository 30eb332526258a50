"""A scheduler of Dask with workers, each a process of its own, on the loopback interface."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deltamark import TaskState
from deltamark.application.derivation import inputs, parts
from tests.servers.certificates import issued
from tests.workers.company import PEOPLE, computed, opened

pytest.importorskip("distributed", reason="pip install 'deltamark[cluster]'")

pytestmark = pytest.mark.slow  # begins a scheduler and workers
PARTS = -(-PEOPLE // 5)


class Cluster:
    """A scheduler, and its workers."""

    def __init__(self, folder: Path, stack: ExitStack, protocol: str = "tcp", files: tuple[str, ...] = ()) -> None:
        self._folder, self._stack, self._protocol, self._files = folder, stack, protocol, files
        self._place = folder / "scheduler.json"
        self.scheduler = self._started(
            "dask_scheduler", "--host", f"{protocol}://127.0.0.1", "--port", "0", "--scheduler-file", self._place
        )
        while not self._place.exists() or not self._place.read_text().endswith("}"):
            assert self.scheduler.poll() is None, "the scheduler ended"
        self.place = json.loads(self._place.read_text())["address"].partition("://")[2]
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"{'dask' if self._protocol == 'tcp' else 'tls'}://{self.place}"

    def with_workers(self, count: int) -> Cluster:
        for _ in range(count):
            self.workers.append(
                self._started(
                    "dask_worker", f"{self._protocol}://{self.place}", "--host", "127.0.0.1",
                    "--nthreads", "1", "--no-nanny",
                )
            )  # fmt: skip
        return self

    def _started(self, program: str, *options: object) -> Any:
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.{program}",
            *map(str, options),
            "--no-dashboard",
            *self._files,
        ]
        log = (self._folder / f"{program}.log").open("ab")
        self._stack.callback(log.close)
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def new_cluster(tmp_path) -> Iterator[Any]:
    with ExitStack() as stack:
        yield partial(Cluster, tmp_path, stack)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(inputs, "AT_ONCE", 5)


def test_the_log_is_that_of_one_process_whoever_is_killed(new_store, memory, clock, new_cluster, monkeypatch):
    cluster_of = new_cluster().with_workers(2)
    with opened(new_store(), memory, clock) as alone:
        run, log = computed(alone)
    with opened(new_store(), memory, clock, workers=cluster_of.address) as engine:
        shared_run, shared_log = computed(engine)
    assert shared_log == log
    assert shared_run.tasks[0].messages == run.tasks[0].messages

    taken = parts._first_of

    def after_a_kill(waiting: Any) -> Any:
        if cluster_of.workers[0].poll() is None:
            cluster_of.workers[0].send_signal(signal.SIGKILL)
        return taken(waiting)

    monkeypatch.setattr(parts, "_first_of", after_a_kill)
    with opened(new_store(), memory, clock, workers=cluster_of.address) as engine:
        _, killed_log = computed(engine)
    assert cluster_of.workers[0].wait() == -signal.SIGKILL
    assert killed_log == log


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_scheduler_that_is_lost_ends_the_task_whole(new_store, memory, clock, new_cluster, monkeypatch, fault):
    cluster_of = new_cluster().with_workers(1)
    taken = parts._first_of
    with opened(new_store(), memory, clock, workers=cluster_of.address) as engine:
        engine._services.workers._patience_s = 4.0  # seconds

        def after_the_fault(waiting: Any) -> Any:
            cluster_of.scheduler.send_signal(fault)
            return taken(waiting)

        monkeypatch.setattr(parts, "_first_of", after_the_fault)
        run = engine.run_job("Compute", force=True)

        assert run.state is TaskState.FAILED
        assert "Nothing of the task was written" in str(run.tasks[0].messages)
        assert "resume the run" in str(run.tasks[0].messages)
        assert [*engine.changes(kind="computed")] == []
        monkeypatch.setattr(parts, "_first_of", taken)
        engine._services = evolve(engine._services, workers=None)
        assert engine.resume(run.number).state is TaskState.WARNING
        assert [*engine.changes(kind="computed")] != []


def test_a_worker_with_another_version_is_refused_by_name(new_store, memory, clock, new_cluster):
    cluster_of = new_cluster().with_workers(1)
    with opened(new_store(), memory, clock, workers=cluster_of.address) as engine:
        workers = engine._services.workers
        workers._desk = evolve(workers._desk, versions={**workers._desk.versions, "duckdb": "0.0.1"})
        run = engine.run_job("Compute", force=True)

        assert run.state is TaskState.FAILED
        message = str(run.tasks[0].messages)
        assert "worker tcp://127.0.0.1:" in message
        assert "and the run has 0.0.1" in message
        assert [*engine.changes(kind="computed")] == []


def test_certificates_of_one_authority_are_needed(request, postgresql_url, memory, clock, tmp_path):
    ours, others = issued(tmp_path / "ours", "calc"), issued(tmp_path / "others", "calc")
    files = ("--tls-ca-file", str(ours.authority), "--tls-cert", str(ours.certificate), "--tls-key", str(ours.key))
    with ExitStack() as stack:
        cluster_of = Cluster(tmp_path, stack, "tls", files).with_workers(1)
        for certificate, state in ((others, TaskState.FAILED), (ours, TaskState.WARNING)):
            said = {"ca": certificate.authority, "certificate": certificate.certificate, "key": certificate.key}
            named = {name: str(file) for name, file in said.items()}
            with opened(postgresql_url, memory, clock, workers=cluster_of.address, cluster=named) as shared:
                shared._services.workers._patience_s = 5.0 if certificate is others else 30.0
                run = shared.run_job("Compute", force=True)
                assert run.state is state, run.tasks[0].messages
                assert bool([*shared.changes(kind="computed")]) is (certificate is ours)
                if certificate is others:
                    assert f"the scheduler {cluster_of.address} does not answer (" in str(run.tasks[0].messages)
