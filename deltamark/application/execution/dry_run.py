"""Dry runs: runs a job, shows what it would change, and undoes all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
from attrs import evolve

from deltamark.application.execution.resume_run import resume_run
from deltamark.application.execution.run_job import run_job, tasks_to_lease
from deltamark.application.history.history import ChangeFilter, kept_changes
from deltamark.application.pending_changes.show import pending_changes
from deltamark.application.runs.leases import refuse_if_running
from deltamark.application.runs.observer import Observer
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import Job, TaskState
from deltamark.domain.history.changes import LoggedChange, PendingChange, Position
from deltamark.domain.runs.run import JobRun

ShowChanges = Callable[[Iterator[LoggedChange | PendingChange]], None]
"""Receives the changes of a dry run before they are undone."""


def dry_run(
    services: Services,
    job: Job,
    *,
    forced: bool,
    observer: Observer,
    show_changes: ShowChanges | None,
    reads_anew: bool = False,
) -> JobRun:
    """Runs a job in a transaction that is rolled back, and returns the record that the run had.

    :param show_changes: receives the changes, then those (without a position) that a threshold would have held back.
    :raises AlreadyRunning: if another run runs one of the tasks; nothing was started.
    """
    refuse_if_running(services.store, tasks_to_lease(services, job))
    with services.store.dry_run():
        services = _without_files(services)
        run = run_job(services, job, forced=forced, observer=observer, reads_anew=reads_anew, is_dry_run=True)
        if show_changes is not None:
            show_changes(_changes(services, run))
    return evolve(run, is_dry_run=True)


def dry_resume(
    services: Services,
    number: int,
    *,
    observer: Observer,
    show_changes: ShowChanges | None,
    given: Mapping[str, Any] | None = None,
) -> JobRun:
    """Resumes a run in a transaction that is rolled back, and returns the record that it had.

    So it is seen what accepting held-back changes would do to everything that is computed of them. Raises as
    `resume_run`; a run whose process died is not recorded as ended.

    :param show_changes: receives the changes that resuming makes, then those that would be held back again.
    """
    with services.store.dry_run():
        with services.store.reading() as reading:
            begin = reading.head()
        services = _without_files(services)
        run = resume_run(services, number, observer=observer, given=given, is_dry_run=True)
        if show_changes is not None:
            show_changes(_changes(services, run, begin))
    return evolve(run, is_dry_run=True)


def _without_files(services: Services) -> Services:
    deliveries = None if services.deliveries is None else services.deliveries.rehearsal()
    return evolve(services, write_orphans=_no_file, deliveries=deliveries)


def _no_file(run: int, association: str, orphans: pa.Table) -> str:
    return "a dry run writes no file of them"


def _changes(services: Services, run: JobRun, after: Position = 0) -> Iterator[LoggedChange | PendingChange]:
    of_run = ChangeFilter(run=run.number)
    with services.store.reading() as reading:
        yield from kept_changes(reading, services.configuration, after, None, of_run, kept_only=False)
    if any(task.state is TaskState.BLOCKED for task in run.tasks):
        with services.store.reading() as reading:
            yield from pending_changes(reading, run.number, ChangeFilter())
