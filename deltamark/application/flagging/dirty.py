"""The dirty resources: those that tasks would compute if they ran now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from deltamark.application.derivation.workload import unread_flags, workload
from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.history.changes import DirtyResource


def dirty_resources(
    reading: Reading, plan: Plan, consumers: Iterable[ComputingTask], entity_type: str | None
) -> Iterator[DirtyResource]:
    """The resources that each of these tasks would compute, by entity type and key.

    :param entity_type: None for all.
    """
    for consumer in consumers:
        work = workload(reading, plan, consumer)
        for name in work.entity_types:
            if entity_type not in (None, name):
                continue
            shares = work.of(name)
            if any(share.is_full for share in shares):
                for key, _ in reading.states_at(name, None):
                    yield DirtyResource(task=consumer.identifier, entity_type=name, key=key, since=0)
                continue
            flags = unread_flags(reading, shares).group_by("stream").aggregate([("since", "min")])
            since = dict(zip(flags.column("stream").to_pylist(), flags.column("since_min").to_pylist(), strict=True))
            for resource in reading.names(pa.array(since, pa.int64())).to_pylist():
                yield DirtyResource(
                    task=consumer.identifier, entity_type=name, key=resource["key"], since=since[resource["stream"]]
                )
