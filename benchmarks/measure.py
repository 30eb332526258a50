"""Measures the time and peak memory of one piece of work, in a process of its own."""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from attrs import evolve, field, frozen

import deltamark
from deltamark import Engine, JobRun

ROUNDS = int(os.environ.get("DELTAMARK_BENCHMARK_ROUNDS") or 3)
"""How often each piece of work is measured; one round shows that the benchmark works, not how fast the product is."""

_RESULT, _DONE, _FAILED = "result ", "the round is done\n", "the round failed\n"
_SHOWN_LINES = 30


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
    cpu_samples: Sequence[float] = ()
    idle_megabytes: float = 0.0
    """The median of the memory before the work."""

    @property
    def of_cpu(self) -> Measure:
        """The same in seconds of CPU of the process, which other work on the machine hardly changes."""
        return evolve(self, samples=self.cpu_samples)

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


class WorkFailed(Exception):
    """A piece of work ended with an error, or its result is not the expected one."""


def measure(
    work: str,
    *arguments: str,
    before: Callable[[], None] | None = None,
    rounds: int = ROUNDS,
    expected: Counts | None = None,
) -> Measure:
    """Runs a piece of work for some rounds; calls `before` before each.

    :param expected: what a job must count; otherwise its time is not taken.
    :raises WorkFailed: with what the work printed.
    """
    results = []
    for result in results_of(work, arguments, before, rounds):
        counts = Counts(**result.get("counts", {}))
        if expected is not None and counts != expected:
            raise WorkFailed(f"{work} {' '.join(arguments)} counted {counts}; the files say {expected}")
        results.append(result)
    tasks = {
        name: TaskMeasure(median(r["tasks"][name]["seconds"] for r in results), task["executed"], task["necessary"])
        for name, task in results[-1]["tasks"].items()
    }
    megabytes, closing, idle = (median(r.get(name, 0) for r in results) for name in ("megabytes", "closing", "idle"))
    samples = [seconds for r in results for seconds in (r["samples"] if "samples" in r else [r["seconds"]])]
    return Measure(samples, megabytes, tasks, closing, [result.get("cpu", 0.0) for result in results], idle)


def results_of(
    work: str, arguments: Sequence[str], before: Callable[[], None] | None, rounds: int
) -> Iterator[dict[str, Any]]:
    """Yields the result of each round of `python -m benchmarks.work --rounds WORK …`.

    That process imports everything once, and does each round in a copy of itself.

    :raises WorkFailed: with what the work printed.
    """
    command = [sys.executable, "-m", "benchmarks.work", "--rounds", work, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for _ in range(rounds):
                if before is not None:
                    before()
                with suppress(BrokenPipeError):  # it ended early: its output says why
                    process.stdin.write("\n")
                    process.stdin.flush()
                yield _result(process.stdout, work)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()


def _result(output: Iterable[str], work: str) -> dict[str, Any]:
    """Reads the output of one round up to its end."""
    result = None
    others: deque[str] = deque(maxlen=_SHOWN_LINES)
    for line in output:
        if line == _DONE and result is not None:
            return result
        if line == _FAILED:
            break
        if line.startswith(_RESULT):
            result = dict(json.loads(line.removeprefix(_RESULT)))
        elif line.strip():
            others.append(line)
    raise WorkFailed(f"{work} failed:\n{''.join(others)}".strip())


def do_rounds(work: Callable[[], None]) -> None:
    """Does a round of some work for each line of the standard input, each in a copy of this process.

    The copy ends without cleaning up: a library whose threads fail at the exit takes no checked result away.
    """
    if ROUNDS > 1:
        _import_everything()
    for _ in sys.stdin:
        sys.stdout.flush()
        copy = os.fork()
        if copy == 0:
            status = 1
            try:
                work()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(copy, 0)
        print(f"\n{_FAILED if status else _DONE}", end="", flush=True)


def _import_everything() -> None:
    for module in pkgutil.walk_packages(deltamark.__path__, "deltamark."):
        if not module.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):  # it comes with an extra
                import_module(module.name)
    for name in ("numpy", "pyarrow.compute", "pandas"):  # Arrow imports pandas with the first array where it is there
        with suppress(ModuleNotFoundError):
            import_module(name)


def report(work: Callable[[], tuple[JobRun, Engine] | None]) -> None:
    """Does the work, and prints its time, the peak memory of this process and the tasks of a job as JSON.

    The engine of a job is closed, which is measured separately. Imports are not part of the work: `benchmarks.start`
    measures them.
    """
    idle = _resident_megabytes()
    started, started_cpu = time.perf_counter(), time.process_time()
    run, engine = work() or (None, None)
    ended, cpu = time.perf_counter(), time.process_time() - started_cpu
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
    result = {
        "seconds": seconds,
        "cpu": cpu,
        "closing": closing,
        "megabytes": megabytes,
        "idle": idle,
        "tasks": tasks,
        "counts": counts,
    }
    print(f"\n{_RESULT}{json.dumps(result)}")


def _resident_megabytes() -> float:
    """The memory of this process now; 0 where the system does not say it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * resource.getpagesize() / (1 << 20)


def report_samples(samples: Sequence[float]) -> None:
    """Prints values that some work measured itself as JSON."""
    result = {"samples": list(samples), "closing": 0, "megabytes": 0, "tasks": {}}
    print(f"\n{_RESULT}{json.dumps(result)}")
