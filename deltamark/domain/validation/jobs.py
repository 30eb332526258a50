"""Faults of jobs and tasks: what could not run as it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from attrs import evolve, fields

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import cron_problem
from deltamark.domain.configuration.jobs import Call, Job, Step, Task, TaskOverride
from deltamark.domain.errors import Fault
from deltamark.domain.graph import dependency_cycles
from deltamark.domain.location import Location
from deltamark.domain.runs.task_calls import NO_LEVEL
from deltamark.domain.suggestions import hint
from deltamark.domain.validation.references import Index, task_reference_faults
from deltamark.domain.values import shown

NOT_TO_OVERRIDE = ("identifier", "location", "name_locations", "function")

ResolvedCall: TypeAlias = tuple[Call, Task]
"""A call in a job, with the task that it resolves to."""

_Parents = Mapping[str, tuple[str, ...]]


def job_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    """The faults of tasks, overrides and jobs that could not run as they are written."""
    for task in configuration.all_tasks():
        yield from _task_faults(task, index)
    for job in configuration.jobs:
        for call in job.tasks:
            if isinstance(call, TaskOverride) and call.identifier in index.tasks:
                yield from _override_faults(call, index)
        resolved = [(call, called) for call in job.tasks if (called := _resolved(call, index)) is not None]
        yield from _level_faults(job, resolved)
        yield from _type_faults(job, resolved)
        yield from _cron_faults(job)
    yield from _dependency_faults(configuration, index)


def location_of(resolved_call: ResolvedCall) -> Location | None:
    """Where a task is called.

    Where it is defined, if the call has no location.
    """
    call, task = resolved_call
    return call.location or task.location


def _task_faults(task: Task, index: Index) -> Iterator[Fault]:
    where = f"{task.kind} {shown(task.identifier)}"
    if task.level < NO_LEVEL:
        yield Fault(task.location, f"{where} has the level {task.level}; levels begin at 0")
    if task.identifier in task.parents:
        yield Fault(task.location_of(task.identifier), f"{where} depends on itself; remove that TaskDependsOnTask")
    for contradiction in task.contradictions(is_delivered=task.prepares in index.delivered):
        yield Fault(task.location, f"{where} {contradiction}")


def _override_faults(call: TaskOverride, index: Index) -> Iterator[Fault]:
    task = index.tasks[call.identifier]
    if call.kind != task.kind:
        yield Fault(
            call.location,
            f"{call.kind}Override names {shown(call.identifier)}, which is a {task.kind}; write {task.kind}Override",
        )
        return
    known = [item.name for item in fields(type(task)) if item.name not in NOT_TO_OVERRIDE]
    unknown = [name for name in call.changes if name not in known]
    for name in unknown:
        yield Fault(
            call.location,
            f"{call.kind}Override {shown(call.identifier)} cannot change {shown(name)}{hint(name, known)}",
        )
    if unknown:
        return
    before = {fault.message for fault in (*_task_faults(task, index), *task_reference_faults(task, index))}
    changed = _resolved(call, index)
    assert changed is not None
    for fault in (*_task_faults(changed, index), *task_reference_faults(changed, index)):
        if fault.message not in before:
            yield Fault(call.location, fault.message)


def _resolved(call: Call, index: Index) -> Task | None:
    if isinstance(call, Task):
        return call
    task = index.tasks.get(call.task if isinstance(call, Step) else call.identifier)
    if task is None:
        return None
    if isinstance(call, Step):
        return task if call.level is None else evolve(task, level=call.level)
    known = {item.name for item in fields(type(task))}.difference(NOT_TO_OVERRIDE)
    changes: dict[str, Any] = {name: value for name, value in call.changes.items() if name in known}
    return evolve(task, **changes)


def _cron_faults(job: Job) -> Iterator[Fault]:
    if job.cron_tab_expression is None:
        return
    problem = cron_problem(job.cron_tab_expression)
    if problem is not None:
        yield Fault(
            job.location,
            f"CronTabExpression {shown(job.cron_tab_expression)} of job {shown(job.identifier)} {problem}",
        )


def _level_faults(job: Job, calls: Sequence[ResolvedCall]) -> Iterator[Fault]:
    """The faults of tasks that would run at the same time but cannot."""
    mixed = list(_mixed_levels(job, calls))
    yield from mixed
    if mixed:
        return
    ordered = sorted(calls, key=lambda call: call[1].level)
    for level, group in groupby(ordered, key=lambda call: call[1].level):
        if level >= 0:
            level_calls = list(group)
            yield from _called_twice(job, level_calls)
            yield from _parent_in_same_level(job, level_calls, [task for _, task in ordered if task.level < level])
            yield from _prepared_in_same_level(job, level_calls)


def _mixed_levels(job: Job, calls: Sequence[ResolvedCall]) -> Iterator[Fault]:
    for call, task in calls[1:]:
        first = calls[0][1]
        if (task.level == NO_LEVEL) != (first.level == NO_LEVEL):
            has, other_has = ("no", "one") if task.level == NO_LEVEL else ("a", "none")
            yield Fault(
                call.location,
                f"in job {shown(job.identifier)}, task {shown(task.identifier)} has {has} Level and "
                f"{shown(first.identifier)} has {other_has}; give all tasks of a job a Level, or none",
            )
            return


def _called_twice(job: Job, level_calls: Sequence[ResolvedCall]) -> Iterator[Fault]:
    seen: set[str] = set()
    for call in level_calls:
        task = call[1]
        if task.identifier in seen:
            yield Fault(
                location_of(call),
                f"task {shown(task.identifier)} is called twice in level {task.level} of job {shown(job.identifier)}, "
                "and a task never runs twice at once; remove one of the calls, or give it another Level",
            )
        seen.add(task.identifier)


def _parent_in_same_level(
    job: Job, level_calls: Sequence[ResolvedCall], lower_levels: Sequence[Task]
) -> Iterator[Fault]:
    same_level = {task.identifier for _, task in level_calls}
    earlier = {task.identifier for task in lower_levels}
    for call in level_calls:
        task = call[1]
        for parent in task.parents:
            if parent in same_level - earlier and parent != task.identifier:
                yield Fault(
                    location_of(call),
                    f"task {shown(task.identifier)} depends on {shown(parent)}, which is in the same level "
                    f"{task.level} of job {shown(job.identifier)} and runs at the same time; give it a higher Level",
                )


def _prepared_in_same_level(job: Job, level_calls: Sequence[ResolvedCall]) -> Iterator[Fault]:
    preparations = {task.prepares: task for _, task in level_calls if task.prepares is not None}
    for call in level_calls:
        task = call[1]
        preparation = None if task.synchronizes is None else preparations.get(task.synchronizes)
        if preparation is not None:
            yield Fault(
                location_of(call),
                f"task {shown(task.identifier)} synchronizes {shown(preparation.prepares)} in the same level "
                f"{task.level} of job {shown(job.identifier)} in which {shown(preparation.identifier)} prepares it; "
                "give it a higher Level",
            )


def _type_faults(job: Job, calls: Sequence[ResolvedCall]) -> Iterator[Fault]:
    """The faults of synchronizations whose extracts are prepared for another type of source system."""
    preparations = {task.prepares: task for _, task in reversed(calls) if task.prepares is not None}
    for call in calls:
        task = call[1]
        preparation = None if task.synchronizes is None else preparations.get(task.synchronizes)
        if preparation is not None and preparation.source_type != task.source_type:
            yield Fault(
                location_of(call),
                f"task {shown(task.identifier)} of job {shown(job.identifier)} has the Type "
                f"{shown(task.source_type)}, and {shown(preparation.identifier)}, which prepares its extracts, has "
                f"{shown(preparation.source_type)}; give both the same Type",
            )


def _dependency_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    reported: set[frozenset[str]] = set()
    for graph in _dependency_graphs(configuration, index):
        for cycle in dependency_cycles(graph):
            if frozenset(cycle) in reported:
                continue
            reported.add(frozenset(cycle))
            path = " -> ".join((*cycle, cycle[0]))
            yield Fault(
                index.tasks[cycle[0]].location,
                f"tasks depend on each other in a cycle: {path}; remove one of these TaskDependsOnTask",
            )


def _dependency_graphs(configuration: Configuration, index: Index) -> Iterator[_Parents]:
    """The parents of all tasks: as defined, and as each job overrides them."""
    defined = {name: task.parents for name, task in index.tasks.items()}
    yield defined
    for job in configuration.jobs:
        overridden = {
            call.identifier: task.parents
            for call in job.tasks
            if isinstance(call, TaskOverride)
            and "parents" in call.changes
            and (task := _resolved(call, index)) is not None
        }
        if overridden:
            yield {**defined, **overridden}
