"""Explains that a process gets no more memory.

That is no internal error, and its user can help.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deltamark.domain.errors import DeltamarkError

_NO_THREAD = "can't start new thread"
"""The text of the `RuntimeError` that Python raises where the system refuses a thread or the memory for its stack."""


@contextmanager
def memory_errors_explained(consequence: str) -> Iterator[None]:
    """Explains to a user that the block got no more memory, or no thread.

    :param consequence: a sentence that says what happened to the work.
    :raises DeltamarkError: in place of `MemoryError` and of the `RuntimeError` for threads.
    """
    try:
        yield
    except MemoryError as e:
        raise _explained("memory", consequence) from e
    except RuntimeError as e:
        if str(e) != _NO_THREAD:
            raise
        raise _explained("memory for a thread, or has as many threads as it may have", consequence) from e


def _explained(lacking: str, consequence: str) -> DeltamarkError:
    return DeltamarkError(
        f"this process got no more {lacking}. {consequence} Raise its limits (ulimit -v, ulimit -u, those of its "
        "container) or look what else takes the memory of the machine, then run again."
    )
