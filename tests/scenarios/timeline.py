"""Schedulers over one store, and the time that they share: it goes on only when a test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import evolve

from deltamark import Job, JobRun, Notice, Observer, Step
from deltamark.application.scheduling.scheduler import Scheduler
from deltamark.application.services import Services
from tests.scenarios.house import House

BEGIN = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


def hourly(name: str = "Hourly", task: str = "SynchronizeHR", **said: Any) -> Job:
    """A job that is due at every full hour."""
    return Job(name, [Step(task)], cron_tab_expression="0 0 * * * *", **said)


class Time:
    """The present time of a test."""

    def __init__(self, at: datetime = BEGIN) -> None:
        self.now = at
        self.on_next_look: list[Callable[[], object]] = []

    def __call__(self) -> datetime:
        while self.on_next_look:
            self.on_next_look.pop()()
        return self.now

    def becomes(self, clock: str) -> None:
        """It is so late, on the first of January unless another day is named."""
        self.now = moment(clock)


def moment(clock: str) -> datetime:
    """A time on the first of January, or after a day in January: "13:00", "02 13:00:30"."""
    day, _, time = clock.rpartition(" ")
    return datetime.fromisoformat(f"2026-01-{day or '01'}T{time}").replace(tzinfo=UTC)


class Timekeeper:
    """A scheduler in the hands of a test."""

    def __init__(
        self,
        house: House,
        time: Time,
        observer: Observer | None = None,
        stop: threading.Event | None = None,
        **services: Any,
    ) -> None:
        self.time, self.notices, self.stop = time, list[Notice](), stop or threading.Event()
        self.services: Services = evolve(house.engine._services, **services)
        self.scheduler = Scheduler(
            self.services,
            stop=self.stop,
            receive=self.notices.append,
            observer=observer or Observer(),
            adopt=lambda services: None,
        )

    def looks(self) -> float:
        """Looks once, and does what is due then; gives the seconds after which it would look again."""
        while not (seconds := self.scheduler.step()):
            pass
        return seconds

    def works_until(self, clock: str) -> Timekeeper:
        """Works, while time goes on just as it waits."""
        end = moment(clock)
        while self.time.now < end and not self.stop.is_set():
            seconds = self.scheduler.step()
            self.time.now = min(end, self.time.now + timedelta(seconds=seconds))
        if not self.stop.is_set():
            self.looks()
        return self

    def killed(self) -> None:
        """Dies, and is not heard from until its lead has expired."""
        self.scheduler._leadership._stop_heartbeat()
        assert self.services.store.renew_leases(self.scheduler._leadership._holder, 0.0)

    def told(self) -> list[str]:
        """The kinds of what it told, but for when jobs are due next."""
        return [notice.kind.value for notice in self.notices if notice.kind.value != "next"]

    def words(self, kind: str) -> list[str]:
        """What it said about one kind of things."""
        return [notice.words for notice in self.notices if notice.kind.value == kind]


def due_times(house: House, job: str = "Hourly") -> list[str]:
    """The times at which the runs of a job had been due, with a mark where that was missed."""
    return [_due(run) for run in house.engine.runs() if run.job == job]


def _due(run: JobRun) -> str:
    due_at = run.trigger.due_at
    return f"{due_at:%d %H:%M:%S}{' late' if run.trigger.late else ''}" if due_at else "by a user"
