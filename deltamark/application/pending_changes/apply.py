"""Applies exactly what a threshold held back, or drops it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from deltamark.application.pending_changes.staleness import refuse_if_outdated, refuse_other_removals
from deltamark.application.ports import pending_changes as kinds
from deltamark.application.ports.arrow_schemas import PENDING_ROWS
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.pending_changes import PendingChanges
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import LinkChanges, LinkEnds, ResourceChanges
from deltamark.application.retention.discard import discard_changes_of
from deltamark.application.services import Apply, Scope, Services, TaskResult
from deltamark.application.sources.places import move_places
from deltamark.application.synchronization.hold_back import counted
from deltamark.application.synchronization.waiting_links import WaitingChanges, write_waiting_links
from deltamark.domain.configuration.jobs import SynchronizeTask
from deltamark.domain.errors import NothingHeldBack
from deltamark.domain.resources.events import Origin
from deltamark.domain.runs.run import Counts


def pending_of(reading: Reading, run: int, ordinal: int) -> PendingChanges:
    """The pending changes of a task of a run.

    :raises NothingHeldBack: if there are none.
    """
    pending = reading.pending(run, ordinal)
    if pending is None:
        raise NothingHeldBack(run)
    return pending


def apply_pending(services: Services, task: SynchronizeTask, run: int, ordinal: int) -> Apply:
    """Applies exactly the changes that a synchronization held back, and unblocks its connector.

    Counts the changes made now; rows set aside are on record already and not reported again.

    :raises OutdatedChanges: from the transaction, if a resource or link has changed since they were held back.
    :raises NothingHeldBack: from the transaction, if there are none (any more).
    """

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        pending = pending_of(tx, run, ordinal)
        refuse_if_outdated(tx, pending, run)
        origin = Origin(scope.run, scope.ordinal)
        messages = [f"applied what was held back: {counted(pending)}"]
        counts = _apply_resources(tx, pending, origin, run) + _apply_links(tx, pending, origin)
        for association in _subjects(pending, kinds.AWAITED, kinds.SETTLED):
            write_waiting_links(tx, _waiting(pending, association), origin)
        move_places(tx, pending.places, origin)
        drop_pending(tx, run, ordinal)
        tx.unblock(pending.connector)
        messages.append(f"{pending.connector} is no longer blocked: incremental jobs synchronize it again")
        if not task.do_not_delete_changes:
            messages += discard_changes_of(services.configuration, tx, task, scope)
        return TaskResult(
            counts=counts + Counts(read=pending.read, set_aside=pending.set_aside),
            effect=counts.changed > 0,
            extracts=pending.extracts,
            messages=messages,
            warned=pending.warned or pending.set_aside > 0,
        )

    return apply


def drop_pending(tx: Writing, run: int, ordinal: int) -> list[str]:
    """Drops the pending changes of a task of a run, and returns messages about its connector.

    The connector is unblocked, unless a delta is dropped: no later extract repeats it, so the connector stays out of
    incremental jobs until a complete extract is applied.
    """
    pending = pending_of(tx, run, ordinal)
    tx.drop_pending(run, ordinal)
    connector, block = pending.connector, tx.block_of(pending.connector)
    if block is None or (block.run, block.task) != (run, ordinal):
        return [f"dropped what was held back of {connector}"]
    if block.needs_complete:
        return [
            f"dropped what was held back of {connector}. It came from extracts with a command column, so {connector} "
            "stays out of incremental jobs until a job that is not incremental has synchronized complete extracts"
        ]
    tx.unblock(connector)
    return [f"dropped what was held back of {connector}: incremental jobs synchronize it again"]


def _apply_resources(tx: Writing, pending: PendingChanges, origin: Origin, run: int) -> Counts:
    counts, removed = Counts(), Counter[str]()
    for entity_type in _subjects(pending, kinds.CREATED, kinds.UPDATED, kinds.DELETED):
        changes = ResourceChanges(
            created=_rows(pending, kinds.CREATED, entity_type),
            updated=_rows(pending, kinds.UPDATED, entity_type),
            deleted=_rows(pending, kinds.DELETED, entity_type),
        )
        removed.update(tx.append_resources(entity_type, changes, origin))
        counts += Counts(
            inserted=changes.created.num_rows, updated=changes.updated.num_rows, deleted=changes.deleted.num_rows
        )
    refuse_other_removals(pending, run, removed)
    return counts + Counts(unlinked=removed.total())


def _apply_links(tx: Writing, pending: PendingChanges, origin: Origin) -> Counts:
    counts = Counts()
    for association in _subjects(pending, kinds.LINKED, kinds.UNLINKED):
        source, target = next(part.ends for part in pending.parts if part.subject == association and part.ends)
        linked, unlinked = (_rows(pending, kind, association) for kind in (kinds.LINKED, kinds.UNLINKED))
        both = pa.concat_tables([linked, unlinked])
        sources = _streams(tx, source, both.column("source_key"))
        targets = _streams(tx, target, both.column("target_key"))
        changes = LinkChanges(
            linked=_with_streams(linked, sources, targets), unlinked=_with_streams(unlinked, sources, targets)
        )
        tx.append_links(LinkEnds(association=association, source=source, target=target), changes, origin)
        counts += Counts(linked=linked.num_rows, unlinked=unlinked.num_rows)
    return counts


def _waiting(pending: PendingChanges, association: str) -> WaitingChanges:
    awaited, settled = (
        zip(*(_rows(pending, kind, association).column(name).to_pylist() for name in ("first", "second")), strict=True)
        for kind in (kinds.AWAITED, kinds.SETTLED)
    )
    return WaitingChanges(association=association, awaited=frozenset(awaited), settled=frozenset(settled))


def _subjects(pending: PendingChanges, *chosen: str) -> Iterable[str]:
    return dict.fromkeys(part.subject for part in pending.parts if part.kind in chosen)


def _rows(pending: PendingChanges, kind: str, subject: str) -> pa.Table:
    tables = (part.rows for part in pending.parts if (part.kind, part.subject) == (kind, subject))
    return pa.concat_tables([PENDING_ROWS[kind].empty_table(), *tables])


def _streams(tx: Reading, entity_type: str, keys: pa.ChunkedArray) -> dict[str, int]:
    identities = tx.identities(entity_type, None, keys.unique())
    return dict(zip(identities.column("key").to_pylist(), identities.column("stream").to_pylist(), strict=True))


def _with_streams(pairs: pa.Table, sources: dict[str, int], targets: dict[str, int]) -> pa.Table:
    columns = {
        "source": pa.array([sources[key] for key in pairs.column("source_key").to_pylist()], type=pa.int64()),
        "target": pa.array([targets[key] for key in pairs.column("target_key").to_pylist()], type=pa.int64()),
    }
    return pa.table({**columns, **{name: pairs.column(name) for name in PENDING_ROWS[kinds.LINKED].names}})
