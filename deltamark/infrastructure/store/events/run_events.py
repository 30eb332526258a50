"""Maps run events to payloads: plain JSON with the names of their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from attrs import asdict, fields

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.runs.run import (
    Basis,
    CancelRequested,
    ChangesDiscarded,
    Counts,
    ExtractRead,
    LeftOut,
    PairsAwaited,
    PlannedTask,
    ResourceErased,
    RowsSetAside,
    RunEnded,
    RunEvent,
    RunResumed,
    RunStarted,
    SetAside,
    TaskEnded,
    TaskProgressed,
    TaskStarted,
    TriggerKind,
)

CHANGES_DISCARDED, ROWS_SET_ASIDE, RESOURCE_ERASED = "cd1", "sa1", "er1"

LINKS_WAIT = "pa1"

RUN_STARTED, RUN_RESUMED = "rs1", "rr1"
RUN_BEGINNINGS = (RUN_STARTED, RUN_RESUMED)
"""Records that say by whom a run was started and resumed."""

ERASABLE_RECORDS = (ROWS_SET_ASIDE, LINKS_WAIT)
"""Records of runs that hold what rows of extracts say; an erasure empties those that name the resource."""

TASK_ENDED = "te1"
RUN_ENDED = "re1"

RUN_TOPICS: Mapping[str, type[RunEvent]] = {
    RUN_STARTED: RunStarted,
    "ts1": TaskStarted,
    ROWS_SET_ASIDE: RowsSetAside,
    CHANGES_DISCARDED: ChangesDiscarded,
    TASK_ENDED: TaskEnded,
    RUN_ENDED: RunEnded,
    RUN_RESUMED: RunResumed,
    "cr1": CancelRequested,
    "tp1": TaskProgressed,
    LINKS_WAIT: PairsAwaited,
    RESOURCE_ERASED: ResourceErased,
}

_HEAD = ("originator_id", "originator_version", "at")


def run_payload(event: RunEvent) -> dict[str, Any]:
    """Returns plain JSON data of a run event, without stream, version and time."""
    return asdict(
        event,
        filter=lambda attribute, value: attribute.name not in _HEAD and value is not None,
        value_serializer=lambda _, __, value: _plain(value),
    )


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
    return value


def run_event(topic: str, stream: str, version: int, at: datetime, payload: Mapping[str, Any]) -> RunEvent:
    """Returns the run event of a payload."""
    kind = RUN_TOPICS[topic]
    values = {f.name: _value(f.name, payload[f.name]) for f in fields(kind) if f.name in payload}
    return kind(originator_id=stream, originator_version=version, at=at, **values)


def _value(name: str, value: Any) -> Any:
    match name:
        case "state":
            return TaskState(value)
        case "trigger":
            return TriggerKind(value)
        case "due_at":
            return datetime.fromisoformat(value)
        case "counts":
            return Counts(**value)
        case "extracts":
            return tuple(ExtractRead(**item) for item in value)
        case "rows":
            return tuple(SetAside(**{"line": None, **item}) for item in value)
        case "tasks":
            return tuple(PlannedTask(**item) for item in value)
        case "awaited" | "settled":
            return tuple((str(first), str(second)) for first, second in value)
        case "ranges":
            return tuple((int(first), int(last)) for first, last in value)
        case "streams":
            return tuple(map(int, value))
        case "basis":
            return Basis(**value)
        case "left_out":
            return LeftOut(**{**value, "since": datetime.fromisoformat(value["since"])})
        case "messages" | "direct_input" | "entity_types" | "again" | "pending":
            return tuple(value)
    return value
