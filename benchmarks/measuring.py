"""Measuring one piece of work in a process of its own: its time and its peak memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

from attrs import field, frozen

from deltamark import Engine, JobRun

ROUNDS = 3


@frozen
class Done:
    """What one task of a measured job did: medians of its seconds, and the values that it computed."""

    seconds: float
    executed: int
    necessary: int


@frozen
class Measure:
    """Seconds and peak memory in megabytes, the medians of some rounds; of a job, its tasks by identifier."""

    seconds: float
    megabytes: float
    tasks: Mapping[str, Done] = field(factory=dict)
    closing: float = 0.0
    """Seconds that closing the store took: an SQLite file is tidied up then."""

    @property
    def executed(self) -> int:
        """How many values the tasks computed."""
        return sum(done.executed for done in self.tasks.values())

    @property
    def necessary(self) -> int:
        """How many of them differed."""
        return sum(done.necessary for done in self.tasks.values())


def measured(work: str, *arguments: str, before: Callable[[], None] | None = None, rounds: int = ROUNDS) -> Measure:
    """The medians of some rounds of `python -m benchmarks.work WORK …`; `before` is called before each."""
    found = []
    for _ in range(rounds):
        if before is not None:
            before()
        output = subprocess.run(
            [sys.executable, "-m", "benchmarks.work", work, *arguments], capture_output=True, text=True, check=False
        )
        if output.returncode:
            raise SystemExit(f"{work} failed:\n{output.stderr}")
        found.append(json.loads(output.stdout.splitlines()[-1]))
    tasks = {
        name: Done(median(r["tasks"][name]["seconds"] for r in found), done["executed"], done["necessary"])
        for name, done in found[-1]["tasks"].items()
    }
    seconds, megabytes, closing = (median(r[name] for r in found) for name in ("seconds", "megabytes", "closing"))
    return Measure(seconds, megabytes, tasks, closing)


def report(work: Callable[[], tuple[JobRun, Engine] | None]) -> None:
    """Does the work and prints its time and this process's peak memory as JSON, and what the tasks of a job did.

    What was opened for a job is closed: that is measured apart.
    """
    started = time.perf_counter()
    run, engine = work() or (None, None)
    done = time.perf_counter()
    if engine is not None:
        engine.close()
    closing = time.perf_counter() - done
    seconds = done - started
    tasks = {
        task.identifier: {
            "seconds": task.seconds,
            "executed": task.counts.executed,
            "necessary": task.counts.necessary,
        }
        for task in (run.tasks if run else ())
    }
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "closing": closing, "megabytes": megabytes, "tasks": tasks}))
