"""Resumes a run that was blocked, failed or died, under its own number."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from typing import Any

from attrs import frozen

from deltamark.application.adoption.adopt import adopt
from deltamark.application.execution.direct_input import done_with_input, keep_input, with_input_of
from deltamark.application.execution.executor import Executor
from deltamark.application.execution.given_jobs import job_to_resume
from deltamark.application.execution.interruption import ended_if_interrupted
from deltamark.application.execution.run_job import groups_of, tasks_to_lease
from deltamark.application.execution.task_types import RunContext
from deltamark.application.lookup import run_numbered
from deltamark.application.pending_changes.staleness import refuse_if_edited
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.runs.leases import end_if_dead, free_tasks, naming_the_other_run, renewed_leases
from deltamark.application.runs.observer import Observer
from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import RunLog
from deltamark.application.services import Services
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job, TaskState
from deltamark.domain.errors import CannotResume
from deltamark.domain.runs.resume import DONE, calls_to_repeat, kept_outcomes, reason_not_to_resume
from deltamark.domain.runs.run import JobRun
from deltamark.domain.runs.task_calls import Group, TaskCall, all_calls


@frozen(kw_only=True)
class _Resumption:
    """A run to resume, and the ordinals of the tasks that run again.

    Those of `pending` apply what was held back.
    """

    run: JobRun
    job: Job
    groups: tuple[Group, ...]
    again: frozenset[int]
    pending: frozenset[int]

    @property
    def calls(self) -> tuple[TaskCall, ...]:
        return all_calls(self.groups)

    @property
    def reading(self) -> tuple[TaskCall, ...]:
        """The calls that may read extracts again."""
        return tuple(call for call in self.calls if call.ordinal in self.again - self.pending)


def resume_run(
    services: Services,
    number: int,
    *,
    observer: Observer,
    given: Mapping[str, Any] | None = None,
    is_dry_run: bool = False,
) -> JobRun:
    """Resumes a run at its first unfinished task, and returns its record.

    Tasks that did their work are not repeated, except where it lived in the memory of the process that died. Blocked
    synchronizations apply exactly what was held back. Raises what `run_job` raises, and:

    :param given: connection table -> what a program gives now in its place.
    :param is_dry_run: whether all of it happens in a transaction that is rolled back: it keeps all others from writing.
    :raises CannotResume: if the run cannot go on, with the reason; nothing was started.
    :raises OutdatedChanges: if the configuration was edited since in a way that concerns what was held back; nothing
        was started, and the edit was not adopted.
    :raises UsageError: if there is no such run.
    """
    store = services.store
    with store.reading() as reading:
        run = run_numbered(reading, number)
    leased = _tasks(services, run)
    with naming_the_other_run(store, leased), store.transaction() as tx:
        end_if_dead(tx, number)  # stays on record also where the run cannot be resumed
    with (
        ended_if_interrupted(services, leased) as numbers,
        naming_the_other_run(store, leased),
        store.transaction() as tx,
    ):
        resumption = _resumption(services, tx, number)
        services = with_input_of(services, resumption.run, resumption.job, resumption.reading, given or {})
        numbers.append(number)
        free_tasks(tx, leased)
        RunLog(tx, number).resumed(services, resumption.again, resumption.pending)
        adopt(services, tx, number)
        tx.take_leases(number, leased, services.lease_s)
    if not is_dry_run:
        keep_input(services, number)
    context = RunContext(
        services=services,
        run=number,
        job=resumption.job,
        calls={call.ordinal: call for call in resumption.calls},
        outcomes=dict(kept_outcomes(resumption.run, resumption.again)),
        forced=run.forced,
        pending=resumption.pending,
        is_dry_run=is_dry_run,
    )
    groups = [tuple(call for call in group if call.ordinal in resumption.again) for group in resumption.groups]
    record = RunRecorder(services, number, leased)
    executor = Executor(record, context, observer, is_dry_run=is_dry_run)
    with nullcontext() if is_dry_run else renewed_leases(store, number, services.lease_s):
        return done_with_input(services, executor.run(groups))


def _tasks(services: Services, run: JobRun) -> tuple[str, ...]:
    job = job_to_resume(services, run)
    return () if job is None else tasks_to_lease(services, job)


def _resumption(services: Services, tx: Writing, number: int) -> _Resumption:
    run = end_if_dead(tx, number)
    assert run is not None, "a run that was read stays on record"
    if run.state is TaskState.RUNNING:
        operator = run.operator
        raise CannotResume(
            number, f"it is still running, by {operator.name} on {operator.host} (process {operator.process})"
        )
    job = job_to_resume(services, run)
    groups = () if job is None else groups_of(services, job)
    calls = all_calls(groups)
    later = _later(tx, run)
    pending = frozenset(tx.pending_tasks(number))
    reason = reason_not_to_resume(run, None if job is None else calls, later=later, has_pending=bool(pending))
    if reason is not None or job is None:
        raise CannotResume(number, reason or "")
    leads_to = _leads_to(services.configuration)
    for ordinal in sorted(pending):
        refuse_if_edited(services, tx, run, ordinal)
    again = calls_to_repeat(run, calls, pending, only_pending=later is not None, leads_to=leads_to)
    return _Resumption(run=run, job=job, groups=groups, again=again, pending=pending & again)


def _leads_to(configuration: Configuration) -> Mapping[str, Collection[str]]:
    """Connector -> the connectors that feed the resources to which its links lead."""
    leads_to: dict[str, set[str]] = {}
    for mapping in configuration.association_mappings:
        for end in (mapping.entity_property_mapping1, mapping.entity_property_mapping2):
            feeding = configuration.mapping_of(end.entity_type)
            if feeding is not None and feeding.connector != mapping.connector:
                leads_to.setdefault(mapping.connector, set()).add(feeding.connector)
    return leads_to


def _later(reading: Reading, run: JobRun) -> JobRun | None:
    """The newest later run of the same job that did its work, or None where there is none."""
    (newest,) = reading.runs(newest=1)
    later = reading.runs(newest=newest.run.number - run.number) if newest.run.number > run.number else []
    done = [summary.run for summary in later if _is_of_job(summary.run, run) and summary.run.state in DONE]
    return done[-1] if done else None


def _is_of_job(later: JobRun, run: JobRun) -> bool:
    return (later.job, later.definition) == (run.job, run.definition)
