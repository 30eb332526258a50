"""How long the command line takes to start, in CPU seconds of whole processes.

CPU time, user and system, is less noisy than the clock; of several processes the median counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Bench
from benchmarks.measure import ROUNDS

COMMANDS = {
    "python": None,
    "--version": ["--version"],
    "--help": ["--help"],
    "a mistyped command": ["shwo"],
    "show": ["show", "HR_Person", "E00042"],
    "history": ["history", "HR_Person", "E00042"],
    "runs": ["runs"],
    "validate": ["validate"],
    "dirty": ["dirty"],
    "run --dry-run": ["run", "Incremental", "--dry-run"],
}


PART = "start"
PROCESSES = 7 if ROUNDS > 1 else 1
"""How many processes of each kind are started."""


def measure_part(bench: Bench) -> None:
    """Measures how much CPU time the command line takes, from start to exit."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        folder = Path(name) / "company"
        _run(["init", str(folder)], Path(name))
        _run(["run", "Incremental"], folder)
        for label, arguments in COMMANDS.items():
            bench.add(PART, label, [_run(arguments, folder) for _ in range(PROCESSES)])


def _run(arguments: list[str] | None, folder: Path) -> float:
    """Runs a command in a process of its own; returns the CPU seconds that it took."""
    call = ["-c", "pass"] if arguments is None else ["-m", "deltamark.interfaces.cli.main", *arguments]
    before = os.times()
    subprocess.run([sys.executable, *call], cwd=folder, capture_output=True, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
