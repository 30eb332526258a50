"""Why a resource is dirty: the changes that derived values of it have not seen, and the paths to them."""

from __future__ import annotations

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import LoggedChange, Position
from deltamark.domain.resources.resource import ResourceRef


@frozen(kw_only=True)
class FlagCause:
    """One reason why a task would compute a resource.

    :param task: the task that would.
    :param path: the dependency path from the resource to what changed, such as ``Manager.Department``; empty where the
        resource itself changed.
    :param property: the property that is read at the end of the path; None where it is the links of the path, or that
        the resource exists at all.
    :param position: of the change; of the flag where its change is not in the log any more; 0 where everything is
        computed.
    :param change: the change; None where there is none to show.
    :param computes: the derived values that would be computed for it, by the names of their properties and rules.
    :param reason: what to tell a person.
    """

    task: str
    path: str
    property: str | None
    position: Position
    change: LoggedChange | None
    computes: tuple[str, ...] = field(converter=as_tuple, default=())
    reason: str


@frozen(kw_only=True)
class Explanation:
    """Whether tasks would compute a resource now, and why.

    :param live: False where the resource was deleted.
    :param causes: by position; empty where the resource is not flagged.
    :param derives: whether any of the tasks derives something of the resource's entity type.
    :param clean_since: every change up to there is in its derived values; None where it is flagged, or where nothing
        is derived of it.
    :param flagged_to: changes up to there have been flagged for whom they concern.
    :param unflagged: how many changes beyond that position concern the resource; no task knows of them yet.
    :param all_flagged: whether there are no changes beyond that position at all.
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
        """Whether some task would compute the resource now."""
        return bool(self.causes)
