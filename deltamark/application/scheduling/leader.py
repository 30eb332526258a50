"""Leader election: of all schedulers that share a store, one starts jobs.

The leader holds a lease like those of tasks, under a name that no task can have. See ADR 0013 for what leases promise.
"""

from __future__ import annotations

from contextlib import suppress
from secrets import randbelow

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.store import Store
from deltamark.application.runs.leases import Heartbeat
from deltamark.domain.errors import DeltamarkError

SCHEDULER = "/schedule"
"""No identifier of a task holds a slash."""


class Leadership:
    """The right of one scheduler to start jobs, as long as it holds the lease."""

    def __init__(self, store: Store, lease_s: float) -> None:
        self._store = store
        self._lease_s = lease_s
        self._holder = -1 - randbelow(2**62)  # in the place of a run's number; those are positive
        self._heartbeat: Heartbeat | None = None

    def is_held(self, reading: Reading) -> bool:
        """Whether this scheduler leads."""
        return any(lease.is_live and lease.run == self._holder for lease in reading.leases([SCHEDULER]))

    def is_kept(self, tx: Writing) -> bool:
        """Extends the lease with this transaction.

        False if another scheduler leads.
        """
        return tx.extend_leases(self._holder, [SCHEDULER], self._lease_s)

    def take(self) -> bool:
        """Becomes the leader if there is none, or if the lease of the last one has expired."""
        self._stop_heartbeat()
        if has_leader(self._store):
            return False
        with self._store.transaction() as tx:
            tx.drop_expired_leases([SCHEDULER])
            if tx.leases([SCHEDULER]):
                return False
            tx.take_leases(self._holder, [SCHEDULER], self._lease_s)
        self._heartbeat = Heartbeat(self._store, self._holder, self._lease_s)
        self._heartbeat.start()
        return True

    def resign(self) -> None:
        """Gives the lease back, if the store can be written.

        Another scheduler can then lead at once.
        """
        if self._heartbeat is not None:
            self._stop_heartbeat()
            with suppress(DeltamarkError), self._store.transaction() as tx:
                tx.release_leases(self._holder)

    def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()


def has_leader(store: Store) -> bool:
    """Whether some scheduler leads."""
    with store.reading() as reading:
        return any(lease.is_live for lease in reading.leases([SCHEDULER]))
