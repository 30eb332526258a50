"""Deletes what nothing feeds any more, or freezes it on purpose, in a run of its own and one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from attrs import evolve, frozen

from deltamark.application.adoption.effects import apply_effects, removal
from deltamark.application.decommission.names import subjects_named
from deltamark.application.history.model import known_association
from deltamark.application.integrity.replay import refuse_while_running
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import Services, TaskResult
from deltamark.application.synchronization.waiting_links import write_waiting_links
from deltamark.application.synchronization.waiting_links_of_other_connectors import links_that_wait_for_deleted
from deltamark.domain.adoption.decommission import (
    Decommission,
    DecommissionAction,
    Decommissioned,
    Freeze,
    Holding,
    NameKind,
    Subject,
    SubjectKind,
    decisions_in_force,
)
from deltamark.domain.adoption.plan import SHARE_OF_A_WHOLE
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import DecommissionWaits, UsageError
from deltamark.domain.messages import DECOMMISSION
from deltamark.domain.next_steps import decisions
from deltamark.domain.resources.events import Origin
from deltamark.domain.runs.run import Counts, PlannedTask

_ORDINAL = 1


@frozen(kw_only=True)
class Order:
    """What is to be decommissioned.

    :param kind: what the name is of; None where no other has it.
    :param action: None where it is only asked what there is.
    :param forced: whether more is deleted than the limit allows.
    """

    name: str
    kind: NameKind | None
    action: DecommissionAction | None
    forced: bool = False


def would_decommission(services: Services, order: Order) -> Decommission:
    """Returns what would be decommissioned now.

    Writes nothing.

    :raises UsageError: as `decommission` does.
    """
    with services.store.reading() as reading:
        return _outlook(services, reading, order)[0]


def decommission(services: Services, order: Order) -> Decommission:
    """Deletes or freezes what nothing feeds any more (see `Engine.decommission`).

    Records no run where the store holds nothing of it.

    :raises ConcurrentRun: while a run goes on, if something is deleted.
    :raises DecommissionWaits: if it would delete more than the limit without being forced.
    :raises UsageError: for a name of nothing, for what is fed, and while changes of it are held back.
    """
    with services.store.transaction() as tx:
        outlook, subjects = _outlook(services, tx, order)
        if all(holding.is_empty for holding in outlook.holdings):
            return outlook
        if order.action is DecommissionAction.DELETE:
            refuse_while_running(tx, "Decommission when it has ended.")
            if outlook.waits_because is not None and not order.forced:
                raise DecommissionWaits(order.name, outlook.waits_because)
        planned = [PlannedTask(ordinal=_ORDINAL, identifier=DECOMMISSION, kind="Decommission")]
        log = RunLog.start(tx, services, DECOMMISSION, planned, forced=order.forced)
        log.task_started(_ORDINAL)
        position = tx.append_decision(_event(services, order, subjects, log.run))
        counts = Counts()
        if order.action is DecommissionAction.DELETE:
            counts = evolve(_delete(services, tx, subjects, log.run), unlinked=outlook.links)
        what = ", ".join(f"{holding.subject} ({holding.text})" for holding in outlook.holdings if not holding.is_empty)
        verb = "deleted" if order.action is DecommissionAction.DELETE else "froze"
        messages = [f"{verb} {what}"]
        log.task_ended(
            _ORDINAL, TaskEnd(TaskResult(counts=counts, effect=True, messages=messages), TaskState.COMPLETED)
        )
        log.run_ended(TaskState.COMPLETED)
    return evolve(outlook, run=log.run, position=position)


def _event(
    services: Services, order: Order, subjects: tuple[Subject, ...], run: int
) -> Callable[[str, int, datetime], Decommissioned]:
    def event(stream: str, version: int, at: datetime) -> Decommissioned:
        assert order.action is not None, "a question writes nothing"
        return Decommissioned(
            originator_id=stream,
            originator_version=version,
            at=at,
            name=order.name,
            entity_types=_names(subjects, SubjectKind.ENTITY_TYPE),
            associations=_names(subjects, SubjectKind.ASSOCIATION),
            action=order.action,
            run=run,
            by=services.operator.by or services.operator.user,
            reason=services.operator.reason or "",
        )

    return event


def _outlook(services: Services, reading: Reading, order: Order) -> tuple[Decommission, tuple[Subject, ...]]:
    subjects = subjects_named(reading, services, order.name, order.kind)
    if order.action is DecommissionAction.DELETE:
        _refuse_held_back(reading, order, subjects)
    outlook = Decommission(
        name=order.name,
        action=order.action,
        reason=services.operator.reason or "",
        holdings=_holdings(services, reading, subjects),
        limit=services.adoption_limit // SHARE_OF_A_WHOLE,
    )
    return outlook, subjects


def _holdings(services: Services, reading: Reading, subjects: tuple[Subject, ...]) -> Iterator[Holding]:
    decided = decisions_in_force(reading.decisions())
    for subject in subjects:
        decision = decided.get(subject)
        freeze = decision if isinstance(decision, Freeze) else None
        if subject.kind is SubjectKind.ENTITY_TYPE:
            yield Holding(subject=subject, resources=reading.live_resource_count(subject.name), freeze=freeze)
            continue
        links, waiting = reading.live_link_count(subject.name), len(reading.waiting_links(subject.name))
        yield Holding(subject=subject, links=links, waiting=waiting, freeze=freeze)
    for name in _associations_at(services, reading, _names(subjects, SubjectKind.ENTITY_TYPE)):
        subject = Subject(SubjectKind.ASSOCIATION, name)
        links = 0 if subject in subjects else reading.live_link_count(name)
        if links:
            yield Holding(subject=subject, links=links, is_with_resources=True)


def _associations_at(services: Services, reading: Reading, entity_types: tuple[str, ...]) -> Iterator[str]:
    """The associations that start or end at entity types: all of their links are removed with the resources."""
    configured = {item.identifier: item for item in services.configuration.associations}
    stored = {item.identifier: item for item in reading.stored_associations()}
    for name, association in sorted({**stored, **configured}.items()):
        if {association.property1.entity_type, association.property2.entity_type}.intersection(entity_types):
            yield name


def _refuse_held_back(reading: Reading, order: Order, subjects: tuple[Subject, ...]) -> None:
    """Refuses to delete what changes that are held back refer to.

    :raises UsageError: names the run that holds them back.
    """
    types, associations = _names(subjects, SubjectKind.ENTITY_TYPE), _names(subjects, SubjectKind.ASSOCIATION)
    for block in reading.blocks():
        pending = reading.pending(block.run, block.task)
        for part in () if pending is None else pending.parts:
            if part.subject in (*types, *associations) or set(part.ends or ()).intersection(types):
                raise UsageError(
                    f"run {block.run} holds changes of connector {block.connector} back, which concern {order.name}. "
                    "Nothing was changed. Resume that run, which applies them, or cancel it, which drops them."
                ).with_next_steps(*decisions(block.run))


def _delete(services: Services, tx: Writing, subjects: tuple[Subject, ...], run: int) -> Counts:
    """Deletes resources and links; links that a connector still feeds wait for their resources from now on."""
    types = _names(subjects, SubjectKind.ENTITY_TYPE)
    associations = [known_association(tx, services, name) for name in _names(subjects, SubjectKind.ASSOCIATION)]
    effects = removal(services, tx, types, associations)
    origin = Origin(run, _ORDINAL)
    waiting = links_that_wait_for_deleted(
        services.configuration, tx, {e.consequences.entity_type: e.changes for e in effects.types}
    )
    apply_effects(services, tx, effects, origin)
    for links in effects.associations:
        if links.forgotten:
            RunLog(tx, run).links_wait(_ORDINAL, links.ends.association, (), links.forgotten)
    for changes in waiting:
        write_waiting_links(tx, changes, origin)
    return effects.counts


def _names(subjects: Iterable[Subject], kind: SubjectKind) -> tuple[str, ...]:
    return tuple(subject.name for subject in subjects if subject.kind is kind)
