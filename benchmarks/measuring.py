"""Measuring one piece of work in a process of its own: its time and its peak memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from attrs import frozen

ROUNDS = 3


@frozen
class Measure:
    """Seconds and peak memory in megabytes, the medians of some rounds."""

    seconds: float
    megabytes: float


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
    return Measure(median(r["seconds"] for r in found), median(r["megabytes"] for r in found))


def report(work: Callable[[], None]) -> None:
    """Does the work and prints its time and this process's peak memory as JSON."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
