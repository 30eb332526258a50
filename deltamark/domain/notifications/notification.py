"""A notification: what happened to a run or a schedule, without values and keys of resources."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.fields import as_tuple
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import JobRun


class NotificationKind(Enum):
    """What a notification is about."""

    WARNING = "warning"
    BLOCKED = "blocked"
    FAILED = "failed"
    SCHEDULE = "schedule"


_KIND_OF = {
    TaskState.WARNING: NotificationKind.WARNING,
    TaskState.BLOCKED: NotificationKind.BLOCKED,
    TaskState.FAILED: NotificationKind.FAILED,
    TaskState.ABORTED: NotificationKind.FAILED,
}
"""The ends of a run that people are told of."""


def kind_of_end(state: TaskState) -> NotificationKind | None:
    """What the end of a run in a state is to people; None where they are not told of it."""
    return _KIND_OF.get(state)


@frozen(kw_only=True)
class Notification:
    """What happened, as every channel gets it.

    :param id: the same whenever it is sent: by it a receiver knows what it has already.
    :param store: which store it happened in.
    :param at: when it happened, UTC.
    :param run: the run; None of a job that was not started.
    :param state: how the run ended.
    :param due_at: when the schedule wanted the job to start; None of the end of a run.
    :param tasks: how the tasks of the run ended, without those that completed.
    :param changes: how many changes the run made.
    :param set_aside: how many rows it set aside.
    """

    id: str
    store: str
    kind: NotificationKind
    job: str
    at: datetime
    run: int | None = None
    state: str | None = None
    due_at: datetime | None = None
    tasks: tuple[tuple[str, str], ...] = field(converter=as_tuple, default=())
    changes: int = 0
    set_aside: int = 0

    @property
    def title(self) -> str:
        """What happened, in a line."""
        match self.kind:
            case NotificationKind.SCHEDULE:
                return f"Job {self.job} was not started when it was due"
            case NotificationKind.BLOCKED:
                return f"Run {self.run} of job {self.job} holds changes back"
            case NotificationKind.WARNING:
                return f"Run {self.run} of job {self.job} ended with a warning"
            case NotificationKind.FAILED:
                return f"Run {self.run} of job {self.job} {self.state}"

    @property
    def text(self) -> str:
        """What happened and what can be done, in lines."""
        lines = [f"{self.title}.", ""]
        if self.kind is NotificationKind.SCHEDULE:
            late = "It was started late." if self.run else "It was not started yet."
            lines.append(f"It was due at {_time(self.due_at)}. {late}")
            return "\n".join(lines)
        lines.append(f"It ended at {_time(self.at)} with {how_many(self.changes, 'change')}.")
        if self.set_aside:
            lines.append(f"It set {how_many(self.set_aside, 'row')} aside.")
        lines += [f"Task {task}: {state}." for task, state in self.tasks]
        lines += ["", f"The record of run {self.run} says more."]
        if self.kind is NotificationKind.BLOCKED:
            lines.append("What it holds back waits until a person applies or drops it.")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The notification as JSON."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "job": self.job,
            "at": _time(self.at),
            "run": self.run,
            "state": self.state,
            "due_at": None if self.due_at is None else _time(self.due_at),
            "tasks": [{"task": task, "state": state} for task, state in self.tasks],
            "changes": self.changes,
            "set_aside": self.set_aside,
            "text": self.text,
        }

    def cloud_event(self) -> dict[str, Any]:
        """The notification as a CloudEvent 1.0; its source and its id together are unique."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": f"urn:deltamark:store:{self.store}",
            "type": f"deltamark.notification.{self.kind.value}",
            "subject": quote(self.job, safe=""),
            "time": _time(self.at),
            "datacontenttype": "application/json",
            "data": self.document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], store: str) -> Notification:
        """The notification that a document was made of."""
        return cls(
            id=document["id"],
            store=store,
            kind=NotificationKind(document["kind"]),
            job=document["job"],
            at=datetime.fromisoformat(document["at"]),
            run=document["run"],
            state=document["state"],
            due_at=None if document["due_at"] is None else datetime.fromisoformat(document["due_at"]),
            tasks=[(task["task"], task["state"]) for task in document["tasks"]],
            changes=document["changes"],
            set_aside=document["set_aside"],
        )


def end_of_run(run: JobRun, state: TaskState, version: int, at: datetime, store: str) -> Notification | None:
    """The notification of the end of a run; None where people are not told of it.

    A run that is resumed ends again: each end has an identifier of its own.

    :param state: in which it ended then.
    :param version: the number of that record of the run.
    """
    kind = kind_of_end(state)
    if kind is None:
        return None
    return Notification(
        id=f"run-{run.number}-{version}",
        store=store,
        kind=kind,
        job=run.job,
        at=at,
        run=run.number,
        state=state.value,
        tasks=[(task.identifier, task.state.value) for task in run.tasks if task.state is not TaskState.COMPLETED],
        changes=run.counts.changed,
        set_aside=run.counts.set_aside,
    )


def schedule_not_kept(job: str, due_at: datetime, at: datetime, store: str, run: int | None = None) -> Notification:
    """The notification of a job that was not started when it was due: once for each time it was due.

    :param run: the run that was started late; None before.
    """
    return Notification(
        id=f"schedule-{quote(job, safe='')}-{due_at.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        store=store,
        kind=NotificationKind.SCHEDULE,
        job=job,
        at=at,
        run=run,
        due_at=due_at,
    )


def _time(at: datetime | None) -> str:
    assert at is not None, "what happened has a time"
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
