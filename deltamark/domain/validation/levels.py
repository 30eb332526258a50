"""Levels of a job: what cannot be carried out when tasks run at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

from deltamark.domain.configuration.jobs import Call, Job, Task
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.runs.task_calls import NO_LEVEL
from deltamark.domain.values import shown

Called: TypeAlias = tuple[Call, Task]
"""A call in a job, with the task that it resolves to."""


def level_faults(job: Job, calls: Sequence[Called]) -> Iterator[Fault]:
    """What is wrong with the levels of a job, given those of its calls that resolve to a task."""
    mixed = list(_mixed(job, calls))
    yield from mixed
    if mixed:
        return
    ordered = sorted(calls, key=lambda called: called[1].level)
    for level, found in groupby(ordered, key=lambda called: called[1].level):
        if level >= 0:
            together = list(found)
            yield from _twice(job, together)
            yield from _waiting_for_each_other(job, together, [task for _, task in ordered if task.level < level])
            yield from _synchronized_while_prepared(job, together)


def _mixed(job: Job, calls: Sequence[Called]) -> Iterator[Fault]:
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


def _twice(job: Job, together: Sequence[Called]) -> Iterator[Fault]:
    seen: set[str] = set()
    for called in together:
        task = called[1]
        if task.identifier in seen:
            yield Fault(
                _place(called),
                f"task {shown(task.identifier)} is called twice in level {task.level} of job {shown(job.identifier)}, "
                "and a task never runs twice at once; remove one of the calls, or give it another Level",
            )
        seen.add(task.identifier)


def _waiting_for_each_other(job: Job, together: Sequence[Called], before: Sequence[Task]) -> Iterator[Fault]:
    beside = {task.identifier for _, task in together}
    earlier = {task.identifier for task in before}
    for called in together:
        task = called[1]
        for parent in task.parents:
            if parent in beside - earlier and parent != task.identifier:
                yield Fault(
                    _place(called),
                    f"task {shown(task.identifier)} depends on {shown(parent)}, which is in the same level "
                    f"{task.level} of job {shown(job.identifier)} and runs at the same time; give it a higher Level",
                )


def _synchronized_while_prepared(job: Job, together: Sequence[Called]) -> Iterator[Fault]:
    preparations = {task.prepares: task for _, task in together if task.prepares is not None}
    for called in together:
        task = called[1]
        preparation = None if task.synchronizes is None else preparations.get(task.synchronizes)
        if preparation is not None:
            yield Fault(
                _place(called),
                f"task {shown(task.identifier)} synchronizes {shown(preparation.prepares)} in the same level "
                f"{task.level} of job {shown(job.identifier)} in which {shown(preparation.identifier)} prepares it; "
                "give it a higher Level",
            )


def _place(called: Called) -> Location | None:
    call, task = called
    return call.location or task.location
