"""A signal at any moment of the command, from its first import to the end of Python, prints no traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from random import Random, randrange

import pytest

from tests.cli.processes import run
from tests.cli.workspace import Workspace
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
MOMENTS = 200 if SOAK else 4
"""Signals in each of the commands."""

AT_A_MOMENT = """
import signal, sys
seen, moment, number = 0, {moment}, {number}
def reached(frame, event, argument):
    global seen
    seen += 1
    if seen == moment:
        signal.raise_signal(number)
def tell():
    sys.setprofile(None)
    print("moments", seen, file=sys.stderr)
if not moment:
    import atexit
    atexit.register(tell)
{entry}
"""
"""The command, in which a signal comes when the interpreter has called or left so many functions; 0 counts them."""

START = "from deltamark.interfaces.cli.start import start; sys.setprofile(reached); start()"
WITHOUT_START = "sys.setprofile(reached); from deltamark.interfaces.cli.main import main; main()"
COMMANDS = (("run", "Incremental"), ("runs",))


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """The folder of a company with a store."""
    workspace = Workspace(tmp_path / "company", "sqlite:///store.db").written()
    assert run(workspace.folder, "run", "Incremental")[0] == 0
    return workspace.folder


def command(folder: Path, *arguments: str, entry: str, moment: int, number: int = 0) -> tuple[int, str]:
    """Runs a command; gives its status, and what it said on standard error."""
    if arguments[0] == "run":
        (folder / "store.db").unlink(missing_ok=True)
    program = AT_A_MOMENT.format(entry=entry, moment=moment, number=int(number))
    status, _, words = run(folder, *arguments, program=(sys.executable, "-c", program))
    return status, words


def moments_of(folder: Path, *arguments: str, entry: str) -> int:
    _, words = command(folder, *arguments, entry=entry, moment=0)
    return int(words.rpartition("moments ")[2])


@pytest.mark.soak
@pytest.mark.slow  # a process for each moment
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_signal_at_any_moment_of_a_command_prints_no_traceback(company: Path, arguments: tuple[str, ...]) -> None:
    total = moments_of(company, *arguments, entry=START)
    random, statuses = Random(SEED), Counter[int]()

    for turn in range(MOMENTS):
        number = random.choice([signal.SIGINT, signal.SIGTERM])
        # As many in each part of its life: most of it is loading modules.
        moment = 1 + (turn * total + random.randrange(total)) // MOMENTS
        status, words = command(company, *arguments, entry=START, moment=moment, number=number)

        statuses[status] += 1
        assert "Traceback" not in words, f"seed {SEED}, moment {moment} of {total}, {number.name}: {words}"
        assert "Exception ignored" not in words, f"seed {SEED}, moment {moment} of {total}, {number.name}: {words}"
        assert status in (128 + number, -number), f"seed {SEED}, moment {moment} of {total}: {status}, {words}"


@pytest.mark.slow  # like what it controls
def test_control_a_signal_while_modules_are_loaded_without_this_entry_prints_a_traceback(company: Path) -> None:
    status, words = command(company, "runs", entry=WITHOUT_START, moment=20_000, number=signal.SIGINT)

    assert "Traceback" in words
    assert status == -signal.SIGINT
