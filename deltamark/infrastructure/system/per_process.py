"""One instance per process of what is expensive to open."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

Instance = TypeVar("Instance")


class OnePerProcess(Generic[Instance]):
    """Opens one instance for each of its settings, which all parts of the process share.

    A forked process opens its own: the inherited one has lost its threads and must not even be closed.
    """

    def __init__(self) -> None:
        self._start()
        self._inherited: list[dict[Hashable, Instance]] = []
        if hasattr(os, "register_at_fork"):  # Windows does not fork
            os.register_at_fork(after_in_child=self._start_in_fork)

    def _start(self) -> None:
        self._lock = Lock()
        self._instances: dict[Hashable, Instance] = {}

    def _start_in_fork(self) -> None:
        self._inherited.append(self._instances)
        self._start()

    @contextmanager
    def borrowed(self, settings: Hashable, open_instance: Callable[[], Instance]) -> Iterator[Instance]:
        """The instance with these settings, opened if there is none.

        No other thread has it during the block.
        """
        with self._lock:
            if settings not in self._instances:
                self._instances[settings] = open_instance()
            yield self._instances[settings]
