"""The command as a separate process, for what only a process has: streams, signals, locale, a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.signals import ending_with_us

COMMAND = (sys.executable, "-m", "deltamark.interfaces.cli.start")
LONGEST_S = 240
"""How long a process that is about to end may take on a busy machine, in seconds."""

PAUSED = """
import os, signal, sys
from deltamark.interfaces.cli import main
import {module} as module

original = module.{name}
def paused(*arguments, **options):
    module.{name} = original
    {then}
    return original(*arguments, **options)
module.{name} = paused
main.main(sys.argv[1:])
"""


def environment(**changes: str | None) -> dict[str, str]:
    """The environment of this process with some variables changed, or removed if None; streams are buffered."""
    usual = {"PYTHONPATH": str(Path(__file__).parent.parent.parent), "PYTHONUNBUFFERED": None}
    found = {**os.environ, **usual, **changes}
    return {name: value for name, value in found.items() if value is not None}


def started(
    folder: Path, *arguments: str, program: tuple[str, ...] = COMMAND, env: Mapping[str, str] | None = None, **streams
):
    """Starts the command in a folder."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    command = ending_with_us([*program, *arguments])
    return subprocess.Popen(command, cwd=folder, env=env or environment(), **streams)


def ended(process: subprocess.Popen) -> tuple[int, bytes, str]:
    """Waits for the end of a process: exit status, standard output, standard error."""
    out, err = process.communicate(timeout=LONGEST_S)
    return process.returncode, out, (err or b"").decode("utf-8", "surrogateescape")


def run(folder: Path, *arguments: str, **options) -> tuple[int, bytes, str]:
    """Runs the command to its end."""
    return ended(started(folder, *arguments, **options))


def pausing_at(name: str, module: str, then: str = "signal.pause()", word: str = "reached") -> tuple[str, ...]:
    """A command that prints a word at the first call of a function, and then waits (for a signal)."""
    saying = f"os.write(1, {word!r}.encode() + bytes([10])); " if word else ""
    return (sys.executable, "-c", PAUSED.format(module=module, name=name, then=saying + then))
