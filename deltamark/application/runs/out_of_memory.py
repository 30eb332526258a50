"""A process that gets no more memory: no error inside Deltamark, for whoever runs it can do something about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deltamark.domain.errors import DeltamarkError

_NO_THREAD = "can't start new thread"
"""All that Python says where the system gives no memory for the stack of a thread, or no thread."""


@contextmanager
def lack_of_memory_told(consequence: str) -> Iterator[None]:
    """Tells a user that the block got no more memory, or no thread for lack of it.

    :param consequence: a sentence that says what became of the work.
    :raises DeltamarkError: as said.
    """
    try:
        yield
    except MemoryError as e:
        raise _told("memory", consequence) from e
    except RuntimeError as e:
        if str(e) != _NO_THREAD:
            raise
        raise _told("memory for a thread, or has as many threads as it may have", consequence) from e


def _told(lacking: str, consequence: str) -> DeltamarkError:
    return DeltamarkError(
        f"this process got no more {lacking}. {consequence} Raise its limits (ulimit -v, ulimit -u, those of its "
        "container) or look what else takes the memory of the machine, then run again."
    )
