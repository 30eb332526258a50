"""Calling a function that a user wrote: what it raises, and what it must not do, becomes a failure of its task."""

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

from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.errors import UsageError, UserTaskFailed
from deltamark.domain.values import escaped

if TYPE_CHECKING:
    import pyarrow as pa

MOST_LINES = 20
LONGEST_LINE = 500
ENDED_A_FORK = 70
"""The exit status of a forked process that came out of a function."""

_calling: ContextVar[str] = ContextVar("the function that is being called", default="")


class _Aside:
    """Sends what is printed to standard error, as long as anybody in the process asks for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._asked = 0
        self._before: TextIO = sys.stdout

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._asked:
                self._before, sys.stdout = sys.stdout, sys.stderr
            self._asked += 1
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                if not self._asked:
                    sys.stdout = self._before


printing_aside = _Aside()
"""A block in which code of users prints to standard error: standard output is for the results of commands."""


def refuse_inside_a_function(what: str) -> None:
    """Refuses what would wait for the very task that calls the function, for ever.

    :raises UsageError: if a function of a task is being called here.
    """
    name = _calling.get()
    if name:
        raise UsageError(
            f"function {name} of a task calls {what}: the task that calls it has a transaction open, which that would "
            "wait for. Let another task of the job do this, after it."
        )


def call(function: UserTask, batch: pa.Table) -> object:
    """What a function gives for a batch.

    :raises UserTaskFailed: if it raises something, with the lines of the traceback that are the user's.
    :raises KeyboardInterrupt: if the process is asked to stop meanwhile.
    """
    with _guarded(function):
        token = _calling.set(function.name)
        try:
            with printing_aside():
                return _of_the_user(function, batch)
        except KeyboardInterrupt:
            raise
        except SystemExit as e:
            raise UserTaskFailed(function.name, f"called sys.exit({e.code!r})", _lines(e)) from e
        except BaseException as e:
            raise UserTaskFailed(function.name, f"raised {type(e).__name__}", _lines(e)) from e
        finally:
            _calling.reset(token)


def _of_the_user(function: UserTask, batch: pa.Table) -> object:
    """Calls the function; in a traceback, what is above this frame is ours."""
    return function.function(batch)


@contextmanager
def _guarded(function: UserTask) -> Iterator[None]:
    """Ends a process that the function forked when it comes out of the function: the store belongs to its parent."""
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            print(
                f"deltamark: a process that function {function.name} forked came out of it, and was ended.",
                file=sys.stderr,
                flush=True,
            )
            os._exit(ENDED_A_FORK)


def _lines(error: BaseException) -> tuple[str, ...]:
    """The last lines of the traceback, from the user's function on."""
    shown = traceback.TracebackException(type(error), error, _theirs(error.__traceback__), limit=-MOST_LINES)
    text = "".join(shown.format())
    lines = [escaped(line)[:LONGEST_LINE] for line in text.rstrip().split("\n")]
    return tuple(lines[-MOST_LINES:])


def _theirs(frames: TracebackType | None) -> TracebackType | None:
    """The frames below the one that calls the function; all where there is none such."""
    theirs = frames
    while theirs is not None:
        if theirs.tb_frame.f_code is _of_the_user.__code__:
            return theirs.tb_next
        theirs = theirs.tb_next
    return frames
