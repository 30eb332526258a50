"""Erases a resource for good, on record, in a run of its own and one transaction."""

from __future__ import annotations

import secrets

import orjson
import pyarrow as pa

from deltamark.application.flagging.flag import flag_changes
from deltamark.application.integrity.replay import refuse_while_running
from deltamark.application.lookup import resource_not_found
from deltamark.application.ports.arrow_schemas import RESOURCES, UPDATES
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import ResourceChanges
from deltamark.application.retention.records_that_name import NamingRecords, naming_records
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import Services, TaskResult
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import UsageError
from deltamark.domain.messages import ERASE, how_many
from deltamark.domain.next_steps import decisions
from deltamark.domain.resources.events import Origin
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.retention.erasure import Erasure
from deltamark.domain.runs.run import PlannedTask
from deltamark.domain.statements import checked_reason

_ORDINAL = 1


def would_erase(services: Services, ref: ResourceRef, reason: str) -> Erasure:
    """Returns what an erasure would empty now.

    Writes nothing.

    :raises UsageError: as `erase` does.
    """
    words = checked_reason(reason)
    with services.store.reading() as reading:
        return _outlook(services, reading, ref, words)[0]


def erase(services: Services, ref: ResourceRef, reason: str) -> Erasure:
    """Makes all values of a resource and its links unreadable (see `Engine.erase`).

    A live resource is deleted first, and every change is flagged before it is emptied: the next runs compute anew what
    depends on it, as after any deletion.

    :raises ConcurrentRun: while a run goes on.
    :raises UsageError: for a resource that never existed, an empty reason, or while changes are held back.
    """
    words = checked_reason(reason)
    with services.store.transaction() as tx:
        refuse_while_running(tx)
        outlook, records = _outlook(services, tx, ref, words)
        log = RunLog.start(tx, services, ERASE, [PlannedTask(ordinal=_ORDINAL, identifier=ERASE, kind="Erase")])
        log.task_started(_ORDINAL)
        stream = tx.stream_of(ref)
        assert stream is not None, "a resource without a stream was refused"
        _delete(tx, ref, log.run)
        flagged = flag_changes(services, tx)
        emptied = log.erase(_ORDINAL, stream, ref, salt=secrets.token_hex(16), reason=words, records=records.positions)
        _stop_waiting(tx, log, records)
        events = emptied.count - len(records.positions)
        message = f"{how_many(events, 'change')} erased (reason: {words})"
        done = TaskResult(effect=True, counts=flagged.counts, messages=[message])
        log.task_ended(_ORDINAL, TaskEnd(done, TaskState.COMPLETED))
        log.run_ended(TaskState.COMPLETED)
    return Erasure(
        run=log.run, ref=ref, reason=words, events=events, links=outlook.links, was_live=outlook.was_live,
        named_in=outlook.named_in,
    )  # fmt: skip


def _outlook(services: Services, reading: Reading, ref: ResourceRef, reason: str) -> tuple[Erasure, NamingRecords]:
    stream = reading.stream_of(ref)
    if stream is None:
        raise resource_not_found(reading, ref)
    for block in reading.blocks():
        raise UsageError(
            f"run {block.run} holds changes of connector {block.connector} back, which may name {ref}. Nothing was "
            "erased. Resume that run, which applies them, or cancel it, which drops them."
        ).with_next_steps(*decisions(block.run))
    events, links = reading.erasable_counts(stream)
    resource = reading.resource(ref)
    is_live = resource is not None and resource.live
    if is_live:
        events += 1 + len(reading.links_of(ref))
    records = naming_records(reading, services.configuration, ref)
    named_in = reading.runs_that_name(ref.key, besides=records.positions)
    return Erasure(ref=ref, reason=reason, events=events, links=links, was_live=is_live, named_in=named_in), records


def _stop_waiting(tx: Writing, log: RunLog, records: NamingRecords) -> None:
    """Drops the links that wait and name the resource, and records what the others of their records wait for."""
    for association, pairs in records.gone.items():
        if pairs:
            tx.put_waiting_links(association, (), pairs)
    for association, awaited in records.awaited.items():
        log.links_wait(_ORDINAL, association, awaited, records.settled[association])


def _delete(tx: Writing, ref: ResourceRef, run: int) -> None:
    """Deletes the resource and its links, as a synchronization without it would."""
    resource = tx.resource(ref)
    if resource is None or not resource.live:
        return
    state = orjson.dumps(dict(resource.synchronized), option=orjson.OPT_SORT_KEYS).decode()
    rows = pa.table({"key": [ref.key], "line": [None], "state": [state]}, schema=RESOURCES)
    changes = ResourceChanges(created=RESOURCES.empty_table(), updated=UPDATES.empty_table(), deleted=rows)
    tx.append_resources(ref.entity_type, changes, Origin(run, _ORDINAL))
