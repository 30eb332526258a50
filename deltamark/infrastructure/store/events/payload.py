"""The members of stored payloads, named here and nowhere else.

The payload of a change is one JSON object:

====  ==================================================================
``a``  time, microseconds since 1970-01-01 UTC
``r``  run number
``t``  place of the task in the run, from 1
``l``  line of the extract, if there was one
``e``  entity type, ``k`` key (of the source, for a link)
``v``  values (created, deleted), or property -> [before, after] (updated, computed)
``c``  computed values, if there were any (deleted)
``g``  grounds: of computed values the positions of the first and last change that made them dirty (one, if it is the
       same); of an unlinked pair ``task``, or the deleted end: ``source``, ``target``, ``both``
``w``  why values were computed for all resources, if they were (computed)
``n``  association, ``f`` other entity type, ``o`` other key (links only)
====  ==================================================================

A snapshot also has ``live``. The payload of a run event, or of the adoption of a configuration, has the names of the
event's attributes. SQL texts take the
names from here, too: they are fixed words of this module, never data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson
from attrs import fields

from deltamark.domain.resources.events import Origin
from deltamark.domain.runs.run import ChangesDiscarded, ResourceErased

AT, RUN, TASK, LINE = "a", "r", "t", "l"
ENTITY_TYPE, KEY = "e", "k"
VALUES, COMPUTED_VALUES = "v", "c"
ASSOCIATION, TARGET_TYPE, TARGET_KEY = "n", "f", "o"
LIVE = "live"
GROUNDS, WHOLE = "g", "w"

RESOURCE = (ENTITY_TYPE, KEY)
"""The members that identify a resource."""

LINK = (ASSOCIATION, ENTITY_TYPE, KEY, TARGET_TYPE, TARGET_KEY)
"""The members that identify a link."""

LEFT_BY_ERASURE = {AT: (AT,), RUN: (RUN, "run"), TASK: (TASK, "task")}
"""The members that an erased event keeps, each with its names in changes and in records of runs."""

FIRST, UP_TO = fields(ChangesDiscarded).first.name, fields(ChangesDiscarded).up_to.name
COUNT, RANGES = fields(ChangesDiscarded).count.name, fields(ChangesDiscarded).ranges.name
STREAMS = fields(ResourceErased).streams.name
"""Members of the records of discards and erasures, which SQL reads; `COUNT` and `RANGES` are in both."""

resource_identity = itemgetter(*RESOURCE)
link_identity = itemgetter(*LINK)
origin = itemgetter(AT, RUN, TASK)
values_and_origin = itemgetter(VALUES, AT, RUN, TASK)


def head(micros: int, cause: Origin | None = None) -> dict[str, Any]:
    """Returns the first members of a change: its time, and its cause up to and with the line."""
    members: dict[str, Any] = {AT: micros}
    if cause is not None:
        members |= {RUN: cause.run, TASK: cause.task}
        if cause.line is not None:
            members[LINE] = cause.line
    return members


def cause_of(payload: dict[str, Any]) -> Origin:
    """Returns the cause that `head` wrote."""
    return Origin(payload[RUN], payload[TASK], payload.get(LINE))


def parts_to_look_for(properties: Sequence[str], ordinals: Sequence[int]) -> Iterator[list[bytes]]:
    """Yields bytes of which every payload has one that names one of these properties, and one of these tasks.

    Other payloads may have them too. What is empty is not looked for.
    """
    if properties:
        yield [orjson.dumps(name) + b":" for name in properties]
    if ordinals:
        yield [f'"{TASK}":{ordinal},'.encode() for ordinal in ordinals]


def sql_object(members: Mapping[str, str]) -> str:
    """Returns SQL for the text of a JSON object.

    :param members: name -> SQL for the text of the value, as JSON.
    """
    starts = ["{", *"," * (len(members) - 1)]
    parts = [f"'{start}\"{name}\":' || {members[name]}" for start, name in zip(starts, members, strict=True)]
    return " || ".join([*parts, "'}'"])
