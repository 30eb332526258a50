"""A store in memory: leases, schedules, runs and the numbers of changes; its own reading and its own transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from attrs import evolve, frozen

from deltamark.application.ports.pending_changes import Block
from deltamark.application.ports.records import Lease, RunSummary, Schedule
from deltamark.domain.configuration.entity_model import EntityAssociation
from deltamark.domain.history.changes import Position
from deltamark.domain.history.consumer import ConsumerPlace
from deltamark.domain.retention.retention import Outgoing
from tests.fakes.clock import FakeClock


@frozen
class FakeChange:
    """A change in the log of a fake store."""

    position: Position
    subject: str
    at: datetime


@frozen
class _Holding:
    lease: Lease
    expires_at: datetime


class FakeStore:
    """The port `Store` as far as use cases about leases, schedules and retention go; anything else is missing."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.log: list[FakeChange] = []
        self.known_runs: list[RunSummary] = []
        self.known_blocks: list[Block] = []
        self.known_consumers: list[ConsumerPlace] = []
        self.position_of_flags: Position = 0
        self._holdings: dict[str, _Holding] = {}
        self._schedules: dict[str, Schedule] = {}

    def changed(self, subject: str, count: int = 1) -> None:
        """Appends changes of an entity type or association to the log, at the present time."""
        for _ in range(count):
            self.log.append(FakeChange(self.head() + 1, subject, self.clock()))

    # Store

    @contextmanager
    def reading(self, view: object = None) -> Iterator[FakeStore]:
        yield self

    @contextmanager
    def transaction(self) -> Iterator[FakeStore]:
        yield self

    def adoption_at(self, until: Position | None) -> None:
        """No configuration was adopted."""

    def stored_entity_types(self) -> list[str]:
        """No resource was stored."""
        return []

    def stored_associations(self) -> list[EntityAssociation]:
        """No link was stored."""
        return []

    def renew_leases(self, run: int, time_to_live_s: float) -> bool:
        tasks = [lease.task for lease in self._all_leases() if lease.run == run]
        return bool(tasks) and self.extend_leases(run, tasks, time_to_live_s)

    def consumers(self) -> list[ConsumerPlace]:
        return self.known_consumers

    # The log, runs and flags

    def head(self) -> Position:
        return self.log[-1].position if self.log else 0

    def position_at(self, moment: datetime) -> Position:
        return max((change.position for change in self.log if change.at <= moment), default=0)

    def time_of(self, position: Position) -> datetime:
        return next(change.at for change in self.log if change.position == position)

    def changes_between(self, subjects: Sequence[str], after: Position, until: Position) -> list[Outgoing]:
        outgoing = []
        for subject in subjects:
            found = [c for c in self.log if c.subject == subject and after < c.position <= until]
            if found:
                first, last = found[0], found[-1]
                outgoing.append(
                    Outgoing(
                        subject=subject,
                        kind="created",
                        count=len(found),
                        first=first.position,
                        last=last.position,
                        first_at=first.at,
                        last_at=last.at,
                        size=0,
                    )
                )
        return outgoing

    def oldest_of_newest(self, subjects: Sequence[str], count: int) -> Position | None:
        positions = [change.position for change in self.log if change.subject in subjects]
        return positions[-count] if len(positions) >= count else None

    def flagged_to(self) -> Position:
        return self.position_of_flags

    def run(self, number: int, *, with_rows: bool = True) -> RunSummary | None:
        return next((summary for summary in self.known_runs if summary.run.number == number), None)

    def runs(self, newest: int | None = None) -> list[RunSummary]:
        return self.known_runs if newest is None else self.known_runs[-newest:]

    # Leases

    def blocks(self) -> list[Block]:
        return list(self.known_blocks)

    def pending_tasks(self, run: int) -> list[int]:
        return [block.task for block in self.known_blocks if block.run == run]

    def leases(self, tasks: Sequence[str]) -> list[Lease]:
        return [lease for lease in self._all_leases() if lease.task in tasks]

    def drop_expired_leases(self, tasks: Sequence[str]) -> list[Lease]:
        expired = [lease for lease in self.leases(tasks) if not lease.is_live]
        for lease in expired:
            self.release_leases(lease.run)
        return expired

    def take_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> None:
        now = self.clock()
        for task in tasks:
            assert task not in self._holdings, "it is not free"
            lease = Lease(task=task, run=run, taken_at=now, heard_at=now, is_live=True)
            self._holdings[task] = _Holding(lease, now + timedelta(seconds=time_to_live_s))

    def extend_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> bool:
        if any(task not in self._holdings or self._holdings[task].lease.run != run for task in tasks):
            return False
        now = self.clock()
        for task in tasks:
            lease = evolve(self._holdings[task].lease, heard_at=now)
            self._holdings[task] = _Holding(lease, now + timedelta(seconds=time_to_live_s))
        return True

    def release_leases(self, run: int) -> None:
        self._holdings = {task: held for task, held in self._holdings.items() if held.lease.run != run}

    def _all_leases(self) -> list[Lease]:
        now = self.clock()
        return [evolve(held.lease, is_live=now < held.expires_at) for _, held in sorted(self._holdings.items())]

    # Schedules

    def schedules(self) -> list[Schedule]:
        return [schedule for _, schedule in sorted(self._schedules.items())]

    def put_schedule(self, schedule: Schedule) -> None:
        self._schedules[schedule.job] = schedule

    def drop_schedules(self, jobs: Sequence[str]) -> None:
        self._schedules = {job: schedule for job, schedule in self._schedules.items() if job not in jobs}
