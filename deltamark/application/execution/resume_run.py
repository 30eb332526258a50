"""Resuming: a run that was blocked, failed or died goes on, under its own number."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import frozen

from deltamark.application.execution.executor import CarryingOut
from deltamark.application.execution.interruption import ending_what_begins
from deltamark.application.execution.run_job import groups_of, tasks_to_lease
from deltamark.application.execution.task_types import RunContext
from deltamark.application.lookup import run_numbered
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.writing import Writing
from deltamark.application.runs.leases import end_if_dead, heard_from, make_free, naming_the_other_run
from deltamark.application.runs.observer import Observer
from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import RunLog
from deltamark.application.services import Services
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job, TaskState
from deltamark.domain.errors import CannotResume
from deltamark.domain.runs.resume import DONE, kept_outcomes, places_to_run, reason_not_to_resume
from deltamark.domain.runs.run import JobRun
from deltamark.domain.runs.task_calls import Group, Occurrence, flattened


@frozen(kw_only=True)
class _GoingOn:
    """A run that goes on, and the places whose tasks run again; those of `pending` apply what was held back."""

    run: JobRun
    job: Job
    groups: tuple[Group, ...]
    again: frozenset[int]
    pending: frozenset[int]

    @property
    def places(self) -> tuple[Occurrence, ...]:
        return flattened(self.groups)


def resume_run(services: Services, number: int, *, observer: Observer) -> JobRun:
    """Goes on with a run from its first unfinished task; gives back its record.

    What has done its work is not done again, except what lived in the memory of the process that died. Blocked
    synchronizations apply exactly what was held back. Raises what `run_job` raises, and:

    :raises CannotResume: if there is nothing to go on with, says why; nothing was started.
    :raises UsageError: if there is no such run.
    """
    store = services.store
    with store.reading() as reading:
        run = run_numbered(reading, number)
    leased = _tasks(services, run)
    with naming_the_other_run(store, leased), store.transaction() as tx:
        end_if_dead(tx, number)  # stays on record also where nothing is left to go on with
    with (
        ending_what_begins(services, leased) as begun,
        naming_the_other_run(store, leased),
        store.transaction() as tx,
    ):
        going_on = _going_on(services, tx, number)
        begun.append(number)
        make_free(tx, leased)
        RunLog(tx, number).resumed(services, going_on.again, going_on.pending)
        tx.take_leases(number, leased, services.lease_s)
    context = RunContext(
        services=services,
        run=number,
        job=going_on.job,
        occurrences={place.ordinal: place for place in going_on.places},
        outcomes=dict(kept_outcomes(going_on.run, going_on.again)),
        forced=run.forced,
        pending=going_on.pending,
    )
    groups = [tuple(place for place in group if place.ordinal in going_on.again) for group in going_on.groups]
    record = RunRecorder(services, number, leased)
    carrying_out = CarryingOut(record, context, observer, is_dry_run=False)
    with heard_from(store, number, services.lease_s):
        return carrying_out.result(groups)


def _tasks(services: Services, run: JobRun) -> tuple[str, ...]:
    job = services.configuration.job(run.job)
    return () if job is None else tasks_to_lease(services, job)


def _going_on(services: Services, tx: Writing, number: int) -> _GoingOn:
    run = end_if_dead(tx, number)
    assert run is not None, "a run that was read stays on record"
    if run.state is TaskState.RUNNING:
        by = run.operator
        raise CannotResume(number, f"it is still running, by {by.user} on {by.host} (process {by.process})")
    job = services.configuration.job(run.job)
    groups = () if job is None else groups_of(services, job)
    places = flattened(groups)
    later = _later(tx, run)
    pending = frozenset(tx.pending_tasks(number))
    reason = reason_not_to_resume(run, None if job is None else places, later=later, has_pending=bool(pending))
    if reason is not None or job is None:
        raise CannotResume(number, reason or "")
    leads_to = _leads_to(services.configuration)
    again = places_to_run(run, places, pending, only_pending=later is not None, leads_to=leads_to)
    return _GoingOn(run=run, job=job, groups=groups, again=again, pending=pending & again)


def _leads_to(configuration: Configuration) -> Mapping[str, Collection[str]]:
    """Connector -> the connectors that feed the resources to which its links lead."""
    found: dict[str, set[str]] = {}
    for mapping in configuration.association_mappings:
        for end in (mapping.entity_property_mapping1, mapping.entity_property_mapping2):
            feeding = configuration.mapping_of(end.entity_type)
            if feeding is not None and feeding.connector != mapping.connector:
                found.setdefault(mapping.connector, set()).add(feeding.connector)
    return found


def _later(reading: Reading, run: JobRun) -> JobRun | None:
    """The newest run of the same job that did its work after this one was started, if there is one."""
    (newest,) = reading.runs(newest=1)
    later = reading.runs(newest=newest.run.number - run.number) if newest.run.number > run.number else []
    done = [found.run for found in later if found.run.job == run.job and found.run.state in DONE]
    return done[-1] if done else None
