"""Runs the tasks of a level at the same time.

Each runs in a thread, their transactions one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Condition, Event

from deltamark.application.runs.run_log import TaskEnd
from deltamark.domain.runs.task_calls import TaskCall

MOST_AT_ONCE = 8
"""The most tasks of a level that run at the same time: each may hold a connection and what it has read."""


class Interrupted(KeyboardInterrupt):
    """The run was interrupted while this task was at work."""


class Turns:
    """Lets the tasks of a level write in the order of their ordinals, whichever is ready first.

    The log of a run therefore does not depend on which thread is quicker: it equals that of a run in one thread.
    """

    def __init__(self, ordinals: Sequence[int] = (), interrupted: Event | None = None) -> None:
        self._waiting = sorted(ordinals)
        self._moved = Condition()
        self._interrupted = interrupted or Event()

    @contextmanager
    def turn(self, ordinal: int) -> Iterator[None]:
        """A block that a task enters once all tasks before it have finished.

        :raises Interrupted: if the run was interrupted meanwhile.
        """
        self.wait(ordinal)
        self.check()
        yield

    def wait(self, ordinal: int) -> None:
        """Waits until all tasks before one have finished, or the run is interrupted."""
        with self._moved:
            self._moved.wait_for(lambda: self._interrupted.is_set() or self._waiting[:1] in ([], [ordinal]))

    def finish(self, ordinal: int) -> None:
        """Lets the next task write: this one will not write any more."""
        with self._moved:
            if ordinal in self._waiting:
                self._waiting.remove(ordinal)
            self._moved.notify_all()

    def interrupt(self) -> None:
        """Lets no further task write, and wakes those that wait."""
        self._interrupted.set()
        with self._moved:
            self._moved.notify_all()

    def check(self) -> None:
        """Raises `Interrupted` if the run was interrupted."""
        if self._interrupted.is_set():
            raise Interrupted


def run_in_parallel(
    execute: Callable[[TaskCall, Turns], TaskEnd], calls: Sequence[TaskCall], name: str, interrupted: Event
) -> tuple[dict[int, TaskEnd], BaseException | None]:
    """Runs the tasks of a level at the same time.

    :param execute: runs one of them; never raises an error of the task.
    :param name: of the threads.
    :param interrupted: is set when the run is interrupted.
    :returns: the ends of those that had begun, by ordinal, and what interrupted the run, or None.
    :raises BaseException: what `execute` raised otherwise, once all have ended.
    """
    turns = Turns([call.ordinal for call in calls], interrupted)

    def execute_in_turn(call: TaskCall) -> TaskEnd:
        try:
            return execute(call, turns)
        finally:
            turns.finish(call.ordinal)

    interruption: BaseException | None = None
    with ThreadPoolExecutor(min(len(calls), MOST_AT_ONCE), thread_name_prefix=name) as pool:
        futures = {call.ordinal: pool.submit(execute_in_turn, call) for call in calls}
        try:
            wait(futures.values())
        except BaseException as e:
            interruption = e
            turns.interrupt()
            for future in futures.values():
                future.cancel()
    begun = {ordinal: future for ordinal, future in futures.items() if not future.cancelled()}
    return {ordinal: future.result() for ordinal, future in begun.items()}, interruption
