"""Jobs and tasks: whether what they say can be carried out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, fields

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import cron_problem
from deltamark.domain.configuration.jobs import (
    Call,
    Job,
    Step,
    Task,
    TaskOverride,
)
from deltamark.domain.errors import Fault
from deltamark.domain.graph import dependency_cycles
from deltamark.domain.runs.task_calls import NO_LEVEL
from deltamark.domain.suggestions import hint
from deltamark.domain.validation.levels import level_faults
from deltamark.domain.validation.references import Index, task_reference_faults
from deltamark.domain.values import shown

NOT_TO_OVERRIDE = ("identifier", "location", "function")

_Parents = Mapping[str, tuple[str, ...]]


def job_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    """Tasks, overrides and jobs that could not run as they are written."""
    for task in configuration.all_tasks():
        yield from _task_faults(task)
    for job in configuration.jobs:
        for call in job.tasks:
            if isinstance(call, TaskOverride) and call.identifier in index.tasks:
                yield from _override_faults(call, index)
        resolved = ((call, _resolved(call, index)) for call in job.tasks)
        yield from level_faults(job, [(call, task) for call, task in resolved if task is not None])
        yield from _cron_faults(job)
    yield from _dependency_faults(configuration, index)


def _task_faults(task: Task) -> Iterator[Fault]:
    where = f"{task.kind} {shown(task.identifier)}"
    if task.level < NO_LEVEL:
        yield Fault(task.location, f"{where} has the level {task.level}; levels begin at 0")
    if task.identifier in task.parents:
        yield Fault(task.location, f"{where} depends on itself; remove that TaskDependsOnTask")
    for contradiction in task.contradictions():
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
    before = {fault.message for fault in (*_task_faults(task), *task_reference_faults(task, index))}
    changed = _resolved(call, index)
    assert changed is not None
    for fault in (*_task_faults(changed), *task_reference_faults(changed, index)):
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


def _dependency_faults(configuration: Configuration, index: Index) -> Iterator[Fault]:
    told: set[frozenset[str]] = set()
    for graph in _graphs(configuration, index):
        for cycle in dependency_cycles(graph):
            if frozenset(cycle) in told:
                continue
            told.add(frozenset(cycle))
            path = " -> ".join((*cycle, cycle[0]))
            yield Fault(
                index.tasks[cycle[0]].location,
                f"tasks depend on each other in a cycle: {path}; remove one of these TaskDependsOnTask",
            )


def _graphs(configuration: Configuration, index: Index) -> Iterator[_Parents]:
    """Who depends on whom, as the tasks say, and once more for each job that overrides it."""
    written = {name: task.parents for name, task in index.tasks.items()}
    yield written
    for job in configuration.jobs:
        overridden = {
            call.identifier: task.parents
            for call in job.tasks
            if isinstance(call, TaskOverride)
            and "parents" in call.changes
            and (task := _resolved(call, index)) is not None
        }
        if overridden:
            yield {**written, **overridden}
