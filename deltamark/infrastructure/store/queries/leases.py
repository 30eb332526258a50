"""Reads and renews leases: which run may run which task.

Leases are no history, so the log does not have them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from deltamark.application.ports.records import Lease
from deltamark.domain.errors import store_damaged
from deltamark.domain.processes import ProcessState
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.mapper import from_micros
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.system.processes import state_of

LEASE = "task, run, taken_at, heard_at, process"


class LeaseQueries(Queries, ABC):
    """Reads leases and the runs that hold them.

    The time is that of the server, or else of this machine.
    """

    @abstractmethod
    def _host_time(self) -> int:
        """Returns the time of this machine in microseconds."""

    def leases(self, tasks: Sequence[str]) -> list[Lease]:
        if self._db.one("SELECT 1 FROM leases LIMIT 1") is None:
            return []
        rows = self._db.all(
            f"""SELECT {LEASE}, until > {self._db.current_time(2)} FROM leases
            WHERE {self._db.among_texts("task", 1)} ORDER BY task""",
            (self._db.array(tasks), self._host_time()),
        )
        return [lease(row) for row in rows]

    def live_runs(self) -> set[int]:
        sql = f"SELECT DISTINCT run, process FROM leases WHERE until > {self._db.current_time(1)}"
        return {run for run, process in self._db.all(sql, (self._host_time(),)) if not _has_ended(process)}


def lease(row: tuple[Any, ...]) -> Lease:
    """Returns the lease of a row whose last column holds whether it is live.

    :raises StoreError: if the row cannot be read.
    """
    task, run, taken_at, heard_at, process, is_live = row
    try:
        state = state_of(process)
        return Lease(
            task=task,
            run=run,
            taken_at=from_micros(taken_at),
            heard_at=from_micros(heard_at),
            is_live=bool(is_live) and state is not ProcessState.ENDED,
            process=state,
        )
    except (TypeError, AttributeError, OverflowError) as e:
        raise store_damaged(f"the lease of task {task} cannot be read") from e


def _has_ended(process: str) -> bool:
    return state_of(process) is ProcessState.ENDED


def renew(db: Database, run: int, time_to_live_s: float, host_time: int) -> bool:
    """Makes the leases of a run expire after a time to live, and returns whether it has any."""
    sql = f"UPDATE leases SET heard_at={db.current_time(3)}, until={db.current_time(3)}+?2 WHERE run=?1"
    return db.execute(sql, (run, to_span(time_to_live_s), host_time)) > 0


def to_span(seconds: float) -> int:
    """Returns a time span in microseconds."""
    return int(seconds * 1_000_000)
