"""The changes that a blocked run would make, in the form of changes of the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.history.history import ChangeFilter
from deltamark.application.lookup import run_numbered
from deltamark.application.ports import pending_changes as kinds
from deltamark.application.ports.pending_changes import Part, PartSummary, PendingChanges
from deltamark.application.ports.queries import Reading
from deltamark.domain.errors import NothingHeldBack
from deltamark.domain.history.changes import AnyChange, PendingChange
from deltamark.domain.history.pages import PendingCount, PendingPage
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


def pending_counts(reading: Reading, run: int) -> list[PendingCount]:
    """How many changes a run held back, by task, kind and what they are of; read without the changes.

    :raises UsageError: if there is no such run, or if it has no pending changes.
    """
    counts: dict[tuple[int, str, str, tuple[str, ...]], int] = {}
    record, parts = _parts(reading, run)
    for part in parts:
        key = (part.task, _EVENT_KINDS.get(part.kind, part.kind), part.subject, part.ends)
        counts[key] = counts.get(key, 0) + part.rows
    return [
        PendingCount(
            task=record.task(task).identifier,
            kind=kind,
            subject=subject,
            entity_types=ends or (subject,),
            count=count,
        )
        for (task, kind, subject, ends), count in counts.items()
    ]


def pending_page(reading: Reading, run: int, changes: ChangeFilter, after: int, limit: int) -> PendingPage:
    """Some of the changes that a run held back, in the order in which they would be made.

    Parts that cannot have changes that the filter admits are not read.

    :param after: what the page before gave to go on with; 0 for the first.
    :raises UsageError: as `pending_changes`.
    """
    record, parts = _parts(reading, run)
    found: list[PendingChange] = []
    passed = 0
    for part in parts:
        begin, passed = passed, passed + part.rows
        if passed <= after or not _may_have(part, changes):
            continue
        pending = reading.pending_part(run, part.task, part.number)
        if pending is None:
            raise NothingHeldBack(run)
        (whole,) = pending.parts
        chosen = [row for row in _admitted_rows(whole, changes) if begin + row >= after]
        taken = chosen[: limit - len(found)]
        some = evolve(whole, rows=whole.rows.take(pa.array(taken, pa.int64())))
        found += _of_task(reading, evolve(pending, parts=[some]), record, part.task)
        if len(taken) < len(chosen):
            return PendingPage(changes=tuple(found), next=begin + chosen[len(taken)])
    return PendingPage(changes=tuple(found), next=None)


_EVENT_KINDS = {kinds.COMPUTED: kinds.UPDATED, kinds.REMOVED: kinds.UNLINKED}
"""The kinds of changes that parts of some kinds have."""


def _parts(reading: Reading, run: int) -> tuple[JobRun, list[PartSummary]]:
    record = run_numbered(reading, run)
    if not reading.pending_tasks(run):
        raise NothingHeldBack(run)
    return record, [part for part in reading.pending_parts(run) if part.is_change]


def _may_have(part: PartSummary, changes: ChangeFilter) -> bool:
    """Whether changes of a part may pass a filter."""
    wanted = None if changes.kind is None else changes.kind.value
    if wanted not in (None, part.kind, _EVENT_KINDS.get(part.kind, part.kind)):
        return False
    return changes.entity_type in (None, *(part.ends or (part.subject,)))


def _admitted_rows(part: Part, changes: ChangeFilter) -> list[int]:
    """The rows of a part, which may have some, that pass a filter."""
    if changes.key is None:
        return list(range(part.rows.num_rows))
    ends = zip(part.ends, ("source_key", "target_key"), strict=True) if part.ends else [(part.subject, "key")]
    masks = [
        pc.equal(part.rows.column(column), changes.key)
        for entity_type, column in ends
        if changes.entity_type in (None, entity_type)
    ]
    mask = masks[0] if len(masks) == 1 else pc.or_(*masks)
    rows: list[int] = pc.indices_nonzero(mask).to_pylist()
    return rows


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
