"""Leases: which run may run which task, read and renewed. They are beside the log: who holds what now is no history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from deltamark.application.ports.records import Lease
from deltamark.domain.errors import store_damaged
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.mapper import from_micros
from deltamark.infrastructure.store.queries.state import Queries

LEASE = "task, run, taken_at, heard_at"


class LeaseQueries(Queries, ABC):
    """Leases and the runs that hold them. The time is the server's; where there is none, that of this machine."""

    @abstractmethod
    def _host_time(self) -> int:
        """The time of this machine in microseconds."""

    def leases(self, tasks: Sequence[str]) -> list[Lease]:
        if self._db.one("SELECT 1 FROM leases LIMIT 1") is None:
            return []
        rows = self._db.all(
            f"""SELECT {LEASE}, until > {self._db.present(2)} FROM leases
            WHERE {self._db.among_texts("task", 1)} ORDER BY task""",
            (self._db.array(tasks), self._host_time()),
        )
        return [lease(row) for row in rows]

    def live_runs(self) -> set[int]:
        sql = f"SELECT DISTINCT run FROM leases WHERE until > {self._db.present(1)}"
        return {run for (run,) in self._db.all(sql, (self._host_time(),))}


def lease(row: tuple[Any, ...]) -> Lease:
    """A lease from its row, with whether it is live at the end.

    :raises StoreError: if the row is none that was written here.
    """
    task, run, taken_at, heard_at, is_live = row
    try:
        return Lease(
            task=task,
            run=run,
            taken_at=from_micros(taken_at),
            heard_at=from_micros(heard_at),
            is_live=bool(is_live),
        )
    except (TypeError, OverflowError) as e:
        raise store_damaged(f"the lease of task {task} cannot be read") from e


def renew(db: Database, run: int, time_to_live_s: float, host_time: int) -> bool:
    """Has the leases of a run expire so long from now; returns whether it has any."""
    sql = f"UPDATE leases SET heard_at={db.present(3)}, until={db.present(3)}+?2 WHERE run=?1"
    return db.execute(sql, (run, to_span(time_to_live_s), host_time)) > 0


def to_span(seconds: float) -> int:
    """A time span in microseconds."""
    return int(seconds * 1_000_000)
