"""A right that one process has at a time, under a name: to start jobs, to deliver to a sink, or to send notifications.

It is a lease like those of tasks, under a name that no task can have. See ADR 0013 for what leases promise.
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
"""To start jobs at their times. No identifier of a task holds a slash."""


def sink_lease(sink: str) -> str:
    """The name of the right to deliver to a sink."""
    return f"/sink/{sink}"


def channel_lease(channel: str) -> str:
    """The name of the right to send notifications by a channel."""
    return f"/notify/{channel}"


class NamedLease:
    """The right of one process, as long as it holds the lease.

    :param name: one with a slash, which no identifier of a task holds.
    """

    def __init__(self, store: Store, name: str, lease_s: float) -> None:
        self._store = store
        self._name = name
        self._lease_s = lease_s
        self._holder = -1 - randbelow(2**62)  # in the place of a run's number; those are positive
        self._heartbeat: Heartbeat | None = None

    def is_held(self, reading: Reading) -> bool:
        """Whether this process holds it."""
        return any(lease.is_live and lease.run == self._holder for lease in reading.leases([self._name]))

    def is_kept(self, tx: Writing) -> bool:
        """Extends the lease with this transaction.

        False if another process holds it.
        """
        return tx.extend_leases(self._holder, [self._name], self._lease_s)

    def take(self) -> bool:
        """Takes it if no process has it, or if that of the last one has expired."""
        self._stop_heartbeat()
        if is_taken(self._store, self._name):
            return False
        with self._store.transaction() as tx:
            tx.drop_expired_leases([self._name])
            if tx.leases([self._name]):
                return False
            tx.take_leases(self._holder, [self._name], self._lease_s)
        self._heartbeat = Heartbeat(self._store, self._holder, self._lease_s)
        self._heartbeat.start()
        return True

    def release(self) -> None:
        """Gives the lease back, if the store can be written.

        Another process can then take it at once.
        """
        if self._heartbeat is not None:
            self._stop_heartbeat()
            with suppress(DeltamarkError), self._store.transaction() as tx:
                tx.release_leases(self._holder)

    def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()


def is_taken(store: Store, name: str) -> bool:
    """Whether some process holds the lease of that name."""
    with store.reading() as reading:
        return any(lease.is_live for lease in reading.leases([name]))
