"""Keeps how far schedules were handled.

It is not in the log: the record of a run says when the run was due.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from deltamark.application.ports.records import Schedule
from deltamark.domain.errors import store_damaged
from deltamark.infrastructure.store.events.mapper import from_micros, to_micros
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import checked_rows
from deltamark.infrastructure.store.session import Session


class ScheduleQueries(Queries):
    """Queries about schedules."""

    def schedules(self) -> list[Schedule]:
        rows = sorted(checked_rows(self._db, "schedules"), key=itemgetter(0))
        try:
            return [
                Schedule(job=job, timing=timing, handled_to=from_micros(handled_to), run=run)
                for job, timing, handled_to, run in rows
            ]
        except (TypeError, OverflowError) as e:
            raise store_damaged("the progress of the schedules cannot be read") from e


class ScheduleCommands(Session, ScheduleQueries):
    """Keeps and drops the progress of schedules."""

    def put_schedule(self, schedule: Schedule) -> None:
        self.drop_schedules([schedule.job])
        with self._sealing("schedules", "job=?1", (schedule.job,)):
            self._db.execute(
                "INSERT INTO schedules (job, timing, handled_to, run) VALUES (?1, ?2, ?3, ?4)",
                (schedule.job, schedule.timing, to_micros(schedule.handled_to), schedule.run),
            )

    def drop_schedules(self, jobs: Sequence[str]) -> None:
        condition, names = self._db.among_texts("job", 1), (self._db.array(jobs),)
        with self._sealing("schedules", condition, names):
            self._db.execute(f"DELETE FROM schedules WHERE {condition}", names)
