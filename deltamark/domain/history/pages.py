"""Parts of long lists, each with where the next part begins."""

from __future__ import annotations

from attrs import frozen

from deltamark.domain.history.changes import Horizon, LoggedChange, PendingChange, Position
from deltamark.domain.resources.resource import Resource, ResourceRef
from deltamark.domain.runs.run import SetAside


@frozen(kw_only=True)
class ChangePage:
    """A part of the log, and how far it was searched for it.

    :param changes: those that were asked for, in the order that was asked for.
    :param scanned_to: the changes are all from where the search began to this position: newest first, go on with
        `before` this position; oldest first, with `after` it.
    :param more: whether the search ended before the end of the log that was asked for: there may be more.
    :param horizon: what was discarded of the part that was searched, at its highest position; None if nothing was.
    """

    changes: tuple[LoggedChange, ...]
    scanned_to: Position
    more: bool
    horizon: Horizon | None = None


@frozen(kw_only=True)
class ResourcePage:
    """Some resources of an entity type, by key, and how far they were searched.

    :param scanned_to: the resources are all that were asked for, from where the search began to this key: go on with
        `after` it. None if nothing was searched.
    :param more: whether the search ended before the last key: there may be more.
    """

    resources: tuple[Resource, ...]
    scanned_to: str | None
    more: bool


@frozen(kw_only=True)
class RowOfTask:
    """A row that a task of a run set aside."""

    task: str
    row: SetAside


@frozen(kw_only=True)
class SetAsidePage:
    """Some of the rows that a run set aside, in the order in which they were recorded.

    :param next: go on with `after` this; None if these are the last.
    """

    rows: tuple[RowOfTask, ...]
    next: int | None


@frozen(kw_only=True)
class PendingPage:
    """Some of the changes that a run held back, in the order in which they would be made.

    :param next: go on with `after` this; None if these are the last.
    """

    changes: tuple[PendingChange, ...]
    next: int | None


@frozen(kw_only=True)
class PendingCount:
    """How many changes of one kind a run held back, of the resources of a type or of the links of an association.

    :param kind: as `PendingChange.kind`.
    :param subject: the entity type or association.
    :param entity_types: the entity type, or those at the two ends of the association.
    """

    task: str
    kind: str
    subject: str
    entity_types: tuple[str, ...]
    count: int


@frozen(kw_only=True)
class DirtyCount:
    """How many resources of an entity type a task would compute.

    Not counted are those that only may follow (`DirtyResource.through`).

    :param since: the first change that the task has not read; 0 where it computes everything; None where none is dirty.
    :param is_everything: whether it would compute all that exist: it never ran, or its rules changed.
    """

    task: str
    entity_type: str
    count: int
    since: Position | None
    is_everything: bool


@frozen(kw_only=True)
class AmbiguousKey:
    """A value that several resources have on one side of a correlation rule.

    :param sources: the first of the resources on the source side, of `source_count`; likewise the targets.
    """

    rule: str
    value: str
    source_count: int
    target_count: int
    sources: tuple[ResourceRef, ...]
    targets: tuple[ResourceRef, ...]
