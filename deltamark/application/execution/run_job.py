"""Runs a job: its tasks in order or level by level, each in one transaction, each on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from deltamark.application.adoption.adopt import adopt
from deltamark.application.execution.direct_input import done_with_input, keep_input, with_direct_input
from deltamark.application.execution.executor import Executor
from deltamark.application.execution.interruption import ended_if_interrupted
from deltamark.application.execution.task_types import RunContext
from deltamark.application.ports.commands import Writing
from deltamark.application.runs.leases import free_tasks, naming_the_other_run, refuse_if_running, renewed_leases
from deltamark.application.runs.observer import Observer
from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import RunLog
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.errors import UserStartDenied
from deltamark.domain.runs.run import BY_USER, JobRun, PlannedTask, Trigger, TriggerKind
from deltamark.domain.runs.task_calls import Group, all_calls, call_groups

Claim = Callable[[Writing, int], None]
"""Takes part in the transaction that starts a run, given its number; what it raises keeps the run from starting."""


def groups_of(services: Services, job: Job) -> tuple[Group, ...]:
    """The calls of a job in the groups in which their tasks run."""
    return call_groups(services.configuration.called_by(job))


def tasks_to_lease(services: Services, job: Job) -> tuple[str, ...]:
    """The identifiers of the tasks of a job, each once.

    While a run runs them, no other run may.
    """
    return tuple(dict.fromkeys(task.identifier for task in services.configuration.called_by(job)))


def refuse_denied(job: Job, trigger: Trigger) -> None:
    """Refuses to let a user start a job that only the schedule may start.

    :raises UserStartDenied: if the job denies users to start it.
    """
    if job.user_start_denied and trigger.kind is TriggerKind.USER:
        raise UserStartDenied(job.identifier)


def run_if_free(
    services: Services,
    job: Job,
    *,
    forced: bool,
    observer: Observer,
    reads_anew: bool = False,
    definition: str | None = None,
) -> JobRun:
    """Runs a job as `run_job` does, but is refused at once where a task is already running.

    Checks before the transaction that takes the tasks, which would wait for another writer.

    :raises AlreadyRunning: if another run runs one of the tasks; nothing was started.
    """
    refuse_if_running(services.store, tasks_to_lease(services, job))
    return run_job(services, job, forced=forced, observer=observer, reads_anew=reads_anew, definition=definition)


def run_job(
    services: Services,
    job: Job,
    *,
    forced: bool,
    observer: Observer,
    reads_anew: bool = False,
    is_dry_run: bool = False,
    trigger: Trigger = BY_USER,
    claim: Claim = lambda tx, run: None,
    definition: str | None = None,
) -> JobRun:
    """Runs a job and returns its record, also where tasks failed.

    A task that fails leaves the store as it was before that task, and the record says why. Errors that are no
    `DeltamarkError`, interruptions, and errors of the observer are put on record too and then raised again.

    The first run under a configuration adopts it, in the transaction in which it starts.

    :param reads_anew: compares extracts also where an earlier run applied them as they are.
    :param claim: takes part in the transaction that starts the run.
    :param definition: what is recorded of a job that is not one of the configuration.
    :raises AlreadyRunning: if another run runs one of the tasks; nothing was started.
    :raises OtherConfigurationInUse: if another run goes on under another configuration; nothing was started.
    :raises UserStartDenied: if a user starts what only the schedule may start. Dry runs are always allowed.
    :raises TakenOver: if another run took this one for dead and took its tasks over.
    """
    if not is_dry_run:
        refuse_denied(job, trigger)
    services = with_direct_input(services, job)
    groups = groups_of(services, job)
    leased = tasks_to_lease(services, job)
    calls = all_calls(groups)
    planned = [
        PlannedTask(ordinal=call.ordinal, identifier=call.task.identifier, kind=call.task.kind) for call in calls
    ]

    def start(tx: Writing) -> int:
        run = RunLog.start(
            tx, services, job.identifier, planned, forced=forced, trigger=trigger, definition=definition
        ).run
        adopt(services, tx, run)
        return run

    number = _start(services, leased, start, claim)
    if not is_dry_run:
        keep_input(services, number)
    context = RunContext(
        services=services,
        run=number,
        job=job,
        calls={call.ordinal: call for call in calls},
        outcomes={},
        forced=forced,
        reads_anew=reads_anew,
        is_dry_run=is_dry_run,
    )
    record = RunRecorder(services, number, leased)
    executor = Executor(record, context, observer, is_dry_run=is_dry_run)
    # A dry run needs no heartbeat: it blocks all other writers, so its leases cannot be taken over.
    with nullcontext() if is_dry_run else renewed_leases(services.store, number, services.lease_s):
        return done_with_input(services, executor.run(groups))


def _start(services: Services, leased: Sequence[str], start: Callable[[Writing], int], claim: Claim) -> int:
    """Puts the start of a run on record, takes its tasks, and returns its number."""
    store = services.store
    with (
        ended_if_interrupted(services, leased) as numbers,
        naming_the_other_run(store, leased),
        store.transaction() as tx,
    ):
        free_tasks(tx, leased)
        number = start(tx)
        numbers.append(number)
        claim(tx, number)
        tx.take_leases(number, leased, services.lease_s)
    return number
