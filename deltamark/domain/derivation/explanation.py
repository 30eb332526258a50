"""Why a resource is dirty: the changes not yet in its derived values, and their paths."""

from __future__ import annotations

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import LoggedChange, Position
from deltamark.domain.resources.resource import ResourceRef


@frozen(kw_only=True)
class FlagCause:
    """One reason why a task would compute a resource.

    :param path: the dependency path from the resource to what changed, such as ``Manager.Department``; empty where the
        resource itself changed.
    :param property: the property that is read at the end of the path; None where the links of the path changed, or the
        resource was created or deleted.
    :param position: of the change; of the flag where the log no longer holds the change; 0 where everything is
        computed.
    :param change: the change; None where there is none to show.
    :param computes: the names of the properties and rules whose values would be computed.
    :param through: empty where the change is one of what these read. Otherwise they may follow computed values that are
        about to be computed: the paths to those from the resource, the nearest first; the last one reads what changed.
    :param reason: a text for people.
    """

    task: str
    path: str
    property: str | None
    position: Position
    change: LoggedChange | None
    computes: tuple[str, ...] = field(converter=as_tuple, default=())
    reason: str
    through: tuple[str, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class Explanation:
    """Whether tasks would compute a resource now, and why.

    :param live: False where the resource was deleted.
    :param causes: by position; empty where the resource is not flagged.
    :param derives: whether any of the tasks derives a value of the resource's entity type.
    :param clean_since: the position up to which its derived values reflect every change; None where it is flagged, or
        where nothing is derived of it.
    :param flagged_to: the position up to which changes have been flagged.
    :param unflagged: how many changes beyond that position concern the resource; no task knows of them yet.
    :param all_flagged: whether there are no changes beyond that position.
    """

    ref: ResourceRef
    live: bool
    causes: tuple[FlagCause, ...] = field(converter=as_tuple)
    derives: bool
    clean_since: Position | None
    flagged_to: Position
    unflagged: int
    all_flagged: bool

    @property
    def is_dirty(self) -> bool:
        """Whether some task would compute the resource now, or may because a computed value that it reads is due."""
        return bool(self.causes)
