"""Results of the engine as documents, as JSON lines show them.

The reference of formats describes them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

from attrs import asdict, fields

from deltamark.application.history.history import ExportedResource
from deltamark.application.scheduling.health import Health
from deltamark.application.scheduling.notices import Notice
from deltamark.domain.adoption.configuration_adopted import Adoption, ConfigurationAdopted
from deltamark.domain.adoption.decommission import Freeze, Holding
from deltamark.domain.adoption.differences import ModelDifference
from deltamark.domain.adoption.plan import AdoptionEffect
from deltamark.domain.adoption.unfed import Unfed
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.differences import Difference
from deltamark.domain.derivation.explanation import FlagCause
from deltamark.domain.derivation.simulation import DerivedDifference
from deltamark.domain.errors import ConfigurationError, DeltamarkError, Fault
from deltamark.domain.history.changes import (
    Classification,
    CorrelationKey,
    DirtyResource,
    Horizon,
    LoggedChange,
    MatchedPair,
    PendingChange,
)
from deltamark.domain.history.diff import LinkDelta, ResourceDelta
from deltamark.domain.history.grounds import Grounds
from deltamark.domain.history.intervals import HeldLink, HeldValue
from deltamark.domain.history.report import ResourceReport
from deltamark.domain.message_parts import MessageParts, parts_of
from deltamark.domain.next_steps import NextStep
from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import Change, Resource, ResourceEvent, ResourceRef
from deltamark.domain.runs.run import JobRun, LeftOut, Operator, Resumption, SetAside, TaskRun
from deltamark.domain.secrets import masked
from deltamark.interfaces.document_types import (
    CauseDocument,
    ChangeDocument,
    ClassificationDocument,
    CloudEventDocument,
    DeltaDocument,
    DirtyDocument,
    EntityTypeDocument,
    ErrorDocument,
    ExportedDocument,
    FaultDocument,
    FreezeDocument,
    GroundsDocument,
    HealthDocument,
    JobDocument,
    JobHealthDocument,
    KeyDocument,
    LeftOutDocument,
    ListedResource,
    MessageDocument,
    NextStepDocument,
    OperatorDocument,
    PairDocument,
    PlaceDocument,
    ResourceDocument,
    ResumptionDocument,
    RunDocument,
    SetAsideDocument,
    TaskDocument,
    UnfedDocument,
)


def time_of(at: datetime | None) -> str | None:
    """A time in ISO 8601, UTC, with microseconds."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def adoption_document(adoption: Adoption) -> dict[str, Any]:
    """The adoption of a configuration."""
    return {
        "position": adoption.position,
        "at": time_of(adoption.at),
        "change": ConfigurationAdopted.kind,
        "digest": adoption.digest,
        "previous": adoption.previous,
        "run": adoption.run,
        "by": adoption.by,
        "user": adoption.account,
        "reason": adoption.reason or None,
        "differences": list(adoption.differences),
    }


def configuration_difference_document(difference: ModelDifference) -> dict[str, Any]:
    """A difference between two configurations."""
    return {
        "part": difference.part.value,
        "name": ".".join(difference.path),
        "difference": difference.kind.value,
        "aspect": difference.aspect or None,
        "before": difference.before or None,
        "after": difference.after or None,
    }


def change_document(change: LoggedChange | PendingChange) -> ChangeDocument:
    """A change of the log, or one that was held back, which has no position."""
    event = change.event
    head = {"position": change.position, "at": time_of(change.at), "change": change.kind}
    what = _changed(event.ref, event.changes) if isinstance(event, ResourceEvent) else _pair(event.ref)
    return cast("ChangeDocument", {**head, **what, **_origin(change)})


def _changed(ref: ResourceRef, changes: Mapping[str, Change]) -> dict[str, Any]:
    values = {name: {"before": c.before, "after": c.after} for name, c in changes.items()}
    return {"entity_type": ref.entity_type, "key": ref.key, "changes": values}


def _pair(ref: LinkRef) -> dict[str, Any]:
    return {
        "association": ref.association,
        "entity_type": ref.source.entity_type,
        "key": ref.source.key,
        "other_entity_type": ref.target.entity_type,
        "other_key": ref.target.key,
    }


