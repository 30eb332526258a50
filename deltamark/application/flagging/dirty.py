"""The dirty resources: those that tasks would compute if they ran now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.derivation.due import DueValues, first_of
from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.history.changes import DirtyResource, Position
from deltamark.domain.history.pages import DirtyCount
from deltamark.domain.resources.resource import ResourceRef


def dirty_resources(
    reading: Reading,
    plan: Plan,
    tasks: Iterable[ComputingTask],
    consumers: Iterable[ComputingTask],
    entity_type: str | None,
) -> Iterator[DirtyResource]:
    """The resources that each of some tasks would compute, by entity type and key.

    Also those that read computed values which are due: they may follow.

    :param tasks: all computing tasks of the configuration.
    :param consumers: those whose resources are listed.
    :param entity_type: None for all.
    """
    values = DueValues(reading, plan, tasks)
    for consumer in consumers:
        for name in values.entity_types(consumer):
            if entity_type in (None, name):
                yield from _of_type(reading, values, consumer, name)


def dirty_counts(
    reading: Reading, plan: Plan, tasks: Iterable[ComputingTask], consumers: Iterable[ComputingTask]
) -> list[DirtyCount]:
    """How many resources each of some tasks would compute, by entity type, without those that only may follow."""
    values = DueValues(reading, plan, tasks)
    return [_count(reading, values, consumer, name) for consumer in consumers for name in values.entity_types(consumer)]


def _count(reading: Reading, values: DueValues, task: ComputingTask, name: str) -> DirtyCount:
    if _is_everything(values, task, name):
        count, since = reading.live_resource_count(name), 0
        return DirtyCount(
            task=task.identifier, entity_type=name, count=count, since=since if count else None, is_everything=True
        )
    due = _due(values, task, name)
    return DirtyCount(
        task=task.identifier,
        entity_type=name,
        count=due.num_rows,
        since=pc.min(due.column("since")).as_py(),
        is_everything=False,
    )


def _is_everything(values: DueValues, task: ComputingTask, name: str) -> bool:
    """Whether a task would compute all resources of an entity type."""
    return any(share.outdated_reason is not None for share in values.workload(task).of(name))


def _due(values: DueValues, task: ComputingTask, name: str) -> pa.Table:
    """The resources of which a value is due, each once, with the first change (`DUE`)."""
    return first_of([table for _, table in (*values.due(task, name), *values.obsolete(task, name))])


def some_dirty_resources(
    reading: Reading,
    plan: Plan,
    tasks: Iterable[ComputingTask],
    consumer: ComputingTask,
    entity_type: str | None,
    after: ResourceRef | None,
    limit: int,
) -> list[DirtyResource]:
    """Some of the resources that a task would compute, by entity type and key, without those that only may follow."""
    values = DueValues(reading, plan, tasks)
    found: list[DirtyResource] = []
    for name in sorted(values.entity_types(consumer)):
        if entity_type not in (None, name) or (after is not None and name < after.entity_type):
            continue
        begin = after.key if after is not None and name == after.entity_type else None
        for key, since in _some_of_type(reading, values, consumer, name, begin):
            if len(found) == limit:
                return found
            found.append(DirtyResource(task=consumer.identifier, entity_type=name, key=key, since=since))
    return found


_FEW = 5_000
"""So many resources are sorted by their keys; of more, those that exist are looked through in the order of keys."""

_AT_ONCE = 500


def _some_of_type(
    reading: Reading, values: DueValues, task: ComputingTask, name: str, after: str | None
) -> Iterator[tuple[str, Position]]:
    since: dict[int, Position] | None = None
    if not _is_everything(values, task, name):
        due = _due(values, task, name)
        since = dict(zip(due.column("stream").to_pylist(), due.column("since").to_pylist(), strict=True))
        if len(since) <= _FEW:
            for resource in reading.names(due.column("stream").combine_chunks()).to_pylist():
                if resource["entity_type"] == name and (after is None or resource["key"].encode() > after.encode()):
                    yield resource["key"], since[resource["stream"]]
            return
    while True:
        resources, reached = reading.resources_from(name, after, "", _AT_ONCE)
        for resource in resources:
            stream = int(resource.originator_id)
            if since is None or stream in since:
                yield resource.ref.key, 0 if since is None else since[stream]
        if reached is None:
            return
        after = reached


def _of_type(reading: Reading, values: DueValues, task: ComputingTask, name: str) -> Iterator[DirtyResource]:
    since: dict[int, Position] = {}
    tables = [table for _, table in values.due(task, name)] + [table for _, table in values.obsolete(task, name)]
    for table in tables:
        _note_first(since, table)
    through: dict[int, dict[str, None]] = {}
    first: dict[int, Position] = {}
    for share, _ in values.due(task, name):
        for dependency, table in values.follows(share.planned):
            _note_first(first, table)
            for stream in table.column("stream").to_pylist():
                if stream not in since:
                    through.setdefault(stream, {})[str(dependency)] = None
    since = {stream: first[stream] for stream in through} | since
    for resource in reading.names(pa.array(since, pa.int64())).to_pylist():
        # An association may once have led to another entity type.
        if resource["entity_type"] == name:
            stream = resource["stream"]
            yield DirtyResource(
                task=task.identifier,
                entity_type=name,
                key=resource["key"],
                since=since[stream],
                through=tuple(through.get(stream, ())),
            )


def _note_first(since: dict[int, Position], table: pa.Table) -> None:
    """Keeps the first position of each resource."""
    for stream, position in zip(table.column("stream").to_pylist(), table.column("since").to_pylist(), strict=True):
        since[stream] = min(position, since.get(stream, position))
