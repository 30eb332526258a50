"""Pending changes: what a store keeps of a blocked synchronization until someone decides."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.run import ExtractRead
from deltamark.domain.sources.places import PlaceReached

if TYPE_CHECKING:
    import pyarrow as pa

CREATED, UPDATED, DELETED, COMPUTED = "created", "updated", "deleted", "computed"
LINKED, UNLINKED, REMOVED = "linked", "unlinked", "removed"
AWAITED, SETTLED = "awaited", "settled"
"""Kinds of changes. Links are by keys.

`COMPUTED`: values that expressions gave properties which a mapping feeds now. `REMOVED`: links that are removed with
deleted resources. Both follow from the others and are kept to be shown and compared. `AWAITED` and `SETTLED`: pairs of
an association that wait for a resource from then on, or no longer; they change no resource or link.
"""


@frozen(kw_only=True)
class Part:
    """Changes of one kind, of the resources of an entity type or the links of an association.

    :param subject: the entity type or association.
    :param ends: the entity types at the two ends of links; empty for resources.
    :param rows: an Arrow table with the columns of `arrow_schemas.PENDING_ROWS`.
    """

    kind: str
    subject: str
    ends: tuple[str, ...] = field(converter=as_tuple, default=())
    rows: pa.Table

    @property
    def is_change(self) -> bool:
        """Whether it changes resources or links."""
        return self.kind not in (AWAITED, SETTLED)


@frozen(kw_only=True)
class PartSummary:
    """Which part of the changes that a task of a run held back, and how many rows it has."""

    task: int
    number: int
    kind: str
    subject: str
    ends: tuple[str, ...] = field(converter=as_tuple, default=())
    rows: int

    @property
    def is_change(self) -> bool:
        """Whether it changes resources or links."""
        return self.kind not in (AWAITED, SETTLED)


@frozen(kw_only=True)
class PendingChanges:
    """What a blocked synchronization would have done, and what it had read.

    :param is_delta: whether it came from extracts with a command column, which no later extract repeats.
    :param read: how many rows were read; `set_aside` is how many of them were recorded as not applied.
    :param warned: whether the task would have ended in warning.
    :param parts: in the order in which they are applied.
    :param places: the places in sources that are reached once they are applied.
    """

    connector: str
    task: str
    job: str
    at: datetime
    is_delta: bool
    read: int = 0
    set_aside: int = 0
    warned: bool = False
    extracts: tuple[ExtractRead, ...] = field(converter=as_tuple, default=())
    parts: tuple[Part, ...] = field(converter=as_tuple, default=())
    places: tuple[PlaceReached, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class Block:
    """A connector that incremental jobs leave out, and the task and run that blocked it.

    The task is named by its ordinal.

    :param needs_complete: whether a delta was held back: if it is dropped, the connector stays out until a complete
        extract is applied.
    """

    connector: str
    run: int
    task: int
    since: datetime
    needs_complete: bool
