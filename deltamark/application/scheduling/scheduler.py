"""The scheduler: starts jobs when they are due, each due time once, whatever the number of schedulers.

How far the schedule of a job was handled is moved in the transaction that starts its run, in which the scheduler also
checks that it still leads: a due time is handled and its run is started, both or neither. See ADR 0024.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event

from deltamark.application.ports.records import Schedule
from deltamark.application.runs.observer import Observer
from deltamark.application.scheduling.due import next_due, scheduled_jobs, timing_of
from deltamark.application.scheduling.leader import Lead
from deltamark.application.scheduling.notices import NoticeKind, Telling, Told
from deltamark.application.scheduling.scheduled_run import Due, NotMine, ScheduledRun
from deltamark.application.services import Services
from deltamark.domain.errors import AlreadyRunning, ConfigurationError, DeltamarkError, UsageError

LOOK_AGAIN_S = 1.0
"""How long at most until the scheduler looks again: at the clock, at who leads, at the configuration."""

AFTER_TROUBLE_S = 5.0
"""How long the store is left alone when it could not be used."""

Wait = Callable[[float], bool]
"""Waits for some seconds; returns sooner, with true, when the scheduler is to stop."""

Adopt = Callable[[Services], None]
"""Is given the services with the configuration in force, when that was changed."""


def schedule(
    services: Services, *, stop: Event, told: Told, observer: Observer, adopt: Adopt, wait: Wait | None = None
) -> None:
    """Runs jobs when they are due, until `stop` is set. A run that is going on then finishes what it is doing.

    :raises UsageError: if no job has a schedule, or one goes by the time zone of this machine and that cannot be told.
    """
    jobs = scheduled_jobs(services.configuration)
    if not jobs:
        raise UsageError(
            "no job has a CronTabExpression: there is nothing to run on a schedule. Give a job one, such as "
            'CronTabExpression="0 0 6 * * *": every day at six.'
        )
    for job in jobs:
        next_due(job, services.clock(), services.local_zone)  # or it would be trouble, again and again
    scheduler = Scheduler(services, stop=stop, told=told, observer=observer, adopt=adopt)
    wait = wait or stop.wait
    try:
        while not wait(scheduler.step()):
            pass
    finally:
        scheduler.resign()


class Scheduler:
    """One scheduler. Whatever it must not forget stands in the store: it may be killed at any instant."""

    def __init__(self, services: Services, *, stop: Event, told: Told, observer: Observer, adopt: Adopt) -> None:
        self._services = services
        self._stop = stop
        self._telling = Telling(told, services.clock)
        self._observer = observer
        self._adopt = adopt
        self._lead = Lead(services.store, services.lease_s)
        self._is_leading: bool | None = None
        self._is_announced = False

    def resign(self) -> None:
        """Lets another scheduler lead."""
        self._lead.resign()

    def step(self) -> float:
        """Does what is due, at most one run; gives the seconds after which to look again."""
        try:
            self._reload()
            seconds = self._step()
        except DeltamarkError as e:
            self._telling.trouble(str(e))
            return AFTER_TROUBLE_S
        self._telling.trouble_is_over()
        return seconds

    def _step(self) -> float:
        with self._services.store.reading() as reading:
            leads, known = self._lead.is_held(reading), {each.job: each for each in reading.schedules()}
        if not (leads or self._lead.take()):
            self._tell_lead(False)
            return LOOK_AGAIN_S
        if self._saw_something_new(known):
            return 0.0
        due = self._due(known)
        self._tell_lead(True)
        self._announce(due)
        return self._work(due)

    def _saw_something_new(self, known: Mapping[str, Schedule]) -> bool:
        """Puts down what is there for the first time, or with another timing: it is due from now on. Forgets what is
        no longer scheduled.
        """
        jobs = {job.identifier: timing_of(job) for job in scheduled_jobs(self._services.configuration)}
        new = [name for name, timing in jobs.items() if name not in known or known[name].timing != timing]
        gone = [name for name in known if name not in jobs]
        if not (new or gone):
            return False
        with self._services.store.transaction() as tx:
            if self._lead.is_kept(tx):
                tx.drop_schedules(gone)
                for name in new:
                    tx.put_schedule(Schedule(job=name, timing=jobs[name], handled_to=self._services.clock()))
        return True

    def _due(self, known: Mapping[str, Schedule]) -> list[Due]:
        """The first time of each job that was not handled, the earliest first."""
        found = []
        for job in scheduled_jobs(self._services.configuration):
            schedule = known[job.identifier]
            at = next_due(job, schedule.handled_to, self._services.local_zone)
            if at is not None:
                found.append(Due(at, job, schedule))
        return sorted(found, key=lambda due: due.at)

    def _work(self, due: Sequence[Due]) -> float:
        """Runs the first job that is due and free."""
        now = self._services.clock()
        for each in due:
            if each.at > now:
                return min(LOOK_AGAIN_S, (each.at - now).total_seconds())
            if self._stop.is_set() or self._is_done(each):
                return 0.0
        return LOOK_AGAIN_S

    def _is_done(self, due: Due) -> bool:
        """Runs a job; false if it must be tried again."""
        run = ScheduledRun(
            self._services, due, lead=self._lead, stop=self._stop, telling=self._telling, observer=self._observer
        )
        job = due.job.identifier
        try:
            run.result()
        except NotMine:
            return True
        except AlreadyRunning as e:
            self._telling.trouble(str(e), job, due.at, kind=NoticeKind.REFUSED)
            return False
        except DeltamarkError as e:
            self._telling.trouble(str(e), job, due.at)
            return False
        except Exception as e:  # the run has it on record; the other jobs must go on
            self._telling.trouble(f"an error inside Deltamark: {type(e).__name__}: {e}", job, due.at)
            return False
        self._telling.trouble_is_over(job)
        self._is_announced = False
        return True

    def _reload(self) -> None:
        if self._services.reload is None:
            return
        try:
            changed = self._services.reload(self._services)
        except ConfigurationError as e:
            self._telling.tell(
                NoticeKind.TROUBLE,
                words=f"the configuration was changed and has faults; what was loaded before stays in force.\n{e}",
            )
            return
        if changed is not None:
            self._services = changed
            self._adopt(changed)
            self._telling.tell(NoticeKind.RELOADED)
            self._is_announced = False

    def _tell_lead(self, is_leading: bool) -> None:
        if self._is_leading is not is_leading:
            self._is_leading = is_leading
            self._telling.tell(NoticeKind.LEADS if is_leading else NoticeKind.WAITS)

    def _announce(self, due: Sequence[Due]) -> None:
        """Tells when the jobs are due next, after the start and after every run."""
        if self._is_announced:
            return
        self._is_announced = True
        if not due:
            self._telling.tell(NoticeKind.NEXT, words="no job has a CronTabExpression any more")
        for each in due:
            self._telling.tell(NoticeKind.NEXT, each.job.identifier, each.at)
