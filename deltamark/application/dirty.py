"""What is dirty: the resources that tasks would compute if they ran now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deltamark.application.compute_keys import Workload, workload
from deltamark.application.ports.store import Reading
from deltamark.domain.changes import DirtyResource, Position
from deltamark.domain.configuration import Configuration
from deltamark.domain.job import ComputeCorrelationKeysTask


def dirty_resources(
    reading: Reading,
    configuration: Configuration,
    consumers: Iterable[ComputeCorrelationKeysTask],
    entity_type: str | None,
) -> Iterator[DirtyResource]:
    """What each of some tasks would compute, by entity type and key; of one entity type, or of all."""
    for consumer in consumers:
        work = workload(reading, configuration, consumer)
        for name in work.entity_types:
            if entity_type in (None, name):
                for key, since in _flagged(reading, name, work):
                    yield DirtyResource(task=consumer.identifier, entity_type=name, key=key, since=since)


def _flagged(reading: Reading, entity_type: str, work: Workload) -> Iterable[tuple[str, Position]]:
    if work.everything:
        return ((key, 0) for key, _ in reading.states_at(entity_type, None))
    flagged = reading.flagged(entity_type, work.after)
    return zip(flagged.column("key").to_pylist(), flagged.column("since").to_pylist(), strict=True)
