"""Parts of long lists, each with where the next part begins."""

from __future__ import annotations

from attrs import frozen

from deltamark.domain.history.changes import Horizon, LoggedChange, Position
from deltamark.domain.resources.resource import Resource
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