def _origin(change: LoggedChange | PendingChange) -> dict[str, Any]:
    """Where a change comes from: run, job, task, user, trigger, and the line of the extract."""
    origin: dict[str, Any] = {"run": change.run, "job": change.job, "task": change.task}
    origin |= {"user": change.user, "trigger": change.trigger.value, **_stated(change.by, change.reason)}
    if change.file is not None:
        origin |= {"file": change.file, "line": change.event.cause.line}
    if isinstance(change, LoggedChange) and change.grounds is not None:
        origin["grounds"] = grounds_document(change.grounds)
    return origin


def grounds_document(grounds: Grounds) -> GroundsDocument:
    """The grounds of a change, without what there is not."""
    members = {
        "kind": grounds.kind.value,
        "file": grounds.file,
        "line": grounds.line,
        "ends": [{"entity_type": ref.entity_type, "key": ref.key} for ref in grounds.ends] or None,
        "first": grounds.first,
        "last": grounds.last,
        "whole": grounds.whole,
        "configuration": grounds.configuration,
        "adopted": grounds.adopted,
        "task": grounds.task,
        "words": grounds.words,
    }
    return cast("GroundsDocument", {name: value for name, value in members.items() if value is not None})


def _stated(by: str | None, reason: str | None, via: str | None = None) -> dict[str, str]:
    """For whom, why and by which program something was done, as far as that was stated."""
    stated = (("by", by), ("reason", reason), ("via", via))
    return {name: value for name, value in stated if value is not None}


def delta_document(delta: ResourceDelta | LinkDelta) -> DeltaDocument:
    """A difference between two moments: a change without position and origin."""
    what = _changed(delta.ref, delta.changes) if isinstance(delta, ResourceDelta) else _pair(delta.ref)
    return cast("DeltaDocument", {"change": delta.kind, **what})


def held_document(interval: HeldValue | HeldLink) -> dict[str, Any]:
    """A value or a link of an audit, with the changes that began and ended it."""
    if isinstance(interval, HeldValue):
        ref = interval.ref
        what = {"entity_type": ref.entity_type, "key": ref.key, "property": interval.property, "value": interval.value}
    else:
        what = _pair(interval.ref)
    return {**what, "from": _bound(interval.since), "until": _bound(interval.until)}


def report_documents(report: ResourceReport) -> Iterator[dict[str, Any]]:
    """The rows of a report on one resource: `what` each is, its `name` and `value`, and what belongs to that."""
    for horizon in report.horizons:
        yield {
            "what": "not known before",
            "name": horizon.subject,
            "value": horizon.position,
            "run": horizon.run,
            "task": horizon.task,
        }
    for existence in report.existence:
        yield {
            "what": "existence",
            "name": report.ref.entity_type,
            "value": report.ref.key,
            "from": _bound(existence.since),
            "until": _bound(existence.until),
        }
    for reported in report.values:
        held = reported.held
        yield {
            "what": "computed value" if reported.is_computed else "value",
            "name": held.property,
            "value": held.value,
            **({} if reported.rule is None else {"rule": reported.rule}),
            "from": _bound(held.since),
            "until": _bound(held.until),
        }
    for link in report.links:
        leads = link.ref.source == report.ref
        other = link.ref.target if leads else link.ref.source
        yield {
            "what": "link to" if leads else "link from",
            "name": link.ref.association,
            "value": other.key,
            "other_entity_type": other.entity_type,
            "from": _bound(link.since),
            "until": _bound(link.until),
        }
    for key in report.keys:
        yield {"what": f"{key.side} key", "name": key.rule, "value": key.value}
    for pair in report.matches:
        source, target = (
            ResourceRef(pair.source_entity_type, pair.source_key),
            ResourceRef(pair.target_entity_type, pair.target_key),
        )
        other = target if source == report.ref else source
        yield {
            "what": "match",
            "name": pair.rule,
            "value": other.key,
            "other_entity_type": other.entity_type,
            "confidence": pair.confidence,
        }
    if report.classification is not None:
        found = report.classification
        yield {
            "what": "classification",
            "name": found.rule,
            "value": found.resource_type,
            "confidence": found.confidence,
        }


