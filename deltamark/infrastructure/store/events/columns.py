"""From rows of changes to columns: what `mapper` gives as objects, but without an object for each change."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from deltamark.application.ports.arrow_columns import joined_texts, number_column, text_column
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


def change_batch(rows: Iterable[tuple[Any, ...]]) -> ChangeBatch:
    """Returns changes in columns.

    Each row is written into the columns when it is read: many objects at once would take memory from the system anew
    for every batch. What changes share (kind, time, run, entity types, association) is written once.

    :param rows: position, stream, version, topic and payload.
    :raises StoreError: for a payload that does not fit its topic.
    """
    decoded, encoded = orjson.loads, orjson.dumps
    time, number, ordinal, line = payload.AT, payload.RUN, payload.TASK, payload.LINE
    entity_type, key, values = payload.ENTITY_TYPE, payload.KEY, payload.VALUES
    positions, lines, places = array("q"), array("q"), array("i")
    keys, key_ends = bytearray(), array("i", (0,))
    changes, change_ends = bytearray(), array("i", (0,))
    ends: list[tuple[int, str]] = []
    shared: dict[tuple[Any, ...], int] = {}
    changed: dict[str, Any]
    for position, stream, version, topic, state in rows:
        try:
            p = decoded(state)
            if topic == CREATED:
                changed = {name: {"before": None, "after": value} for name, value in p[values].items()}
            elif topic in (UPDATED, COMPUTED):
                changed = {name: {"before": before, "after": after} for name, (before, after) in p[values].items()}
            elif topic == DELETED:
                last = {**p[values], **p.get(payload.COMPUTED_VALUES, {})}
                changed = {name: {"before": value, "after": None} for name, value in last.items()}
            else:
                changed = _NONE
            if changed is not _NONE:
                association = other_type = None
                changes += encoded(changed)
            else:
                association, other_type = p[payload.ASSOCIATION], p[payload.TARGET_TYPE]
                ends.append((len(positions), p[payload.TARGET_KEY]))
            what = (topic, p[number], p[ordinal], p[time], p[entity_type], association, other_type)
            places.append(shared.setdefault(what, len(shared)))
            keys += p[key].encode()
            lines.append(p.get(line, _NO_LINE))
        except UNREADABLE as e:
            raise unreadable(stream, version, topic, e) from e
        key_ends.append(len(keys))
        change_ends.append(len(changes))
        positions.append(position)
    topics, runs, tasks, times, types, associations, other_types = zip(*shared, strict=True)
    place = number_column(places, pa.int32())
    is_resource = [association is None for association in associations]
    other_keys: list[str | None] = [None] * len(positions)
    for at, other in ends:
        other_keys[at] = other
    columns = {
        "position": number_column(positions, pa.int64()),
        "at": number_column(times, pa.timestamp("us", tz="UTC")).take(place),
        "change": text_column([_KIND[topic] for topic in topics]).take(place),
        "entity_type": text_column(types).take(place),
        "key": joined_texts(keys, key_ends),
        "association": text_column(associations).take(place),
        "other_entity_type": text_column(other_types).take(place),
        "other_key": text_column(other_keys) if ends else pa.nulls(len(positions), pa.string()),
        "changes": joined_texts(changes, change_ends, [is_resource[n] for n in places]),
        "run": number_column(runs, pa.int64()).take(place),
        "line": number_column(lines, pa.int64(), [line != _NO_LINE for line in lines]),
    }
    subjects = (association or entity_type for association, entity_type in zip(associations, types, strict=True))
    return ChangeBatch(
        columns=pa.RecordBatch.from_pydict(columns),
        origins=list(zip(runs, tasks, subjects, map(from_micros, times), strict=True)),
        origin=place,
    )


_NONE: dict[str, Any] = {}
"""The changed values of a link."""

_NO_LINE = -1
