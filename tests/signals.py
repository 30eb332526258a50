"""Signals, and the processes that tests start: they answer signals, and do not outlive the tests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence

# The request to be killed comes too late if the parent ended before it; then the parent is another process by now.
_UNLESS_ALONE = '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"'
_ANSWERED_BY_CHILDREN = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


def answer_signals() -> None:
    """Lets processes that are started from now on answer signals, also where this process ignores them.

    A script that starts the tests in the background has SIGINT ignored, and `nohup` SIGHUP. Every program that they
    start would inherit that, and a test that interrupts one would wait for ever. A signal that has a handler gets its
    default action in a new program.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in _ANSWERED_BY_CHILDREN:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignore)


def _ignore(number: int, frame: object) -> None:
    """Does nothing: this process goes on ignoring the signal."""


def ending_with_us(command: Sequence[str]) -> list[str]:
    """A command that is killed when the process that started it ends, however that ends (where Linux can do it)."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return [*command]
    return [setpriv, "--pdeathsig", "KILL", "/bin/sh", "-c", _UNLESS_ALONE, "sh", str(os.getpid()), *command]
