"""What is dear to open and can be shared: once in each process."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

Opened = TypeVar("Opened")


class OnePerProcess(Generic[Opened]):
    """Opens a thing once for each of its settings, however many parts of the process ask for it.

    A process that was forked opens its own: what it inherited has lost its threads, and must not even be closed.
    """

    def __init__(self) -> None:
        self._begin()
        self._inherited: list[dict[Hashable, Opened]] = []
        if hasattr(os, "register_at_fork"):  # Windows does not fork
            os.register_at_fork(after_in_child=self._begin_again)

    def _begin(self) -> None:
        self._lock = Lock()
        self._opened: dict[Hashable, Opened] = {}

    def _begin_again(self) -> None:
        self._inherited.append(self._opened)
        self._begin()

    @contextmanager
    def held(self, settings: Hashable, opening: Callable[[], Opened]) -> Iterator[Opened]:
        """The thing with these settings, for this block alone; opened if it is not."""
        with self._lock:
            if settings not in self._opened:
                self._opened[settings] = opening()
            yield self._opened[settings]
