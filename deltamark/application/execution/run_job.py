"""Running a job: its tasks in order or level by level, each in one transaction, each on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from deltamark.application.execution.executor import CarryingOut
from deltamark.application.execution.interruption import ending_what_begins
from deltamark.application.execution.task_types import RunContext
from deltamark.application.ports.writing import Writing
from deltamark.application.runs.leases import heard_from, make_free, naming_the_other_run, refuse_if_running
from deltamark.application.runs.observer import Observer
from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import RunLog
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.errors import UserStartDenied
from deltamark.domain.runs.run import BY_USER, JobRun, PlannedTask, Trigger, TriggerKind
from deltamark.domain.runs.task_calls import Group, flattened, in_groups

Claim = Callable[[Writing, int], None]
"""Takes part in the transaction that starts a run, given its number; what it raises keeps the run from starting."""


def groups_of(services: Services, job: Job) -> tuple[Group, ...]:
    """The places of a job in the groups in which their tasks run."""
    return in_groups(services.configuration.called_by(job))


def tasks_to_lease(services: Services, job: Job) -> tuple[str, ...]:
    """The tasks of a job, each once, by identifier: as long as a run runs them, no other one may."""
    return tuple(dict.fromkeys(task.identifier for task in services.configuration.called_by(job)))


def refuse_denied(job: Job, trigger: Trigger) -> None:
    """Refuses what a user starts and only the schedule may start.

    :raises UserStartDenied: as said.
    """
    if job.user_start_denied and trigger.kind is TriggerKind.USER:
        raise UserStartDenied(job.identifier)


def run_if_free(services: Services, job: Job, *, forced: bool, observer: Observer) -> JobRun:
    """Runs a job, refused at once where another run runs one of its tasks; see `run_job`.

    Asks before the transaction that takes the tasks: that one would wait for whoever is writing.

    :raises AlreadyRunning: if another run runs one of the tasks; nothing was started.
    """
    refuse_if_running(services.store, tasks_to_lease(services, job))
    return run_job(services, job, forced=forced, observer=observer)


def run_job(
    services: Services,
    job: Job,
    *,
    forced: bool,
    observer: Observer,
    is_dry_run: bool = False,
    trigger: Trigger = BY_USER,
    claim: Claim = lambda tx, run: None,
) -> JobRun:
    """Runs a job; gives back its record, also where tasks failed.

    A task that fails leaves the store as it was before that task, and the record says why. Errors that are no
    `DeltamarkError`, interruptions, and whatever the observer raises are put on record too and then raised again.

    :param claim: see `Claim`.
    :raises AlreadyRunning: if another run runs one of the tasks; nothing was started.
    :raises UserStartDenied: if a user starts what only the schedule may start. Dry runs are always allowed.
    :raises TakenOver: if another run took this one for dead and its tasks over.
    """
    if not is_dry_run:
        refuse_denied(job, trigger)
    groups = groups_of(services, job)
    leased = tasks_to_lease(services, job)
    places = flattened(groups)
    planned = [
        PlannedTask(ordinal=place.ordinal, identifier=place.task.identifier, kind=place.task.kind) for place in places
    ]

    def start(tx: Writing) -> int:
        return RunLog.start(tx, services, job.identifier, planned, forced=forced, trigger=trigger).run

    number = _started(services, leased, start, claim)
    context = RunContext(
        services=services,
        run=number,
        job=job,
        occurrences={place.ordinal: place for place in places},
        outcomes={},
        forced=forced,
    )
    record = RunRecorder(services, number, leased)
    carrying_out = CarryingOut(record, context, observer, is_dry_run=is_dry_run)
    # A dry run needs no heartbeat: it blocks all other writers, so its leases cannot be taken over.
    with nullcontext() if is_dry_run else heard_from(services.store, number, services.lease_s):
        return carrying_out.result(groups)


def _started(services: Services, leased: Sequence[str], start: Callable[[Writing], int], claim: Claim) -> int:
    """Puts the start of a run on record and takes its tasks; gives its number."""
    store = services.store
    with (
        ending_what_begins(services, leased) as begun,
        naming_the_other_run(store, leased),
        store.transaction() as tx,
    ):
        make_free(tx, leased)
        number = start(tx)
        begun.append(number)
        claim(tx, number)
        tx.take_leases(number, leased, services.lease_s)
    return number
