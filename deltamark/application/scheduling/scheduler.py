"""The scheduler: starts jobs when they are due.

Each due time is handled once, whatever the number of schedulers.

A due time is marked as handled in the transaction that starts its run, and in which the scheduler checks that it still
leads: both happen or neither. See ADR 0024.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event

from deltamark.application.ports.records import Schedule
from deltamark.application.runs.named_lease import SCHEDULER, NamedLease
from deltamark.application.runs.observer import Observer
from deltamark.application.scheduling.due import next_due, scheduled_jobs, timing_of
from deltamark.application.scheduling.notices import NoticeKind, Notices, ReceiveNotice
from deltamark.application.scheduling.scheduled_run import AlreadyHandled, Due, ScheduledRun
from deltamark.application.services import Services
from deltamark.domain.errors import (
    AdoptionWaits,
    AlreadyRunning,
    ConfigurationError,
    DeltamarkError,
    OtherConfigurationInUse,
    UsageError,
)
from deltamark.domain.history.changes import Position

LOOK_AGAIN_S = 1.0
"""The longest pause before the scheduler checks the clock, the leader and the configuration again."""

AFTER_TROUBLE_S = 5.0
"""The pause after the store could not be used."""

Wait = Callable[[float], bool]
"""Waits for some seconds; returns sooner, with true, when the scheduler must stop."""

Adopt = Callable[[Services], None]
"""Receives the services with a configuration that was loaded again."""


def schedule(
    services: Services,
    *,
    stop: Event,
    receive: ReceiveNotice,
    observer: Observer,
    adopt: Adopt,
    wait: Wait | None = None,
) -> None:
    """Runs jobs when they are due, until `stop` is set.

    A run that is going on then finishes its running tasks.

    :raises UsageError: if no job has a schedule, or if one uses the time zone of this machine and that cannot be
        determined.
    """
    jobs = scheduled_jobs(services.configuration)
    if not jobs:
        raise UsageError(
            "no job has a CronTabExpression: there is nothing to run on a schedule. Give a job one, such as "
            'CronTabExpression="0 0 6 * * *": every day at six.'
        )
    for job in jobs:
        next_due(job, services.clock(), services.local_zone)  # raises now, not as trouble again and again
    scheduler = Scheduler(services, stop=stop, receive=receive, observer=observer, adopt=adopt)
    wait = wait or stop.wait
    try:
        while not wait(scheduler.step()):
            pass
    finally:
        scheduler.resign()


class Scheduler:
    """One scheduler. All that must survive it is in the store: it may be killed at any instant."""

    def __init__(
        self, services: Services, *, stop: Event, receive: ReceiveNotice, observer: Observer, adopt: Adopt
    ) -> None:
        self._services = services
        self._stop = stop
        self._notices = Notices(receive, services.clock)
        self._observer = observer
        self._adopt = adopt
        self._leadership = NamedLease(services.store, SCHEDULER, services.lease_s)
        self._is_leading: bool | None = None
        self._waiting: tuple[str, Position] | None = None
        self._is_announced = False

    def resign(self) -> None:
        """Lets another scheduler lead."""
        self._leadership.release()

    def step(self) -> float:
        """Runs what is due, at most one job, and returns the seconds until the next step."""
        try:
            self._reload()
            seconds = self._step()
        except DeltamarkError as e:
            self._notices.add_trouble(str(e))
            return AFTER_TROUBLE_S
        self._notices.clear_trouble()
        return seconds

    def _step(self) -> float:
        with self._services.store.reading() as reading:
            leads, schedules = (
                self._leadership.is_held(reading),
                {schedule.job: schedule for schedule in reading.schedules()},
            )
        if not (leads or self._leadership.take()):
            self._announce_leadership(False)
            return LOOK_AGAIN_S
        if self._update_schedules(schedules):
            return 0.0
        due = self._due(schedules)
        self._announce_leadership(True)
        self._announce(due)
        return self._work(due)

    def _update_schedules(self, schedules: Mapping[str, Schedule]) -> bool:
        """Records new jobs and changed timings, and drops others.

        New ones are due from now on. Returns whether there were any.
        """
        jobs = {job.identifier: timing_of(job) for job in scheduled_jobs(self._services.configuration)}
        new = [name for name, timing in jobs.items() if name not in schedules or schedules[name].timing != timing]
        gone = [name for name in schedules if name not in jobs]
        if not (new or gone):
            return False
        with self._services.store.transaction() as tx:
            if self._leadership.is_kept(tx):
                tx.drop_schedules(gone)
                for name in new:
                    tx.put_schedule(Schedule(job=name, timing=jobs[name], handled_to=self._services.clock()))
        return True

    def _due(self, schedules: Mapping[str, Schedule]) -> list[Due]:
        """The first time of each job that was not handled, the earliest first."""
        due = []
        for job in scheduled_jobs(self._services.configuration):
            schedule = schedules[job.identifier]
            at = next_due(job, schedule.handled_to, self._services.local_zone)
            if at is not None:
                due.append(Due(at, job, schedule))
        return sorted(due, key=lambda job: job.at)

    def _work(self, due: Sequence[Due]) -> float:
        """Runs the first job that is due and not running.

        Returns the seconds until the next step.
        """
        now = self._services.clock()
        for first in due:
            if first.at > now:
                return min(LOOK_AGAIN_S, (first.at - now).total_seconds())
            if self._stop.is_set() or self._is_done(first):
                return 0.0
        return LOOK_AGAIN_S

    def _is_done(self, due: Due) -> bool:
        """Runs a job, and returns false if it must be tried again."""
        run = ScheduledRun(
            self._services,
            due,
            leadership=self._leadership,
            stop=self._stop,
            notices=self._notices,
            observer=self._observer,
        )
        job = due.job.identifier
        if self._waits_for_adoption():
            return False
        try:
            run.result()
        except AlreadyHandled:
            return True
        except (AlreadyRunning, OtherConfigurationInUse) as e:
            self._notices.add_trouble(str(e), job, due.at, kind=NoticeKind.REFUSED)
            return False
        except AdoptionWaits as e:
            self._waiting = self._in_force()
            self._notices.add_trouble(str(e), job, due.at, kind=NoticeKind.REFUSED)
            return False
        except DeltamarkError as e:
            self._notices.add_trouble(str(e), job, due.at)
            return False
        except Exception as e:  # the run has recorded it; the other jobs must go on
            self._notices.add_trouble(f"an error inside Deltamark: {type(e).__name__}: {e}", job, due.at)
            return False
        self._notices.clear_trouble(job)
        self._is_announced = False
        return True

    def _waits_for_adoption(self) -> bool:
        """Whether the last run was refused until a person adopts the configuration, and nothing was adopted since.

        What adopting it does is not worked out again each second.
        """
        return self._waiting is not None and self._waiting == self._in_force()

    def _in_force(self) -> tuple[str, Position]:
        """The configuration of this scheduler, and the position of the newest adoption in the log."""
        with self._services.store.reading() as reading:
            newest = reading.adoption_at(None)
        return self._services.configuration_digest, 0 if newest is None else newest[0]

    def _reload(self) -> None:
        if self._services.reload is None:
            return
        try:
            changed = self._services.reload(self._services)
        except ConfigurationError as e:
            self._notices.add(
                NoticeKind.TROUBLE,
                words=f"the configuration was changed and has faults; what was loaded before stays in force.\n{e}",
            )
            return
        if changed is not None:
            self._services = changed
            self._adopt(changed)
            self._notices.add(NoticeKind.RELOADED)
            self._is_announced = False

    def _announce_leadership(self, is_leading: bool) -> None:
        if self._is_leading is not is_leading:
            self._is_leading = is_leading
            self._notices.add(NoticeKind.LEADS if is_leading else NoticeKind.WAITS)

    def _announce(self, due: Sequence[Due]) -> None:
        """Announces when the jobs are due next, after the start and after every run."""
        if self._is_announced:
            return
        self._is_announced = True
        if not due:
            self._notices.add(NoticeKind.NEXT, words="no job has a CronTabExpression any more")
        for upcoming in due:
            self._notices.add(NoticeKind.NEXT, upcoming.job.identifier, upcoming.at)
