"""The dirty resources: those that tasks would compute if they ran now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from deltamark.application.derivation.due import DueValues
from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.history.changes import DirtyResource, Position


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
