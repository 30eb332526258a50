"""What comparing and computing may take of the machine, and what is wrong with such limits."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import frozen

from deltamark.domain.values import shown

_SIZE = re.compile(r"[1-9][0-9]{0,6}(\.[0-9]{1,3})? ?(MB|GB|MiB|GiB)")
_MOST_THREADS = 1_024


@frozen(kw_only=True)
class WorkLimits:
    """The limits of one process.

    :param memory: the most memory of a query, such as ``1GB``; what needs more is written to the temporary folder.
    :param threads: how many threads a query uses.
    :param temporary: where temporary folders are made; None for the temporary folder of the system.
    """

    memory: str = "1GB"
    threads: int = 2
    temporary: Path | None = None


def memory_fault(memory: object) -> str | None:
    """What is wrong with a limit of memory."""
    if isinstance(memory, str) and _SIZE.fullmatch(memory):
        return None
    return f'is {shown(memory)}; write a size such as "500MB" or "2GB"'


def threads_fault(threads: object) -> str | None:
    """What is wrong with a number of threads."""
    if isinstance(threads, int) and not isinstance(threads, bool) and 1 <= threads <= _MOST_THREADS:
        return None
    return f"is {shown(threads)}; write a whole number from 1 to {_MOST_THREADS:,} without quotes, such as 2"
