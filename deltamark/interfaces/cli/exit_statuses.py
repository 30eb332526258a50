"""The exit statuses of the command line, and which error has which."""

from __future__ import annotations

from deltamark.domain.errors import AlreadyRunning, ConfigurationError, DeltamarkError, HistoryDiscarded, UsageError

FAILED, NOT_STARTED = 1, 2
BROKEN_PIPE = 128 + 13


class NothingStarted(DeltamarkError):
    """The store could not even be opened."""


_NOTHING_DONE = (ConfigurationError, UsageError, HistoryDiscarded, NothingStarted, AlreadyRunning)


def status_of_error(error: DeltamarkError) -> int:
    """The exit status of a command that ends with an error."""
    return NOT_STARTED if isinstance(error, _NOTHING_DONE) else FAILED
