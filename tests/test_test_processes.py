"""Processes that tests start: they answer signals that the parent of the tests ignores, and never outlive the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATIENCE_S = 300
IGNORING = ("sh", "-c", 'trap "" HUP INT QUIT TERM; exec "$@"', "sh", sys.executable)
"""As a script has it that starts the tests in the background, or with `nohup`."""

INTERRUPTING = """
import signal, subprocess, sys
from tests.signals import answer_signals

answer_signals()
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    child = subprocess.Popen(["sh", "-c", "echo here; exec sleep 600"], stdout=subprocess.PIPE)
    child.stdout.readline()
    child.send_signal(number)
    assert child.wait() == -number
"""

DYING = """
import os, signal, subprocess
from tests.postgresql import running
from tests.signals import answer_signals, ending_with_us

answer_signals()
with running() as server:
    child = subprocess.Popen(ending_with_us(["sleep", "600"]))
    print(server.postmaster, child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow  # runs the tests of a process
def test_tests_that_interrupt_a_process_end_under_a_parent_that_ignores_signals() -> None:
    test = "tests/cli/test_signals.py::test_a_signal_after_the_work_ends_the_process_silently"

    done = subprocess.run(
        [*IGNORING, "-m", "pytest", test],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_every_signal_ends_what_tests_start_under_a_parent_that_ignores_signals() -> None:
    done = subprocess.run([*IGNORING, "-c", INTERRUPTING], cwd=ROOT, timeout=PATIENCE_S, check=False)

    assert done.returncode == 0


def test_servers_and_processes_end_with_the_tests_that_started_them_however_those_end() -> None:
    died = subprocess.run(
        [*IGNORING, "-c", DYING], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )

    assert died.returncode == -signal.SIGKILL, died.stderr
    until = time.monotonic() + PATIENCE_S
    while left := [process for process in died.stdout.split() if is_running(process)]:
        assert time.monotonic() < until, f"these are running still: {left}"
        time.sleep(0.05)


def is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
