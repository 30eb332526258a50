"""Warnings about configurations that can run, but probably not as they are meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import fires_more_than_hourly
from deltamark.domain.configuration.jobs import ComputingTask, Job
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.errors import Fault
from deltamark.domain.validation.databases import database_warnings
from deltamark.domain.validation.derivation_warnings import computed_too_late, contradicted_priorities, never_computed
from deltamark.domain.validation.jobs import ResolvedCall, location_of
from deltamark.domain.validation.option_warnings import option_warnings
from deltamark.domain.validation.sinks import sink_warnings
from deltamark.domain.validation.unfed_warnings import NOTHING_FROZEN, Frozen, unfed_warnings
from deltamark.domain.validation.validate import in_file_order
from deltamark.domain.values import shown


def warnings(
    configuration: Configuration, plan: Plan, *, is_whole: bool = True, frozen: Frozen = NOTHING_FROZEN
) -> tuple[Fault, ...]:
    """What users probably do not mean, in file order. No warning keeps a job from running.

    :param configuration: one without `deltamark.domain.validation.validate.faults`, or the judgeable part of another.
    :param plan: the plan of its derivations.
    :param is_whole: whether the configuration has everything that its files define. Otherwise there are no warnings
        about what is missing in it.
    :param frozen: what nothing feeds on purpose.
    """
    faults = [*contradicted_priorities(plan), *option_warnings(configuration, is_whole=is_whole)]
    if is_whole:
        faults += database_warnings(configuration)
        faults += sink_warnings(configuration)
        faults += never_computed(configuration, plan)
        faults += unfed_warnings(configuration, plan, frozen)
    for job in configuration.jobs:
        as_written = list(zip(job.tasks, configuration.called_by(job), strict=True))
        as_executed = sorted(as_written, key=lambda call: call[1].level)
        if is_whole:
            faults += _dirty_without_flag(job, as_executed)
            faults += computed_too_late(job, as_executed, plan)
        faults += _flag_without_changes(job, as_executed)
        faults += _called_twice(job, as_written)
        faults += _all_types_too_often(job, as_written)
        faults += _initial_by_schedule(job, as_written)
        faults += _before_its_parent(job, as_executed)
    return in_file_order(faults)


def _dirty_without_flag(job: Job, as_executed: Sequence[ResolvedCall]) -> Iterator[Fault]:
    for call in as_executed:
        task = call[1]
        if task.flags_changes:
            return
        if isinstance(task, ComputingTask) and task.dirty:
            yield Fault(
                location_of(call),
                f"task {shown(task.identifier)} of job {shown(job.identifier)} works on flagged resources "
                "(Dirty), but no SetRecentlyModifiedFlagTask runs before it; put one before it",
            )


def _flag_without_changes(job: Job, as_executed: Sequence[ResolvedCall]) -> Iterator[Fault]:
    discarding: list[ResolvedCall] = []
    for call in as_executed:
        task = call[1]
        if task.discards_changes:
            discarding.append(call)
        if task.flags_changes:
            for earlier in discarding:
                synchronization = earlier[1]
                at = f" ({location_of(earlier)})" if location_of(earlier) else ""
                yield Fault(
                    location_of(call),
                    f"task {shown(task.identifier)} of job {shown(job.identifier)} flags what changed, but "
                    f"{shown(synchronization.identifier)}{at} before it discards its changes, so that every "
                    'resource of its connector is flagged; set DoNotDeleteChanges="true" there',
                )
            discarding.clear()


def _called_twice(job: Job, as_written: Sequence[ResolvedCall]) -> Iterator[Fault]:
    first: dict[str, ResolvedCall] = {}
    for call in as_written:
        name = call[1].identifier
        if name in first:
            at = f"; the first time is at {location_of(first[name])}" if location_of(first[name]) else ""
            yield Fault(location_of(call), f"task {shown(name)} runs twice in job {shown(job.identifier)}{at}")
        first.setdefault(name, call)


def _all_types_too_often(job: Job, as_written: Sequence[ResolvedCall]) -> Iterator[Fault]:
    if job.cron_tab_expression is None or not fires_more_than_hourly(job.cron_tab_expression):
        return
    for call in as_written:
        task = call[1]
        if isinstance(task, ComputingTask) and task.all_entity_type:
            yield Fault(
                location_of(call),
                f"task {shown(task.identifier)} covers all entity types (AllEntityType), and job "
                f"{shown(job.identifier)} starts more than once an hour; name the ones that it needs with "
                "TaskEntityType",
            )


def _initial_by_schedule(job: Job, as_written: Sequence[ResolvedCall]) -> Iterator[Fault]:
    if job.cron_tab_expression is None:
        return
    for call in as_written:
        task = call[1]
        if task.is_initial:
            yield Fault(
                location_of(call),
                f"task {shown(task.identifier)} has the SynchronizationMode Initial, which deletes nothing and is not "
                f"limited by any threshold, and job {shown(job.identifier)} is started by its schedule; set "
                "SynchronizationMode Complete for what is repeated",
            )


def _before_its_parent(job: Job, as_executed: Sequence[ResolvedCall]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for place, (_, task) in enumerate(as_executed):
        first.setdefault(task.identifier, place)
    for place, call in enumerate(as_executed):
        task = call[1]
        for parent in task.parents:
            if first.get(parent, -1) > place:
                yield Fault(
                    location_of(call),
                    f"task {shown(task.identifier)} runs before {shown(parent)}, on which it depends, in job "
                    f"{shown(job.identifier)}; move it after that task, or give it a higher Level",
                )
