"""From rows of changes to columns: what `mapper` gives as objects, but without an object for each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from deltamark.application.ports.records import ChangeBatch
from deltamark.domain.resources.link import Linked, Unlinked
from deltamark.domain.resources.resource import Created, Deleted, Updated
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.mapper import (
    COMPUTED,
    CREATED,
    DELETED,
    LINKED,
    UNLINKED,
    UNREADABLE,
    UPDATED,
    from_micros,
    unreadable,
)

_KIND: Mapping[str, str] = {
    CREATED: Created.kind,
    UPDATED: Updated.kind,
    COMPUTED: Updated.kind,
    DELETED: Deleted.kind,
    LINKED: Linked.kind,
    UNLINKED: Unlinked.kind,
}


def change_batch(rows: Sequence[tuple[Any, ...]]) -> ChangeBatch:
    """Returns changes in columns.

    :param rows: position, stream, version, topic and payload.
    :raises StoreError: for a payload that does not fit its topic.
    """
    decoded, encoded = orjson.loads, orjson.dumps
    time, number, ordinal, line = payload.AT, payload.RUN, payload.TASK, payload.LINE
    entity_type, key, values = payload.ENTITY_TYPE, payload.KEY, payload.VALUES
    places: dict[tuple[int, int, str, int], int] = {}
    links: list[tuple[str, str, str] | tuple[None, None, None]] = []
    types: list[str] = []
    keys: list[str] = []
    lines: list[int | None] = []
    changes: list[bytes | None] = []
    origins: list[int] = []
    changed: dict[str, Any] | None
    for _, stream, version, topic, state in rows:
        try:
            p = decoded(state)
            subject = p[entity_type]
            if topic == CREATED:
                changed = {name: {"before": None, "after": value} for name, value in p[values].items()}
            elif topic in (UPDATED, COMPUTED):
                changed = {name: {"before": before, "after": after} for name, (before, after) in p[values].items()}
            elif topic == DELETED:
                last = {**p[values], **p.get(payload.COMPUTED_VALUES, {})}
                changed = {name: {"before": value, "after": None} for name, value in last.items()}
            else:
                subject = p[payload.ASSOCIATION]
                links += [_NO_LINK] * (len(keys) - len(links))
                links.append((subject, p[payload.TARGET_TYPE], p[payload.TARGET_KEY]))
                changed = None
            place = (p[number], p[ordinal], subject, p[time])
            types.append(p[entity_type])
            keys.append(p[key])
            lines.append(p.get(line))
            changes.append(None if changed is None else encoded(changed))
            origins.append(places.setdefault(place, len(places)))
        except UNREADABLE as e:
            raise unreadable(stream, version, topic, e) from e
    positions, _, _, topics, _ = zip(*rows, strict=True)
    links += [_NO_LINK] * (len(keys) - len(links) if links else 0)
    text = pa.string()
    ends = [pa.array(column, text) for column in zip(*links, strict=True)] or [pa.nulls(len(keys), text)] * 3
    origin = pa.array(origins, pa.int32())
    times, runs = ([place[n] for place in places] for n in (3, 0))
    columns = {
        "position": pa.array(positions, pa.int64()),
        "at": pa.array(times, pa.timestamp("us", tz="UTC")).take(origin),
        "change": pa.array([_KIND[topic] for topic in topics], text),
        "entity_type": pa.array(types, text),
        "key": pa.array(keys, text),
        "association": ends[0],
        "other_entity_type": ends[1],
        "other_key": ends[2],
        "changes": pa.array(changes, text),
        "run": pa.array(runs, pa.int64()).take(origin),
        "line": pa.array(lines, pa.int64()),
    }
    return ChangeBatch(
        columns=pa.RecordBatch.from_pydict(columns),
        origins=[(run, task, subject, from_micros(at)) for run, task, subject, at in places],
        origin=origin,
    )


_NO_LINK = (None, None, None)