def _bound(change: LoggedChange | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {"position": change.position, "at": time_of(change.at), **_origin(change)}


def exported_document(resource: ExportedResource) -> ExportedDocument:
    """A resource of an export."""
    return {"key": resource.key, "properties": dict(resource.values), "links": resource.links}


def listed_document(resource: Resource) -> ListedResource:
    """A resource of those that were looked for."""
    return {
        "key": resource.ref.key,
        "properties": dict(resource.values),
        "computed": sorted(resource.computed),
    }


def resource_document(resource: Resource, links: Iterable[LinkRef]) -> ResourceDocument:
    """A resource as in an export, with computed properties named and the links that lead to it."""
    leading: dict[str, list[str]] = {}
    arriving: dict[str, list[str]] = {}
    for link in links:
        if link.source == resource.ref:
            leading.setdefault(link.association, []).append(link.target.key)
        if link.target == resource.ref:
            arriving.setdefault(link.association, []).append(link.source.key)
    return {
        "entity_type": resource.ref.entity_type,
        "key": resource.ref.key,
        "properties": dict(resource.values),
        "computed": sorted(resource.computed),
        "links": leading,
        "linked_from": arriving,
    }


def task_document(task: TaskRun) -> TaskDocument:
    """A task of a run.

    `left_out` is there only where it left a connector out because its changes are held back.
    """
    left_out = {} if task.left_out is None else {"left_out": left_out_document(task.left_out)}
    return cast(
        "TaskDocument",
        {
            "task": task.identifier,
            "state": task.state.value,
            **asdict(task.counts),
            "seconds": task.seconds,
            "messages": list(task.messages),
            "message_parts": [message_document(parts_of(message)) for message in task.messages],
            **left_out,
        },
    )


def left_out_document(left_out: LeftOut) -> LeftOutDocument:
    """A connector that is left out because a run holds its changes back."""
    return {"connector": left_out.connector, "run": left_out.run, "since": time_of(left_out.since)}


def job_document(job: Job, next_at: datetime | None, left_out: Collection[LeftOut] = ()) -> JobDocument:
    """A job of the configuration.

    :param next_at: when the schedule is due to start it.
    :param left_out: what it leaves out if it runs now.
    """
    document: JobDocument = {
        "job": job.identifier,
        "display_name": job.display_name,
        "is_incremental": job.is_incremental,
        "schedule": job.cron_tab_expression,
        "next_at": time_of(next_at),
        "tasks": len(job.tasks),
        "user_start_denied": job.user_start_denied,
    }
    if left_out:
        document["left_out"] = [left_out_document(found) for found in left_out]
    return document


def entity_type_documents(
    configuration: Configuration, counts: Mapping[str, int], horizons: Iterable[Horizon]
) -> Iterator[EntityTypeDocument]:
    """The entity types of a configuration.

    :param counts: entity type -> how many resources there are.
    """
    positions = {horizon.subject: horizon.position for horizon in horizons}
    mappings = configuration.entity_type_mappings
    for defined in configuration.entity_types:
        fed = (mapping.connector for mapping in mappings if mapping.identifier == defined.identifier)
        yield {
            "entity_type": defined.identifier,
            "display_name": defined.display_names.get(1),
            "resources": counts.get(defined.identifier, 0),
            "connectors": list(dict.fromkeys(fed)),
            "horizon": positions.get(defined.identifier),
            "properties": [
                {"name": item.identifier, "type": item.type.label, "is_key": item.is_key} for item in defined.properties
            ],
        }


def run_document(run: JobRun, *, dry_run: bool = False, with_rows: bool = False) -> RunDocument:
    """A run with its tasks.

    A dry run has no number, for it leaves nothing behind. `adoption` is there only where the run changed something by
    adopting the configuration.

    :param with_rows: whether the rows that it set aside are part of it.
    """
    return cast(
        "RunDocument",
        {
            "run": None if dry_run else run.number,
            "job": run.job,
            "state": run.state.value,
            "started_at": time_of(run.started_at),
            "ended_at": time_of(run.ended_at),
            "user": run.user,
            "host": run.host,
            **_stated(run.by, run.reason, run.via),
            "forced": run.forced,
            "trigger": run.trigger.kind.value,
            "due_at": time_of(run.trigger.due_at),
            "late": run.trigger.late,
            "resumed": [_resumption_document(resumption) for resumption in run.resumed],
            **({} if run.cancelled_by is None else {"cancelled_by": _operator_document(run.cancelled_by)}),
            "dry_run": dry_run,
            **({} if run.adoption is None else {"adoption": task_document(run.adoption)}),
            "tasks": [task_document(task) for task in run.tasks],
            **({"set_aside": [set_aside_document(row) for row in run.set_aside]} if with_rows else {}),
        },
    )


def _resumption_document(resumption: Resumption) -> ResumptionDocument:
    return cast(
        "ResumptionDocument",
        {
            "at": time_of(resumption.at),
            **_operator_document(resumption.operator),
            "again": list(resumption.again),
        },
    )


def _operator_document(operator: Operator) -> OperatorDocument:
    return cast(
        "OperatorDocument",
        {"user": operator.user, "host": operator.host, **_stated(operator.by, operator.reason, operator.via)},
    )


def set_aside_document(row: SetAside) -> SetAsideDocument:
    """A row that was not applied."""
    return cast("SetAsideDocument", asdict(row))


def dirty_document(resource: DirtyResource) -> DirtyDocument:
    """A resource that a task would compute.

    `through` is there only where it may follow computed values.
    """
    return cast(
        "DirtyDocument", {name: value for name, value in asdict(resource).items() if name != "through" or value}
    )


CAUSE_MEMBERS = (
    "position", "at", "change", "entity_type", "key", "association", "other_entity_type", "other_key", "changes",
    "path", "property", "task", "computes", "reason", "run", "job", "changed_by", "file", "line", "user", "trigger",
    "through", "by", "run_reason", "grounds",
)  # fmt: skip
"""The members of a cause, in order."""


def cause_document(cause: FlagCause) -> CauseDocument:
    """The cause of a flag: a change with the path from the resource to what changed.

    `task` is the one that would compute the resource; `changed_by` is the task that made the change.
    """
    nothing: dict[str, Any] = {"position": cause.position, "at": None, "change": None, "entity_type": None, "key": None}
    change = nothing if cause.change is None else dict(change_document(cause.change))
    origin = ("run", "job", "task", "user", "trigger", "by", "file", "line", "grounds")
    made = {name: name for name in origin} | {"task": "changed_by", "reason": "run_reason"}
    where = {member: change.pop(name) for name, member in made.items() if name in change}
    why = {
        "path": cause.path,
        "property": cause.property,
        "task": cause.task,
        "computes": list(cause.computes),
        "reason": cause.reason,
        **({"through": list(cause.through)} if cause.through else {}),
    }
    return cast("CauseDocument", {**change, **why, **where})


_KINDS = {
    DerivationKind.PROPERTY: {"kind": "property"},
    DerivationKind.SOURCE_KEY: {"kind": "key", "side": "source"},
    DerivationKind.TARGET_KEY: {"kind": "key", "side": "target"},
    DerivationKind.CLASSIFICATION: {"kind": "classification"},
}


def difference_document(difference: Difference) -> dict[str, Any]:
    """A derived value that differs from what computing it again gives."""
    derivation, newest = difference.derivation, difference.newest_change
    return {
        **_KINDS[derivation.kind],
        "entity_type": difference.ref.entity_type,
        "key": difference.ref.key,
        "property" if derivation.kind is DerivationKind.PROPERTY else "rule": derivation.name,
        "stored": difference.stored,
        "recomputed": difference.recomputed,
        "pending": difference.is_pending,
        "chain": list(difference.chain),
        "newest_change": None if newest is None else change_document(newest),
    }


def effect_document(effect: AdoptionEffect) -> dict[str, Any]:
    """What a difference between two configurations does to the store."""
    difference = effect.difference
    counts = {
        attribute.name: getattr(effect, attribute.name)
        for attribute in fields(AdoptionEffect)
        if attribute.type in (int, "int")
    }
    return {
        "difference": difference.text,
        "part": difference.part.value,
        "path": list(difference.path),
        "kind": difference.kind.value,
        "aspect": difference.aspect or None,
        "before": difference.before or None,
        "after": difference.after or None,
        **counts,
        "notes": list(effect.notes),
        "samples": list(effect.samples),
    }


def derived_difference_document(difference: DerivedDifference) -> dict[str, Any]:
    """How the values of a property or rule would differ."""
    return {
        "kind": difference.kind.value,
        "entity_type": difference.entity_type,
        "name": difference.name or None,
        "added": difference.added,
        "changed": difference.changed,
        "removed": difference.removed,
        "samples": [
            {name: value for name, value in asdict(change).items() if name != "other_key" or value is not None}
            for change in difference.samples
        ],
    }


def classification_document(classification: Classification) -> ClassificationDocument:
    """The resource type of a resource."""
    return cast("ClassificationDocument", asdict(classification))


def key_document(key: CorrelationKey) -> KeyDocument:
    """A correlation key."""
    return cast("KeyDocument", asdict(key))


def pair_document(pair: MatchedPair) -> PairDocument:
    """A matched pair."""
    return cast("PairDocument", asdict(pair))


def fault_document(severity: str, fault: Fault) -> FaultDocument:
    """A fault or a warning of a configuration."""
    place = fault.location
    return {
        "severity": severity,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "message": fault.message,
        **message_document(fault.parts),
    }


def message_document(parts: MessageParts) -> MessageDocument:
    """A message in its parts."""
    where = {name: value for name, value in asdict(parts.place).items() if value is not None}
    return {"what": parts.what, "where": cast("PlaceDocument", where), "advice": parts.advice}


def error_document(error: DeltamarkError) -> ErrorDocument:
    """An error, for the command line and for problem details."""
    document: dict[str, Any] = {
        "error": "-".join(words_of(error)),
        "message": masked(str(error)),
        **message_document(error.parts),
    }
    document |= {name: masked(document[name]) for name in ("what", "advice") if document[name] is not None}
    if isinstance(error, ConfigurationError):
        document["faults"] = [fault_document("error", fault) for fault in error.faults]
    if error.next_steps:
        document["next_steps"] = [_step_document(step) for step in error.next_steps]
    return cast("ErrorDocument", document)


def words_of(error: DeltamarkError) -> list[str]:
    """The words of the class of an error, which name its kind: `["store", "missing"]`."""
    return [word.lower() for word in re.findall(r"[A-Z][a-z]*", type(error).__name__)]


def _step_document(step: NextStep) -> NextStepDocument:
    return {"action": step.action.name.lower().replace("_", "-"), "words": step.action.value, "subject": step.subject}


def notice_document(notice: Notice) -> dict[str, Any]:
    """A notice of a scheduler."""
    return {
        "at": time_of(notice.at),
        "what": notice.kind.value,
        "job": notice.job,
        "due_at": time_of(notice.due_at),
        "late": notice.late,
        "run": notice.run,
        "state": None if notice.state is None else notice.state.value,
        "message": notice.words or None,
    }


def health_document(health: Health) -> HealthDocument:
    """The state of the schedule."""
    jobs: list[JobHealthDocument] = [
        {
            "job": job.job,
            "run": None if job.last is None else job.last.number,
            "state": None if job.last is None else job.last.state.value,
            "next_at": time_of(job.next_at),
        }
        for job in health.jobs
    ]
    return {
        "well": health.is_well,
        "scheduler": health.has_scheduler,
        "problems": list(health.problems),
        "jobs": jobs,
        "held_back": [left_out_document(left_out) for left_out in health.held_back],
        "unfed": [unfed_document(unfed) for unfed in health.unfed],
    }


def unfed_document(unfed: Unfed) -> UnfedDocument:
    """What the store holds and nothing feeds any more, and since when it is frozen."""
    return {
        "kind": unfed.subject.kind.value,
        "name": unfed.subject.name,
        "because": unfed.because,
        "connector": unfed.connector,
        "frozen": _freeze_document(unfed.freeze),
    }


def holding_document(holding: Holding) -> dict[str, Any]:
    """What the store holds of something that is decommissioned."""
    return {
        "kind": holding.subject.kind.value,
        "name": holding.subject.name,
        "resources": holding.resources,
        "links": holding.links,
        "waiting": holding.waiting,
        "with_resources": holding.is_with_resources,
        "frozen": _freeze_document(holding.freeze),
    }


def _freeze_document(freeze: Freeze | None) -> FreezeDocument | None:
    if freeze is None:
        return None
    return {"since": time_of(freeze.since), "run": freeze.run, "by": freeze.by, "reason": freeze.reason}


def cloud_event(change: LoggedChange, store: str) -> CloudEventDocument:
    """A change as a CloudEvent 1.0, for message buses that know those.

    See https://github.com/cloudevents/spec.

    `source` and `id` together are unique, and the same whenever the change is asked for.

    :param store: which one, see `Engine.epoch`.
    """
    event = change.event
    names: tuple[str, ...]
    if isinstance(event, ResourceEvent):
        kind, names = "resource", (event.ref.entity_type, event.ref.key)
    else:
        kind, names = "link", (event.ref.association, event.ref.source.key, event.ref.target.key)
    return {
        "specversion": "1.0",
        "id": str(change.position),
        "source": f"urn:deltamark:store:{store}",
        "type": f"deltamark.{kind}.{change.kind}",
        "subject": "/".join(quote(name, safe="") for name in names),
        "time": time_of(change.at),
        "datacontenttype": "application/json",
        "data": change_document(change),
    }
