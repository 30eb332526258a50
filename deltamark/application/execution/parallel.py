"""Tasks that run at the same time: each in a thread, their transactions one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Condition, Event

from deltamark.application.runs.run_log import TaskEnd
from deltamark.domain.runs.task_calls import Occurrence

MOST_AT_ONCE = 8
"""How many tasks of a level run at the same time: each may hold a connection and what it has read."""


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop at once while this task was at work."""


class Turns:
    """Gives each task of a level its turn to write, in the order of the ordinals, whichever is ready first.

    So the log of a run does not depend on which thread was quicker: it is the one of a run in one thread.
    """

    def __init__(self, ordinals: Sequence[int] = ()) -> None:
        self._waiting = sorted(ordinals)
        self._moved = Condition()
        self._interrupted = Event()

    @contextmanager
    def turn(self, ordinal: int) -> Iterator[None]:
        """A block for which a task waits until all before it are through.

        :raises Interrupted: if the run was interrupted meanwhile.
        """
        self.wait(ordinal)
        self.check()
        yield

    def wait(self, ordinal: int) -> None:
        """Waits until all tasks before one are through, or the run is interrupted."""
        with self._moved:
            self._moved.wait_for(lambda: self._interrupted.is_set() or self._waiting[:1] in ([], [ordinal]))

    def through(self, ordinal: int) -> None:
        """A task will not write any more."""
        with self._moved:
            if ordinal in self._waiting:
                self._waiting.remove(ordinal)
            self._moved.notify_all()

    def interrupt(self) -> None:
        """Nobody gets a turn any more."""
        self._interrupted.set()
        with self._moved:
            self._moved.notify_all()

    def check(self) -> None:
        """Raises `Interrupted` where the run was interrupted."""
        if self._interrupted.is_set():
            raise Interrupted


def side_by_side(
    work: Callable[[Occurrence, Turns], TaskEnd], group: Sequence[Occurrence], name: str
) -> tuple[dict[int, TaskEnd], BaseException | None]:
    """Has the tasks of a level run at the same time.

    :param work: never raises for what is an error of the task.
    :returns: how each ended that had begun, by ordinal, and what interrupted the run, if something did.
    :raises BaseException: what came out of a task otherwise, once all have ended.
    """
    turns = Turns([occurrence.ordinal for occurrence in group])

    def in_turn(occurrence: Occurrence) -> TaskEnd:
        try:
            return work(occurrence, turns)
        finally:
            turns.through(occurrence.ordinal)

    interruption: BaseException | None = None
    with ThreadPoolExecutor(min(len(group), MOST_AT_ONCE), thread_name_prefix=name) as pool:
        futures = {occurrence.ordinal: pool.submit(in_turn, occurrence) for occurrence in group}
        try:
            wait(futures.values())
        except BaseException as e:
            interruption = e
            turns.interrupt()
            for future in futures.values():
                future.cancel()
    begun = {ordinal: future for ordinal, future in futures.items() if not future.cancelled()}
    return {ordinal: future.result() for ordinal, future in begun.items()}, interruption
