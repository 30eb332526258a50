"""Ends a user's function when its run is cancelled or interrupted.

In the main thread a function is called there, and a signal ends a call of the system in which it waits. Elsewhere no
signal arrives, so the function is called in a thread of its own, which is left behind where it does not end.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Protocol, TypeAlias, TypeVar

from deltamark.domain.errors import DeltamarkError

ReasonToEnd: TypeAlias = Callable[[], BaseException | None]
"""Returns what is to be raised in place of the function's result, or None while it may go on.

Called again and again, from any thread.
"""

ASK_AGAIN_S = 1.0

_WAKING = getattr(signal, "SIGURG", None) if hasattr(signal, "pthread_kill") else None
"""Wakes the main thread. By default this signal does nothing."""

_Result = TypeVar("_Result")


class UserTaskCancelled(DeltamarkError):
    """The run was cancelled while a user function was called.

    Nothing was changed.

    :param function: its name, `package.module:function`.
    """

    def __init__(self, function: str) -> None:
        self.function = function
        super().__init__(f"function {function} was ended, because the run was cancelled. Nothing was changed.")


class Call(Protocol):
    """Calls a function."""

    def __call__(self, work: Callable[[], _Result], /) -> _Result:
        """Returns or raises what the function does, unless there is a reason to end it: that is raised."""
        ...


def call_directly(work: Callable[[], _Result], /) -> _Result:
    """Calls a function that nothing ends."""
    return work()


class _Ended(KeyboardInterrupt):
    """Ends the function, as Ctrl-C would."""


@contextmanager
def ended_for(reason_to_end: ReasonToEnd) -> Iterator[Call]:
    """A block that calls a function, any number of times, and ends it where there is a reason to."""
    if threading.current_thread() is threading.main_thread() and _WAKING is not None:
        with _in_main_thread(_WAKING, reason_to_end):
            yield call_directly
    else:
        own_thread = _OwnThread(reason_to_end)
        try:
            yield own_thread.call
        finally:
            own_thread.end()


@contextmanager
def _in_main_thread(waking: signal.Signals, reason_to_end: ReasonToEnd) -> Iterator[None]:
    watch = _Watch(waking, reason_to_end)
    try:
        before = signal.signal(waking, watch.interrupt)
        try:
            watch.begin()
            yield
        finally:
            watch.end()
            signal.signal(waking, signal.SIG_DFL if before is None else before)
    except BaseException as e:
        watch.end()  # also where the interruption came while the block ended
        if watch.reason is not None:
            raise watch.reason from (None if isinstance(e, _Ended) else e)
        raise


class _Watch:
    """Asks, in a thread, whether there is a reason to end, and then signals the main thread until the block ends."""

    def __init__(self, waking: signal.Signals, reason_to_end: ReasonToEnd) -> None:
        self._waking = waking
        self._ask = reason_to_end
        self._main = threading.get_ident()
        self._has_ended = threading.Event()
        self.reason: BaseException | None = None

    def begin(self) -> None:
        threading.Thread(target=self._work, name="may end a function", daemon=True).start()

    def end(self) -> None:
        self._has_ended.set()

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handles the signal."""
        if self.reason is not None and not self._has_ended.is_set():
            raise _Ended

    def _work(self) -> None:
        while not self._has_ended.wait(ASK_AGAIN_S):
            self.reason = self.reason or _asked(self._ask)
            if self.reason is not None:
                signal.pthread_kill(self._main, self._waking)


class _OwnThread:
    """A thread that calls functions for another one, which may leave it behind."""

    def __init__(self, reason_to_end: ReasonToEnd) -> None:
        self._ask = reason_to_end
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="calls a function", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], _Result], /) -> _Result:
        outcomes: SimpleQueue[tuple[_Result | None, BaseException | None]] = SimpleQueue()
        context = copy_context()

        def calls() -> None:
            try:
                outcomes.put((context.run(work), None))
            except BaseException as e:
                outcomes.put((None, e))

        self._calls.put(calls)
        while True:
            try:
                result, error = outcomes.get(timeout=ASK_AGAIN_S)
            except Empty:
                reason = _asked(self._ask)
                if reason is None:
                    continue
                self._interrupt()
                raise reason from None
            if error is not None:
                raise error
            return result  # type: ignore[return-value]  # None only where the work returned None

    def end(self) -> None:
        """Ends the thread once it is idle."""
        self._calls.put(None)

    def _interrupt(self) -> None:
        """Has the thread raise an exception when it next runs Python code.

        While it does not, a profiler of another thread hangs in CPython 3.11 (`DO_TRACING` does not get past `RESUME`).
        """
        if self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(_Ended))

    def _work(self) -> None:
        with suppress(_Ended):  # which may come late
            while (calls := self._calls.get()) is not None:
                calls()


def _asked(ask: ReasonToEnd) -> BaseException | None:
    try:
        return ask()
    except DeltamarkError:  # the store does not answer: it is asked again
        return None
