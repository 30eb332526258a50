"""Calls a user's function.

Errors that it raises, and forbidden actions, become failures of its task.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from deltamark.application.derivation.user_functions.cancellation import Call, UserTaskCancelled, call_directly
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.errors import UsageError, UserTaskFailed
from deltamark.domain.values import escaped

if TYPE_CHECKING:
    import pyarrow as pa

MOST_LINES = 20
LONGEST_LINE = 500
FORK_STOPPED = 70
"""The exit status of a forked process that returned from a function."""

_calling: ContextVar[str] = ContextVar("the function that is being called", default="")


class _Redirect:
    """Redirects standard output to standard error while any thread is in a block."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0
        self._before: TextIO = sys.stdout

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._blocks:
                self._before, sys.stdout = sys.stdout, sys.stderr
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if not self._blocks:
                    sys.stdout = self._before


stdout_to_stderr = _Redirect()
"""A block in which users' code prints to standard error: standard output is for the results of commands."""


def refuse_in_function(what: str) -> None:
    """Refuses what would wait forever for the task that calls the function.

    :raises UsageError: if this runs inside a function of a task.
    """
    name = _calling.get()
    if name:
        raise UsageError(
            f"function {name} of a task calls {what}, which would wait forever for the transaction in which the "
            "function is called: that of a dry run or of a verification. Let another task of the job do this, after it."
        )


def call_function(function: UserTask, batch: pa.Table, call: Call | None = None) -> object:
    """Returns the result of a function for a batch.

    :param call: calls it while no transaction is open: it may change the store. None calls it in this thread, where it
        may only read.
    :raises UserTaskFailed: if the function raises an error, with the user's lines of the traceback.
    :raises KeyboardInterrupt: if the process is interrupted meanwhile.
    """
    token = _calling.set("" if call else function.name)
    try:
        with stdout_to_stderr():
            return (call or call_directly)(lambda: _guarded(function, batch))
    except (KeyboardInterrupt, UserTaskCancelled):
        raise
    except SystemExit as e:
        raise UserTaskFailed(function.name, f"called sys.exit({e.code!r})", _lines(e)) from e
    except BaseException as e:
        raise UserTaskFailed(function.name, f"raised {type(e).__name__}", _lines(e)) from e
    finally:
        _calling.reset(token)


def _call_user_code(function: UserTask, batch: pa.Table) -> object:
    """Calls the function.

    Frames above this one in a traceback are not the user's.
    """
    return function.function(batch)


def _guarded(function: UserTask, batch: pa.Table) -> object:
    """Calls the function, and stops a process that it forked if it returns from the function.

    The store belongs to its parent.
    """
    process = os.getpid()
    try:
        return _call_user_code(function, batch)
    finally:
        if os.getpid() != process:
            print(
                f"deltamark: function {function.name} forked a process that returned from it; the process was stopped.",
                file=sys.stderr,
                flush=True,
            )
            os._exit(FORK_STOPPED)


def _lines(error: BaseException) -> tuple[str, ...]:
    """The last lines of the traceback, from the user's function on."""
    shown = traceback.TracebackException(type(error), error, _user_frames(error.__traceback__), limit=-MOST_LINES)
    text = "".join(shown.format())
    lines = [escaped(line)[:LONGEST_LINE] for line in text.rstrip().split("\n")]
    return tuple(lines[-MOST_LINES:])


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    """The frames below the one that calls the function.

    All frames where there is no such frame.
    """
    frame = frames
    while frame is not None:
        if frame.tb_frame.f_code is _call_user_code.__code__:
            return frame.tb_next
        frame = frame.tb_next
    return frames
