"""A run that the schedule starts.

Its due time is marked as handled in the transaction that starts it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Event

from attrs import evolve, frozen

from deltamark.application.execution.cancel_run import cancel_run
from deltamark.application.execution.run_job import run_job, tasks_to_lease
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import Schedule
from deltamark.application.runs.leases import refuse_if_running
from deltamark.application.runs.named_lease import NamedLease
from deltamark.application.runs.observer import Observer
from deltamark.application.scheduling.notices import NoticeKind, Notices
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import Job, TaskState
from deltamark.domain.runs.run import JobRun, TaskRun, Trigger, TriggerKind

LATE = timedelta(seconds=5)
"""A run that starts so long after its due time is late; less is the time that starting takes."""


class AlreadyHandled(Exception):
    """Another scheduler leads by now, or handled the due time.

    Nothing was started.
    """


@frozen
class Due:
    """A job with its first due time, past or future, that was not handled."""

    at: datetime
    job: Job
    schedule: Schedule


class ScheduledRun(Observer):
    """One run of a job that is due.

    Passes on what it observes, and cancels the run when the scheduler must stop.
    """

    def __init__(
        self, services: Services, due: Due, *, leadership: NamedLease, stop: Event, notices: Notices, observer: Observer
    ) -> None:
        self._services = services
        self._due = due
        self._leadership = leadership
        self._stop = stop
        self._notices = notices
        self._observer = observer
        self._late = services.clock() - due.at >= LATE
        self._number = 0
        self._is_announced = self._is_cancelled = False

    def result(self) -> JobRun:
        """Runs the job, with a notice when it starts and when it has ended.

        :raises AlreadyHandled: if another scheduler leads by now, or handled that time; nothing was started.
        :raises DeltamarkError: as `run_job` does.
        """
        refuse_if_running(self._services.store, tasks_to_lease(self._services, self._due.job))
        trigger = Trigger(TriggerKind.SCHEDULE, self._due.at, late=self._late)
        run = run_job(self._services, self._due.job, forced=False, observer=self, trigger=trigger, claim=self._handle)
        self._announce_start()
        is_completed = run.state is TaskState.COMPLETED
        messages = [line for task in run.tasks if task.left_out or task.state is run.state for line in task.messages]
        self._add_notice(NoticeKind.ENDED, state=run.state, words="" if is_completed else " ".join(messages[:1]))
        return run

    def task_started(self, run: int, task: TaskRun) -> None:
        self._announce_start()
        self._observer.task_started(run, task)

    def task_progressed(self, run: int, task: TaskRun) -> None:
        self._observer.task_progressed(run, task)

    def task_ended(self, run: int, task: TaskRun) -> None:
        self._announce_start()
        self._observer.task_ended(run, task)
        if self._stop.is_set() and not self._is_cancelled:
            self._is_cancelled = True
            cancel_run(self._services, self._number)

    def _handle(self, tx: Writing, run: int) -> None:
        """Marks the due time as handled, in the transaction that starts the run."""
        schedules = {schedule.job: schedule for schedule in tx.schedules()}
        if not self._leadership.is_kept(tx) or schedules.get(self._due.job.identifier) != self._due.schedule:
            raise AlreadyHandled
        handled_to = max(self._services.clock(), self._due.at)
        tx.put_schedule(evolve(self._due.schedule, handled_to=handled_to, run=run))
        self._number = run

    def _announce_start(self) -> None:
        if not self._is_announced:
            self._is_announced = True
            self._add_notice(NoticeKind.STARTED)

    def _add_notice(self, kind: NoticeKind, *, state: TaskState | None = None, words: str = "") -> None:
        due = self._due
        self._notices.add(kind, due.job.identifier, due.at, late=self._late, run=self._number, state=state, words=words)
