"""Takes, extends and releases leases, in the transactions of a run."""

from __future__ import annotations

from collections.abc import Sequence

from deltamark.application.ports.records import Lease
from deltamark.domain.processes import ProcessState
from deltamark.infrastructure.store.queries.leases import LEASE, lease, renew, to_span
from deltamark.infrastructure.store.session import Session
from deltamark.infrastructure.system.processes import state_of, this_process

_LEFT = 2 / 3
"""The share of the time to live that is left when a transaction renews leases: a heartbeat comes after a third."""


class LeaseCommands(Session):
    """Takes, renews and drops leases (ADR 0013)."""

    renewed: tuple[int, float] | None = None
    """The run whose leases this transaction renews at its end, and their time to live."""

    _one_of_renewed: str | None = None
    """The task of one of these leases: all leases of a run are taken, renewed and dropped together."""

    def drop_expired_leases(self, tasks: Sequence[str]) -> list[Lease]:
        """Drops the leases of runs that expired and held some of these tasks.

        One statement that asks each row itself whether it expired: a holder that comes back to life renews all its
        rows before it, or none.
        """
        self._expire_ended()
        parameters = (self._db.array(tasks), self._host_time())
        expired = f"until <= {self._db.current_time(2)}"
        rows = self._db.all(
            f"""DELETE FROM leases WHERE {expired} AND run IN
            (SELECT run FROM leases WHERE {expired} AND {self._db.among_texts("task", 1)}) RETURNING {LEASE}""",
            parameters,
        )
        leases = [lease((*row, False)) for row in sorted(rows)]
        return list({lease.run: lease for lease in leases}.values())

    def _expire_ended(self) -> None:
        """Lets the leases of processes that ended on this machine expire at once."""
        for run, process in self._db.all("SELECT DISTINCT run, process FROM leases"):
            if state_of(process) is ProcessState.ENDED:
                self._db.execute("UPDATE leases SET until=0 WHERE run=?1", (run,))

    def take_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> None:
        now = self._db.current_time(3)
        self._db.execute(
            f"""INSERT INTO leases (task, run, taken_at, heard_at, until, process)
            SELECT w.value, ?2, {now}, {now}, {now}+?4, CAST(?5 AS TEXT) FROM {self._db.each_text(1, "w")}""",
            (self._db.array(tasks), run, self._host_time(), to_span(time_to_live_s), this_process()),
        )
        self.renewed, self._one_of_renewed = ((run, time_to_live_s), tasks[0]) if tasks else (None, None)

    def extend_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> bool:
        if not tasks:
            return True
        if self._db.one("SELECT run FROM leases WHERE task=?1", (tasks[0],)) != run:
            return False
        self.renewed, self._one_of_renewed = (run, time_to_live_s), tasks[0]
        return True

    def release_leases(self, run: int) -> None:
        self._db.execute("DELETE FROM leases WHERE run=?1", (run,))
        self.renewed = self._one_of_renewed = None

    def finish(self) -> None:
        """Renews leases at the end.

        A transaction may last longer than a lease.
        """
        if self.renewed is not None:
            if self._is_renewal_due(self.renewed[1]):
                renew(self._db, *self.renewed, self._host_time())
            else:
                self.renewed = None
        super().finish()

    def _is_renewal_due(self, time_to_live_s: float) -> bool:
        """Whether less is left of the leases than they have after a renewal of the heartbeat.

        Otherwise a run of many short tasks would write the leases of all its tasks for each of them.
        """
        sql = f"SELECT until <= {self._db.current_time(3)}+?2 FROM leases WHERE task=?1"
        left = to_span(time_to_live_s * _LEFT)
        return bool(self._db.one(sql, (self._one_of_renewed, left, self._host_time())))
