"""Calls of tasks in a job: a run runs calls, for the same task may be called twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from attrs import frozen

from deltamark.domain.configuration.jobs import Task

NO_LEVEL = -1


@frozen(kw_only=True)
class TaskCall:
    """A call of a task at its place in a job.

    :param ordinal: the place, from 1 in running order.
    :param parents: the ordinals of the nearest earlier calls of the tasks that it depends on. A task that is called
        only later, or not at all, is left out: it could never be waited for.
    :param prepared_at: of a synchronization: the ordinal of the nearest earlier call that prepares its connector.
    """

    ordinal: int
    task: Task
    parents: tuple[int, ...] = ()
    prepared_at: int | None = None


Group: TypeAlias = tuple[TaskCall, ...]
"""Calls whose tasks run at the same time, by their ordinals."""


def running_order(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """The tasks as they run: by level where levels are given, in document order otherwise."""
    return tuple(sorted(tasks, key=lambda task: task.level))


def call_groups(tasks: Iterable[Task]) -> tuple[Group, ...]:
    """The tasks of a job in the groups in which they run, one group after another.

    Tasks without a level are a group each, those of one level are one. The next group begins when all tasks of the
    one before have ended.
    """
    ordinals = iter(range(1, 2**31))
    groups: list[Group] = []
    called: dict[str, int] = {}
    prepared: dict[str, int] = {}
    for together in _together(running_order(tasks)):
        group = tuple(_call(next(ordinals), task, called, prepared) for task in together)
        called.update({call.task.identifier: call.ordinal for call in group})
        prepared.update({call.task.prepares: call.ordinal for call in group if call.task.prepares is not None})
        groups.append(group)
    return tuple(groups)


def all_calls(groups: Iterable[Group]) -> tuple[TaskCall, ...]:
    """All calls of a job, by their ordinals."""
    return tuple(call for group in groups for call in group)


def _together(tasks: Sequence[Task]) -> Iterator[tuple[Task, ...]]:
    for level, together in groupby(tasks, key=lambda task: task.level):
        if level == NO_LEVEL:
            yield from ((task,) for task in together)
        else:
            yield tuple(together)


def _call(ordinal: int, task: Task, called: Mapping[str, int], prepared: Mapping[str, int]) -> TaskCall:
    """A call after others.

    :param called: task -> the ordinal of its last earlier call.
    :param prepared: connector -> the ordinal of the last earlier call that prepares it.
    """
    parents = tuple(called[name] for name in dict.fromkeys(task.parents) if name in called)
    prepared_at = None if task.synchronizes is None else prepared.get(task.synchronizes)
    return TaskCall(ordinal=ordinal, task=task, parents=parents, prepared_at=prepared_at)
