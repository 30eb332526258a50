"""The exit statuses of the command line, and which error has which."""

from __future__ import annotations

from deltamark.domain.errors import (
    AdoptionWaits,
    AlreadyRunning,
    ConfigurationError,
    DecommissionWaits,
    DeltamarkError,
    HistoryDiscarded,
    OtherConfigurationInUse,
    OutdatedChanges,
    StoreReadOnly,
    UsageError,
)

FAILED, NOT_STARTED, BLOCKED = 1, 2, 3
BROKEN_PIPE = 128 + 13


class NothingStarted(DeltamarkError):
    """The store could not even be opened."""


class InternalError(DeltamarkError):
    """An error inside Deltamark."""


_NOTHING_DONE = (
    ConfigurationError,
    UsageError,
    HistoryDiscarded,
    NothingStarted,
    AlreadyRunning,
    OtherConfigurationInUse,
    OutdatedChanges,
    StoreReadOnly,
)


def status_of_error(error: DeltamarkError) -> int:
    """The exit status of a command that ends with an error."""
    if isinstance(error, AdoptionWaits | DecommissionWaits):
        return BLOCKED
    return NOT_STARTED if isinstance(error, _NOTHING_DONE) else FAILED
