"""The changes that a blocked run would make, in the form of changes of the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from deltamark.application.history.history import ChangeFilter
from deltamark.application.lookup import run_numbered
from deltamark.application.ports import pending_changes as kinds
from deltamark.application.ports.pending_changes import Part, PendingChanges
from deltamark.application.ports.queries import Reading
from deltamark.domain.errors import NothingHeldBack
from deltamark.domain.history.changes import AnyChange, PendingChange
from deltamark.domain.resources.events import Origin
from deltamark.domain.resources.link import Linked, LinkRef, Unlinked
from deltamark.domain.resources.resource import Change, Created, Deleted, ResourceRef, Updated
from deltamark.domain.runs.run import JobRun


def pending_changes(reading: Reading, run: int, changes: ChangeFilter) -> Iterator[PendingChange]:
    """The changes that a run held back, in the order in which they would be made.

    :raises UsageError: at once, if there is no such run, or if it has no pending changes.
    """
    tasks = [(ordinal, reading.pending(run, ordinal)) for ordinal in reading.pending_tasks(run)]
    record = run_numbered(reading, run)
    if not tasks:
        raise NothingHeldBack(run)
    return (
        change
        for ordinal, pending in tasks
        if pending is not None
        for change in _of_task(reading, pending, record, ordinal)
        if changes.admits(change.event)
    )


def _of_task(reading: Reading, pending: PendingChanges, run: JobRun, ordinal: int) -> Iterator[PendingChange]:
    caller, trigger = run.caller_at(pending.at)
    for part in filter(lambda part: part.is_change, pending.parts):
        file = next((read.file for read in pending.extracts if read.subject == part.subject), None)
        computed = _computed(reading, part)
        for row in part.rows.to_pylist():
            line = row.get("line")
            origin = Origin(run.number, ordinal, line)
            yield PendingChange(
                event=_event(part, row | {"computed": computed.get(row.get("key"))}, pending, origin),
                run=run.number,
                job=pending.job,
                task=pending.task,
                user=caller.user,
                trigger=trigger,
                file=None if line is None else file,
                by=caller.by,
                reason=caller.reason,
            )


def _event(part: Part, row: dict[str, Any], pending: PendingChanges, origin: Origin) -> AnyChange:
    head: dict[str, Any] = {"originator_id": "", "originator_version": 0, "at": pending.at, "cause": origin}
    if part.ends:
        source, target = part.ends
        pair = ResourceRef(source, row["source_key"]), ResourceRef(target, row["target_key"])
        kind = Linked if part.kind == kinds.LINKED else Unlinked
        return kind(**head, ref=LinkRef(part.subject, *pair))
    head["ref"] = ResourceRef(part.subject, row["key"])
    match part.kind:
        case kinds.CREATED:
            return Created(**head, values=orjson.loads(row["state"]))
        case kinds.DELETED:
            return Deleted(**head, values=orjson.loads(row["state"]), computed=orjson.loads(row["computed"] or "{}"))
    updates = {name: Change(*change) for name, change in orjson.loads(row["changes"]).items()}
    return Updated(**head, updates=updates)


def _computed(reading: Reading, part: Part) -> dict[str, str]:
    """The computed values of the resources that would be deleted: key -> JSON object."""
    if part.kind != kinds.DELETED:
        return {}
    identities = reading.identities(part.subject, None, part.rows.column("key").combine_chunks())
    keys = dict(zip(identities.column("stream").to_pylist(), identities.column("key").to_pylist(), strict=True))
    states = reading.states(part.subject, identities.column("stream").combine_chunks())
    computed_of = zip(states.column("stream").to_pylist(), states.column("computed").to_pylist(), strict=True)
    return {keys[stream]: computed for stream, computed in computed_of}
