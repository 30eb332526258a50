"""Signals that stop the process: Ctrl-C, SIGTERM of a service manager, SIGHUP."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread, Timer, main_thread
from types import FrameType

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
_AGAIN_S = 0.01


class Stopped(KeyboardInterrupt):
    """A signal asked the process to stop.

    The running task is undone and recorded as interrupted.
    """


class StopSignal:
    """The signal that asked the process to stop, if one did.

    It is kept beside the exception, which a library that was interrupted may swallow.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._report_unraisable = sys.unraisablehook

    @property
    def status(self) -> int:
        """The exit status that shells give a process that a signal ended."""
        return 128 + (signal.SIGINT if self.signal is None else self.signal)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Raises `Stopped` in the block on a signal, unless the parent process ignores that signal."""
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        watched = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        for number in watched:
            signal.signal(number, self._stop)
        unraisable, sys.unraisablehook = sys.unraisablehook, self._raise_again
        self._report_unraisable = unraisable
        try:
            yield
        finally:
            sys.unraisablehook = unraisable
            for number in watched:
                signal.signal(number, before[number] or signal.SIG_DFL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if _is_in_finalizer(frame):
            # What a finalizer raises is printed and forgotten: the signal is raised again when it has ended.
            _raise_soon(number)
        else:
            raise Stopped

    def _raise_again(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Raises the signal again that came where nothing can be raised, such as in a generator that is cleaned up."""
        if isinstance(unraisable.exc_value, Stopped) and self.signal is not None:
            _raise_soon(self.signal)
        else:
            self._report_unraisable(unraisable)


def _raise_soon(number: int) -> None:
    again = Timer(_AGAIN_S, _raise_in_main_thread, [number])
    again.daemon = True
    again.start()


def _raise_in_main_thread(number: int) -> None:
    """Raises a signal so that it also ends a call of the system in which the main thread waits."""
    main = main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:  # Windows
        signal.raise_signal(number)


def _is_in_finalizer(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def end_by_signals() -> None:
    """From now on a signal ends the process at once, in silence.

    It is for a process that only has to end.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def finishing_first(stop: Event) -> Iterator[None]:
    """Sets `stop` on the first signal in the block.

    The second has its usual effect.

    The handler leaves it to a thread to set the event: if the interrupted code is just waiting for the event, setting
    it in the handler would deadlock.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    watched = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    requests = SimpleQueue[bool]()
    is_stop_requested = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal is_stop_requested
        handler = before[number]
        if not is_stop_requested:
            is_stop_requested = True
            requests.put(True)
        elif callable(handler):
            handler(number, frame)
        else:
            raise KeyboardInterrupt

    def wait() -> None:
        if requests.get():
            stop.set()

    waiting = Thread(target=wait, name="waits for a signal", daemon=True)
    waiting.start()
    for number in watched:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number in watched:
            signal.signal(number, before[number] or signal.SIG_DFL)
        requests.put(False)
        waiting.join()
