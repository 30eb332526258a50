"""Measures how soon a follower sees a commit by another thread with connections of its own."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

from benchmarks.data import COLUMNS, configuration
from benchmarks.measure import ROUNDS, WorkFailed, report_samples
from deltamark import Engine, Observer, TaskRun

COMMITS = 30 if ROUNDS > 1 else 3


class _CommitTime(Observer):
    """Records the time when a synchronization was committed."""

    committed: float

    def task_ended(self, run: int, task: TaskRun) -> None:
        if task.kind == "SynchronizeTask":
            self.committed = time.perf_counter()


def delays(store: str) -> list[float]:
    """The seconds from a commit until a follower has the change, for `COMMITS` commits of one change each.

    Negative if the follower was notified before the committing thread went on.
    """
    seen: list[float] = []
    arrived, stop = threading.Event(), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        extract = Path(folder) / "HR_Person.csv"
        definition = configuration()
        with (
            Engine.open(store, configuration=definition, export_output=folder) as writer,
            Engine.open(store, configuration=definition, export_output=folder) as reader,
        ):
            changes = reader.follow(writer.position(), stop=stop)

            def follow() -> None:
                for _ in changes:
                    seen.append(time.perf_counter())
                    arrived.set()

            follower = threading.Thread(target=follow)
            follower.start()
            seconds = []
            for number in range(COMMITS):
                values = ("Z0000001", *(f"{name} {number}" for name in COLUMNS[1:]), "merge")
                extract.write_text(",".join((*COLUMNS, "Command")) + "\n" + ",".join(values) + "\n")
                arrived.clear()
                commit = _CommitTime()
                writer.run_job("Incremental", observer=commit)
                if not arrived.wait(30):
                    raise WorkFailed("the follower saw nothing for 30 seconds")
                seconds.append(seen[-1] - commit.committed)
            stop.set()
            follower.join()
    return seconds


def report(store: str) -> None:
    """Prints them as JSON."""
    report_samples(delays(store))
