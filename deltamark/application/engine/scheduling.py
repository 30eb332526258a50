"""The part of the engine that keeps the schedule of the jobs."""

from __future__ import annotations

import threading

from deltamark.application import arguments
from deltamark.application.derivation.user_functions.call import refuse_inside_a_function
from deltamark.application.engine.base import Deriving
from deltamark.application.runs.observer import Observer, checked
from deltamark.application.scheduling.health import Health, health
from deltamark.application.scheduling.notices import Notice, Told
from deltamark.application.scheduling.scheduler import schedule
from deltamark.application.services import Services
from deltamark.domain.errors import UsageError


def _nobody(notice: Notice) -> None:
    """Tells nobody."""


class Scheduling(Deriving):
    """An open store with a configuration, and the schedule of its jobs."""

    def schedule(
        self, stop: threading.Event | None = None, *, told: Told | None = None, observer: Observer | None = None
    ) -> None:
        """Runs the jobs that have a `CronTabExpression` when they are due, one after another, until told to stop.

        Any number of schedulers may share a store: one leads, and another takes over when it ends, or was not heard
        from for a minute. Each time that a job is due starts one run. What was missed, because no scheduler was at
        work or another run had the tasks, starts one run, late, for all times that were missed together; the record
        of the run says when it was due. A job that is seen for the first time is due from then on.

        An engine that was opened with the files of a configuration loads them again when they were changed; where they
        have faults, that is told, and what was loaded before stays in force.

        :param stop: ends it, soon after this is set in another thread. A run that is going on finishes the tasks that
            are running, starts no more and is cancelled.
        :param told: is told what the scheduler does, by the threads that do it; what it raises stops the run that is
            going on, and ends this.
        :param observer: is told what happens in every run, as in `run_job`.
        :raises UsageError: if no job has a schedule, or if this is called inside a dry run or a function of a task.
        """
        if not isinstance(stop, threading.Event | None):
            raise UsageError(f"stop is a threading.Event, not {type(stop).__name__}.")
        if told is not None and not callable(told):
            raise UsageError(f"told is a function that is given notices, not {type(told).__name__}.")
        watching = checked(observer)
        refuse_inside_a_function("Engine.schedule")
        self._refuse_in_a_dry_run()
        assert self._store
        schedule(
            self._services,
            stop=stop or threading.Event(),
            told=told or _nobody,
            observer=watching,
            adopt=self._adopt,
        )

    def _adopt(self, services: Services) -> None:
        self._services = services

    def health(self, *, writable: bool = False) -> Health:
        """Whether the schedule is kept: a scheduler is at work, no job is overdue, and none ended badly the last time.

        :param writable: whether to find out that the store can be written, too.
        :raises StoreError: if the store cannot be read, or not written.
        """
        arguments.boolean("writable", writable)
        assert self._store
        return health(self._services, writable=writable)
