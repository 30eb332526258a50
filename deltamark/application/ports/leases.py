"""The port to leases: which run may run which task, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from deltamark.application.ports.records import Lease


class LeaseReading(Protocol):
    """Who holds what."""

    def leases(self, tasks: Sequence[str]) -> list[Lease]:
        """The leases of some tasks, also those that have expired, by task."""
        ...

    def live_runs(self) -> set[int]:
        """The runs that hold a lease which has not expired: their processes were heard from."""
        ...


class LeaseWriting(Protocol):
    """Taking and giving back, in the transactions of a run."""

    def drop_expired_leases(self, tasks: Sequence[str]) -> list[Lease]:
        """Drops the expired leases of some tasks with all others of the same runs; gives one for each such run."""
        ...

    def take_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> None:
        """Takes the leases of some tasks, which nobody holds; they expire so long after this transaction."""
        ...

    def keeps_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> bool:
        """Whether a run still holds the leases of its tasks; if it does, this transaction renews them at its end."""
        ...

    def release_leases(self, run: int) -> None:
        """Gives back the leases of a run."""
        ...
