"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from threading import Lock, Thread
from typing import Any

from deltamark.domain.errors import WorkersLost
from deltamark.infrastructure.workers.call import Call, Desk, explained

_desks: list[Desk] = []
"""What this process was given when it began, where it is a worker."""


def _begin(desk: Desk) -> None:
    _desks[:] = [desk]
    Thread(target=_end_with_the_run, daemon=True).start()


def _end_with_the_run() -> None:
    """Ends this process when that of the run has ended: one that was killed tells its pool nothing."""
    run = multiprocessing.parent_process()
    if run is not None:
        wait([run.sentinel])
        os._exit(1)


def _call(call: Call, function: Call, arguments: tuple[Any, ...]) -> Any:
    return call(_desks[0], function, arguments)


class ProcessWorkers:
    """A number of processes, begun when they are needed first.

    They are new ones, not copies: whatever threads and connections this process has, they begin without. The address of
    the store reaches them through a pipe, which no list of processes shows.

    :param call: what they call functions by.
    """

    def __init__(self, count: int, call: Call, desk: Desk) -> None:
        self._count = count
        self._call = call
        self._desk = desk
        self._lock = Lock()
        self._pool: ProcessPoolExecutor | None = None

    @property
    def parallel(self) -> int:
        return self._count

    def submit(self, function: Call, /, *arguments: Any) -> Future[Any]:
        with self._lock:
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(self._count, context, _begin, (self._desk,))
            pool = self._pool
        try:
            future = pool.submit(_call, self._call, function, arguments)
        except BrokenProcessPool as e:
            raise self._explained(e) from e
        return explained(future, self._explained)

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, BrokenProcessPool | CancelledError):
            return error
        self.close()
        lost = WorkersLost(
            f"a worker process of {self._count} ended in the middle of its work",
            "Where memory was short, use fewer workers or a smaller `memory`. A program that opens an engine with "
            'workers begins its work below `if __name__ == "__main__":`. Then resume the run.',
        )
        lost.__cause__ = error
        return lost

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
