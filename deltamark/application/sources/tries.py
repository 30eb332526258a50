"""Reads a source again from the beginning where what failed may have passed: one rule for all packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.application.services import Wait

WAITS_S = (1.0, 5.0, 25.0)
"""How long to wait before each further reading, in seconds."""

_T = TypeVar("_T")


def tried(read: Callable[[], _T], restart: Callable[[], None], wait: Wait) -> tuple[_T, tuple[str, ...]]:
    """Reads, and again from the beginning after a failure that may have passed; all others are raised at once.

    :param restart: drops what was read before.
    :return: what was read, and the problems of the readings before.
    :raises SourceUnreachable: the last failure.
    """
    problems: list[str] = []
    waits = iter(WAITS_S)
    while True:
        try:
            return read(), tuple(problems)
        except SourceUnreachable as failure:
            wait_s = next(waits, None)
            if not failure.is_temporary or wait_s is None:
                raise
            problems.append(failure.problem)
        restart()
        wait(wait_s)
