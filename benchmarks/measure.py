"""Measures the time and peak memory of one piece of work, in a process of its own."""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
class Counts:
    """How many resources a job created, updated and deleted."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@frozen
class Measure:
    """Several rounds: their seconds, and the median of the peak memory in megabytes; for a job also its tasks."""

    samples: Sequence[float]
    megabytes: float
    tasks: Mapping[str, TaskMeasure] = field(factory=dict)
    closing: float = 0.0
    """The seconds that it took to close the store, which cleans up an SQLite file."""

    @property
    def seconds(self) -> float:
        """The median of the seconds."""
        return median(self.samples)

    @property
    def executed(self) -> int:
        """The number of values that the tasks computed."""
        return sum(task.executed for task in self.tasks.values())

    @property
    def necessary(self) -> int:
        """The number of computed values that differed."""
        return sum(task.necessary for task in self.tasks.values())


def measure(
    work: str,
    *arguments: str,
    before: Callable[[], None] | None = None,
    rounds: int = ROUNDS,
    expected: Counts | None = None,
) -> Measure:
    """Runs `python -m benchmarks.work WORK …` for some rounds; calls `before` before each.

    :param expected: what a job must count; otherwise its time is not taken.
    """
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
        counts = Counts(**results[-1].get("counts", {}))
        if expected is not None and counts != expected:
            raise SystemExit(f"{work} {' '.join(arguments)} counted {counts}; the files say {expected}")
    tasks = {
        name: TaskMeasure(median(r["tasks"][name]["seconds"] for r in results), task["executed"], task["necessary"])
        for name, task in results[-1]["tasks"].items()
    }
    megabytes, closing = (median(r[name] for r in results) for name in ("megabytes", "closing"))
    samples = [seconds for r in results for seconds in (r["samples"] if "samples" in r else [r["seconds"]])]
    return Measure(samples, megabytes, tasks, closing)


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
    if ROUNDS > 1:
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
    counts = {} if run is None else {name: getattr(run.counts, name) for name in ("inserted", "updated", "deleted")}
    result = {"seconds": seconds, "closing": closing, "megabytes": megabytes, "tasks": tasks, "counts": counts}
    print(json.dumps(result))


def report_samples(samples: Sequence[float]) -> None:
    """Prints values that some work measured itself as JSON."""
    print(json.dumps({"samples": list(samples), "closing": 0, "megabytes": 0, "tasks": {}}))
