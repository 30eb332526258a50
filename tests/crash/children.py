"""Processes that run the job and are killed, or race for it."""

from __future__ import annotations

import os
import pickle
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from typing import Any

from deltamark import AlreadyRunning, Engine, Observer, TaskRun
from deltamark.infrastructure.store.sqlite import connection
from deltamark.infrastructure.store.transactions import StoreWriting
from tests.crash.company import JOB, PATIENCE_S, Days, continued, once_dead, opened
from tests.crash.power import Acknowledged, Recorder
from tests.crash.statements import Count, every_statement

LEASE_S = 0.2
"""So short that nobody has to wait until a killed run is taken for dead."""


def die(*_: object) -> None:
    """Nothing is closed, flushed or given back."""
    os.kill(os.getpid(), signal.SIGKILL)


def run(url: str, folder: Path, at_statement: int, told: Connection) -> None:
    """Says that it begins, runs the job, or goes on with it, and says that it ended.

    Dies at the statement of that number, if it is not 0.
    """
    with every_statement(Count(at_statement, die)), opened(url, folder, lease_s=LEASE_S) as engine:
        engine.position()
        told.send("begins")
        continued(engine)
        told.send("ended")


def run_and_commit_half(url: str, folder: Path) -> None:
    """A run of a store that commits in the midst of a task, and dies there: what must never happen."""
    append = StoreWriting.append_links

    def commit_and_die(self: StoreWriting, *arguments: Any) -> None:
        append(self, *arguments)
        self._db.execute("COMMIT")
        die()

    StoreWriting.append_links = commit_and_die  # type: ignore[method-assign]
    with opened(url, folder) as engine:
        engine.run_job(JOB)


def starve(headroom: int) -> None:
    """From now on this process gets so many bytes of address space more, and then none."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit_memory(pages * resource.getpagesize() + headroom)


def limit_memory(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def run_starved(url: str, folder: Path, headroom: int, told: Connection, *, warm: bool) -> None:
    """Runs the job, or goes on with it, with so little memory, and tells how it ended.

    :param warm: whether everything that a run loads and sets up once is there before: it has more of the run then.
    """
    with opened(url, folder, lease_s=LEASE_S) as engine:
        engine.position()
        once_dead(engine)
        if warm:
            engine.run_job(JOB, dry_run=True)
        starve(headroom)
        try:
            run = continued(engine)
            how = (run.state.value, [message for task in run.tasks for message in task.messages])
        except Exception as error:  # whatever it is: the test looks at its words
            how = (type(error).__name__, [str(error)])
        limit_memory(resource.RLIM_INFINITY)
        told.send(how)


def run_starved_and_keep_half(url: str, folder: Path) -> None:
    """A store that keeps what is written when there is no more memory: what must never be."""
    append = StoreWriting.append_links

    def append_and_starve(self: StoreWriting, *arguments: Any) -> None:
        append(self, *arguments)
        self._db.execute("COMMIT")
        starve(0)
        bytes(1 << 30)

    StoreWriting.append_links = append_and_starve  # type: ignore[method-assign]
    with opened(url, folder) as engine, suppress(Exception):
        engine.run_job(JOB)


class WinsUntilTheOtherIsRefused(Observer):
    """Holds a run at its first task until the other process has been refused: without leases it would go in vain."""

    def __init__(self, refused: Flag, patience_s: float) -> None:
        self._refused = refused
        self._patience_s = patience_s

    def task_started(self, run: int, task: TaskRun) -> None:
        if task.ordinal == 1:
            self._refused.wait(self._patience_s)


def race(
    url: str,
    folder: Path,
    jobs: Sequence[str],
    at_once: Barrier,
    refused: Flag,
    told: Connection,
    patience_s: float,
    *,
    leases: bool = True,
) -> None:
    """Starts job after job at the same instant as the other process, and tells how it went each time."""
    if not leases:
        switch_leases_off()
    with opened(url, folder) as engine:
        for job in jobs:
            at_once.wait(PATIENCE_S)
            try:
                run = engine.run_job(job, observer=WinsUntilTheOtherIsRefused(refused, patience_s))
                told.send(("ran", run.number, run.state.value, job, os.getpid()))
            except AlreadyRunning as error:
                told.send(("refused", error.run, str(error), error.job, error.process))
                refused.set()
            if at_once.wait(PATIENCE_S) == 0:
                refused.clear()


def switch_leases_off() -> None:
    """What must never be: a run that asks nobody whether its tasks are being run."""
    StoreWriting.take_leases = lambda *_: None  # type: ignore[method-assign]
    StoreWriting.extend_leases = lambda *_: True  # type: ignore[method-assign]


class Acknowledging(Observer):
    """Notes, with what is written, up to where a user was told that the log is kept."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.engine: Engine | None = None

    def task_ended(self, run: int, task: TaskRun) -> None:
        assert self.engine is not None
        self.recorder.operations.append(Acknowledged(self.engine.position()))


def record(url: str, folder: Path, seed: int, days: int, synchronous: str) -> None:
    """Runs some days and leaves what was written to the store, in order, in a file."""
    settings = [s for s in connection._SETTINGS if not s.startswith("synchronous")]
    connection._SETTINGS = (*settings, f"synchronous={synchronous}")  # type: ignore[assignment]
    recorder = Recorder()
    observer, extracts = Acknowledging(recorder), Days(folder, seed)
    with opened(url, folder) as engine:
        observer.engine = engine
        for _ in range(days):
            extracts.next()
            engine.run_job(JOB, observer=observer)
    (folder / "operations").write_bytes(pickle.dumps(recorder.operations))
