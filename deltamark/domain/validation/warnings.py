"""What runs, but hardly as it is meant: told before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import fires_more_than_hourly
from deltamark.domain.configuration.jobs import Call, ComputingTask, Job, Task
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.validation.derivation_warnings import computed_too_late, contradicted_priorities, never_covered
from deltamark.domain.validation.validate import in_file_order
from deltamark.domain.values import shown

Called: TypeAlias = tuple[Call, Task]
"""A call in a job, with the task that it resolves to."""


def warnings(configuration: Configuration, plan: Plan) -> tuple[Fault, ...]:
    """What users probably do not mean, in file order. None of it keeps a job from running.

    :param configuration: one in which `deltamark.domain.validation.validate.faults` finds nothing.
    :param plan: of what it derives.
    """
    found = [*contradicted_priorities(plan), *never_covered(configuration, plan)]
    for job in configuration.jobs:
        written = list(zip(job.tasks, configuration.called_by(job), strict=True))
        running = sorted(written, key=lambda called: called[1].level)
        found += _dirty_without_flag(job, running)
        found += _flag_without_changes(job, running)
        found += _called_twice(job, written)
        found += _everything_too_often(job, written)
        found += _before_its_parent(job, running)
        found += computed_too_late(job, running, plan)
    return in_file_order(found)


def _place(called: Called) -> Location | None:
    call, task = called
    return call.location or task.location


def _dirty_without_flag(job: Job, running: Sequence[Called]) -> Iterator[Fault]:
    for called in running:
        task = called[1]
        if task.flags_changes:
            return
        if isinstance(task, ComputingTask) and task.dirty:
            yield Fault(
                _place(called),
                f"task {shown(task.identifier)} of job {shown(job.identifier)} works on flagged resources "
                "(Dirty), but no SetRecentlyModifiedFlagTask runs before it; put one before it",
            )


def _flag_without_changes(job: Job, running: Sequence[Called]) -> Iterator[Fault]:
    discarding: list[Called] = []
    for called in running:
        task = called[1]
        if task.discards_changes:
            discarding.append(called)
        if task.flags_changes:
            for earlier in discarding:
                synchronization = earlier[1]
                at = f" ({_place(earlier)})" if _place(earlier) else ""
                yield Fault(
                    _place(called),
                    f"task {shown(task.identifier)} of job {shown(job.identifier)} flags what changed, but "
                    f"{shown(synchronization.identifier)}{at} before it discards its changes, so that every "
                    'resource of its connector is flagged; set DoNotDeleteChanges="true" there',
                )
            discarding.clear()


def _called_twice(job: Job, written: Sequence[Called]) -> Iterator[Fault]:
    first: dict[str, Called] = {}
    for called in written:
        name = called[1].identifier
        if name in first:
            at = f"; the first time is at {_place(first[name])}" if _place(first[name]) else ""
            yield Fault(_place(called), f"task {shown(name)} runs twice in job {shown(job.identifier)}{at}")
        first.setdefault(name, called)


def _everything_too_often(job: Job, written: Sequence[Called]) -> Iterator[Fault]:
    if job.cron_tab_expression is None or not fires_more_than_hourly(job.cron_tab_expression):
        return
    for called in written:
        task = called[1]
        if isinstance(task, ComputingTask) and task.all_entity_type:
            yield Fault(
                _place(called),
                f"task {shown(task.identifier)} covers all entity types (AllEntityType), and job "
                f"{shown(job.identifier)} starts more than once an hour; name the ones that matter with "
                "TaskEntityType",
            )


def _before_its_parent(job: Job, running: Sequence[Called]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for position, (_, task) in enumerate(running):
        first.setdefault(task.identifier, position)
    for position, called in enumerate(running):
        task = called[1]
        for parent in task.parents:
            if first.get(parent, -1) > position:
                yield Fault(
                    _place(called),
                    f"task {shown(task.identifier)} runs before {shown(parent)}, on which it depends, in job "
                    f"{shown(job.identifier)}; move it behind, or give it a higher Level",
                )
