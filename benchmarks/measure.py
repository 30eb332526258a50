"""Measures the time and peak memory of one piece of work, in a process of its own."""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from statistics import median

from attrs import field, frozen

import deltamark
from deltamark import Engine, JobRun

ROUNDS = int(os.environ.get("DELTAMARK_BENCHMARK_ROUNDS") or 3)
"""How often each piece of work is measured; one round shows that the benchmark works, not how fast the product is."""


@frozen
class TaskMeasure:
    """One task of a measured job: the median of its seconds, and the numbers of values that it computed."""

    seconds: float
    executed: int
    necessary: int


@frozen
class Measure:
    """Medians of several rounds: seconds and peak memory in megabytes; for a job also its tasks, by identifier."""

    seconds: float
    megabytes: float
    tasks: Mapping[str, TaskMeasure] = field(factory=dict)
    closing: float = 0.0
    """The seconds that it took to close the store, which cleans up an SQLite file."""

    @property
    def executed(self) -> int:
        """The number of values that the tasks computed."""
        return sum(task.executed for task in self.tasks.values())

    @property
    def necessary(self) -> int:
        """The number of computed values that differed."""
        return sum(task.necessary for task in self.tasks.values())


def measure(work: str, *arguments: str, before: Callable[[], None] | None = None, rounds: int = ROUNDS) -> Measure:
    """Runs `python -m benchmarks.work WORK …` for some rounds; calls `before` before each."""
    results = []
    for _ in range(rounds):
        if before is not None:
            before()
        output = subprocess.run(
            [sys.executable, "-m", "benchmarks.work", work, *arguments], capture_output=True, text=True, check=False
        )
        if output.returncode:
            raise SystemExit(f"{work} failed:\n{output.stderr}")
        results.append(json.loads(output.stdout.splitlines()[-1]))
    tasks = {
        name: TaskMeasure(median(r["tasks"][name]["seconds"] for r in results), task["executed"], task["necessary"])
        for name, task in results[-1]["tasks"].items()
    }
    seconds, megabytes, closing = (median(r[name] for r in results) for name in ("seconds", "megabytes", "closing"))
    return Measure(seconds, megabytes, tasks, closing)


def _import_everything() -> None:
    for module in pkgutil.walk_packages(deltamark.__path__, "deltamark."):
        if not module.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):  # it comes with an extra
                import_module(module.name)
    for name in ("numpy", "pyarrow.compute"):
        import_module(name)


def report(work: Callable[[], tuple[JobRun, Engine] | None]) -> None:
    """Does the work, and prints its time, the peak memory of this process and the tasks of a job as JSON.

    The engine of a job is closed, which is measured separately. Imports are not part of the work: `benchmarks.start`
    measures them.
    """
    _import_everything()
    started = time.perf_counter()
    run, engine = work() or (None, None)
    ended = time.perf_counter()
    if engine is not None:
        engine.close()
    closing = time.perf_counter() - ended
    seconds = ended - started
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
