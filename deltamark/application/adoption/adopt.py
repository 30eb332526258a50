"""Adopts a configuration: puts it into the log where it is not the one in force."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.adoption.configurations import configuration_in_force, is_in_force
from deltamark.application.adoption.effects import Effects, apply_effects
from deltamark.application.adoption.plan import planned_effects
from deltamark.application.adoption.unfed import is_fed
from deltamark.application.lookup import run_numbered
from deltamark.application.ports.commands import Writing
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import Services, TaskResult
from deltamark.domain.adoption.configuration_adopted import (
    ConfigurationAdopted,
    function_definitions,
    listed,
    xml_digest,
)
from deltamark.domain.adoption.decommission import (
    DecommissionAction,
    FedAgain,
    Subject,
    SubjectKind,
    decisions_in_force,
)
from deltamark.domain.adoption.plan import AdoptionPlan
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import AdoptionWaits, OtherConfigurationInUse
from deltamark.domain.history.changes import Position
from deltamark.domain.messages import ADOPT
from deltamark.domain.resources.events import ADOPTION, Origin
from deltamark.domain.runs.run import PlannedTask, SetAside

_ORDINAL = 1


@frozen
class Adopted:
    """An adoption that was put into the log.

    :param result: what it did to resources and links, as if it were a task.
    """

    position: Position
    result: TaskResult


def adopt(
    services: Services, tx: Writing, run: int, *, is_asked_for: bool = False, task: int = ADOPTION
) -> Adopted | None:
    """Puts the configuration of the engine into force, and makes resources and links what it means.

    Returns None, and writes nothing, where it is in force already. To be called in the transaction in which a run
    starts or goes on, before anything else is written under the configuration: of two runs that start at once, one
    adopts it. What the adoption changes are events with the cause `Origin(run, ADOPTION)`.

    :param is_asked_for: whether a person asked for the adoption, whatever it converts or removes.
    :param task: the place in the run where the result is recorded.
    :raises AdoptionWaits: if it converts or removes more than a run may.
    :raises OtherConfigurationInUse: while another run goes on, which works under the configuration in force.
    :raises ConfigurationError: if XML cannot express the configuration.
    """
    if is_in_force(services, tx):
        return None
    _refuse_while_running(tx, run)
    operator = services.operator
    configuration, before = services.configuration, configuration_in_force(tx, services)
    xml = services.configuration_format.write(configuration)
    plan, found = planned_effects(services, tx, None if before is None else before.configuration)
    if plan.waits_because is not None and not is_asked_for:
        raise AdoptionWaits(plan.waits_because)

    def event(stream: str, version: int, at: datetime) -> ConfigurationAdopted:
        return ConfigurationAdopted(
            originator_id=stream,
            originator_version=version,
            at=at,
            digest=xml_digest(xml),
            previous=None if before is None else before.digest,
            configuration_digest=services.configuration_digest,
            run=run,
            by=operator.by or operator.user,
            user=None if operator.by is None else operator.user,
            reason=operator.reason or "",
            differences=() if before is None else listed(effect.difference for effect in plan.effects),
            functions=function_definitions(configuration),
        )

    position = tx.append_adoption(event, xml)
    fed_again = _end_decisions(services, tx, run)
    result = _result(plan, found, fed_again)
    log = RunLog(tx, run)
    if not found.is_empty:
        apply_effects(services, tx, found, Origin(run, ADOPTION))
        for links in found.associations:
            if links.forgotten:
                log.links_wait(task, links.ends.association, (), links.forgotten)
    if task == ADOPTION and (plan.is_told or fed_again):
        log.task_ended(task, TaskEnd(result, TaskState.COMPLETED))
    return Adopted(position, result)


def _end_decisions(services: Services, tx: Writing, run: int) -> list[Subject]:
    """Ends the decisions about what was decommissioned and the configuration feeds; returns what that is."""
    decided = decisions_in_force(tx.decisions())
    fed = [subject for subject in decided if is_fed(services.configuration, subject)]
    if not fed:
        return []

    def event(stream: str, version: int, at: datetime) -> FedAgain:
        return FedAgain(
            originator_id=stream,
            originator_version=version,
            at=at,
            entity_types=[subject.name for subject in fed if subject.kind is SubjectKind.ENTITY_TYPE],
            associations=[subject.name for subject in fed if subject.kind is SubjectKind.ASSOCIATION],
            run=run,
        )

    tx.append_decision(event)
    return [subject for subject in fed if decided[subject].action is DecommissionAction.FREEZE]


def _result(plan: AdoptionPlan, found: Effects, fed_again: list[Subject]) -> TaskResult:
    """What an adoption did, for the record of its run.

    :param fed_again: what was frozen until now.
    """
    set_aside = [*_unreadable(found), *_without_key(found)]
    lines = [f"{effect.difference}: {effect.text}" for effect in plan.effects if effect.text]
    lines += [f"{subject} is fed again, and no longer frozen" for subject in fed_again]
    return TaskResult(
        counts=evolve(found.counts, set_aside=len(set_aside)),
        effect=found.counts.changed > 0,
        set_aside=set_aside,
        messages=[f"adopted the configuration: {plan.summary}", *lines] if plan.is_told or fed_again else [],
    )


def _unreadable(found: Effects) -> Iterator[SetAside]:
    """The values that could not be converted."""
    for item in found.types:
        for row in [] if item.unreadable is None else item.unreadable.to_pylist():
            yield SetAside(
                file=item.consequences.entity_type,
                line=None,
                column=row["property"],
                reason="the value cannot be converted to the new type, and was removed",
                value=row["value"],
                key=row["key"],
            )


def _without_key(found: Effects) -> Iterator[SetAside]:
    """The resources that were deleted because they have no key any more."""
    for item in found.types:
        for row in [] if item.keys is None else item.keys.filter(pc.is_null(item.keys.column("after"))).to_pylist():
            reason = "others get the same key" if row["is_repeated"] else "it has no key any more"
            yield SetAside(
                file=item.consequences.entity_type,
                line=None,
                column=item.consequences.key,
                reason=f"{reason}, and the resource was deleted",
                key=row["before"],
            )


def _refuse_while_running(tx: Writing, run: int) -> None:
    """Refuses to change the configuration under which another run works.

    :raises OtherConfigurationInUse: names the other run.
    """
    for number in sorted(other for other in tx.live_runs() if other > 0 and other != run):
        other = run_numbered(tx, number)
        raise OtherConfigurationInUse(number, job=other.job, user=other.operator.name, host=other.operator.host)


def adopt_now(services: Services) -> Position | None:
    """Adopts the configuration of the engine in a run of its own, and returns the position of its adoption.

    Returns None, and records no run, where it is in force already.

    :raises OtherConfigurationInUse: while a run goes on.
    :raises ConfigurationError: if XML cannot express the configuration.
    """
    with services.store.transaction() as tx:
        if is_in_force(services, tx):
            return None
        log = RunLog.start(tx, services, ADOPT, [PlannedTask(ordinal=_ORDINAL, identifier=ADOPT, kind="Adopt")])
        log.task_started(_ORDINAL)
        adopted = adopt(services, tx, log.run, is_asked_for=True, task=_ORDINAL)
        assert adopted is not None, "it is not in force"
        result = adopted.result
        reason = services.operator.reason
        messages = [*([f"reason: {reason}"] if reason else []), *result.messages]
        done = evolve(result, effect=True, messages=messages)
        log.task_ended(_ORDINAL, TaskEnd(done, TaskState.COMPLETED))
        log.run_ended(TaskState.COMPLETED)
    return adopted.position
