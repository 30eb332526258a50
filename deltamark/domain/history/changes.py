"""Changes as the log returns them, positions and moments, and what is derived from them."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TypeAlias

from attrs import frozen

from deltamark.domain.history.grounds import Grounds
from deltamark.domain.representation import html_table, names_in_brief
from deltamark.domain.resources.link import LinkEvent, LinkRef
from deltamark.domain.resources.resource import Computed, ResourceEvent
from deltamark.domain.runs.run import TriggerKind
from deltamark.domain.values import escaped

Position: TypeAlias = int
"""The place of a change in the log: unique, increasing, never reused. 0 is before the first."""

AnyChange: TypeAlias = ResourceEvent | LinkEvent


def subject_of(event: AnyChange) -> str:
    """The entity type of a resource, or the association of a link: what extracts and horizons are named after."""
    ref = event.ref
    return ref.association if isinstance(ref, LinkRef) else ref.entity_type


class ChangeKind(Enum):
    """The kinds by which changes are filtered; `COMPUTED` is a part of `UPDATED`."""

    CREATED = "created"
    UPDATED = "updated"
    COMPUTED = "computed"
    DELETED = "deleted"
    LINKED = "linked"
    UNLINKED = "unlinked"

    def admits(self, event: AnyChange) -> bool:
        """Whether a change is of this kind."""
        return isinstance(event, Computed) if self is ChangeKind.COMPUTED else event.kind == self.value


@frozen(kw_only=True)
class LoggedChange:
    """A change with its position, and with job, task, user and file from its run.

    :param user: the account that started the run, or had resumed it by then.
    :param trigger: whether a user or the schedule did that.
    :param by: the person for whom that was done; None where no one was named. Stated, not verified.
    :param reason: why it was done; None where no reason was given.
    :param grounds: what led to a deletion, an unlinking or a computed value; None for other changes, which `file` and
        the line of the event explain.
    """

    position: Position
    event: AnyChange
    run: int
    job: str
    task: str
    user: str
    trigger: TriggerKind
    file: str | None = None
    by: str | None = None
    reason: str | None = None
    grounds: Grounds | None = None

    def __repr__(self) -> str:
        event = self.event
        if isinstance(event, LinkEvent):
            ref = event.ref
            what = f"{ref.association} from {ref.source} to {ref.target}"
        else:
            what = f"{event.ref}: {names_in_brief(list(event.changes))}"
        return f"<LoggedChange {self.position}: {self.kind} {escaped(what)}>"

    def _repr_html_(self) -> str:
        changes = {} if isinstance(self.event, LinkEvent) else self.event.changes
        rows = [(name, change.before, change.after) for name, change in changes.items()]
        return html_table(repr(self), ("property", "before", "after"), rows, len(rows))

    @property
    def at(self) -> datetime:
        """When it happened, UTC."""
        return self.event.at

    @property
    def kind(self) -> str:
        """`created`, `updated`, `deleted`, `linked` or `unlinked`."""
        return self.event.kind


@frozen(kw_only=True)
class PendingChange:
    """A change that a threshold held back: it did not happen, so it has no position.

    The names of job, task, user and file are those of the run that held it back.
    """

    position: None = None
    event: AnyChange
    run: int
    job: str
    task: str
    user: str
    trigger: TriggerKind
    file: str | None = None
    by: str | None = None
    reason: str | None = None

    @property
    def at(self) -> datetime:
        """When it was held back, UTC."""
        return self.event.at

    @property
    def kind(self) -> str:
        """`created`, `updated`, `deleted`, `linked` or `unlinked`."""
        return self.event.kind


@frozen
class RunMoment:
    """The moment when a run ended.

    Written `run:N`, or `run:last`.

    :param run: None for the newest run that has ended.
    """

    run: int | None


When: TypeAlias = Position | datetime | RunMoment
"""A moment in the life of a store: a position, a time (with zone), or the end of a run."""


@frozen(kw_only=True)
class Horizon:
    """The position up to which changes were discarded, by which task of which run.

    :param subject: the entity type or association whose changes they were.
    """

    connector: str
    subject: str
    position: Position
    run: int
    task: str


@frozen(kw_only=True)
class DirtyResource:
    """A resource that a task would compute.

    `since` is the position of the first change that the task has not read; 0 if the task would compute everything,
    because it has never run or its rules have changed.

    :param through: empty where the task computes it in any case. Otherwise the computed properties that it reads and
        that are to be computed first, as paths such as ``Manager.Label``: it is computed if one of them changes.
    """

    task: str
    entity_type: str
    key: str
    since: Position
    through: tuple[str, ...] = ()


@frozen(kw_only=True)
class CorrelationKey:
    """The value of a correlation rule for one resource, on one side of the rule."""

    rule: str
    side: str
    entity_type: str
    key: str
    value: str


@frozen(kw_only=True)
class MatchedPair:
    """A source and a target resource with equal keys for a rule, and its confidence."""

    rule: str
    value: str
    source_entity_type: str
    source_key: str
    target_entity_type: str
    target_key: str
    confidence: int


@frozen(kw_only=True)
class Classification:
    """The resource type of a resource, the rule that found it, and the confidence of the rule."""

    entity_type: str
    key: str
    resource_type: str
    rule: str
    confidence: int


__all__ = [
    "AnyChange",
    "ChangeKind",
    "Classification",
    "CorrelationKey",
    "DirtyResource",
    "Horizon",
    "LoggedChange",
    "MatchedPair",
    "PendingChange",
    "Position",
    "RunMoment",
    "When",
]
