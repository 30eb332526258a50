"""The port to changes that a threshold held back: what a store keeps of them until somebody decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import pyarrow as pa
from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.run import ExtractRead

_KEY, _LINE, _STATE = ("key", pa.string()), ("line", pa.int64()), ("state", pa.string())
_CHANGES = ("changes", pa.string())
_RESOURCES = pa.schema([_KEY, _LINE, _STATE])
_LINKS = pa.schema([("source_key", pa.string()), ("target_key", pa.string()), _LINE])
_PAIRS = pa.schema([("first", pa.string()), ("second", pa.string())])

CREATED, UPDATED, DELETED, COMPUTED = "created", "updated", "deleted", "computed"
LINKED, UNLINKED, REMOVED = "linked", "unlinked", "removed"
AWAITED, SETTLED = "awaited", "settled"

SCHEMAS: Mapping[str, pa.Schema] = {
    CREATED: _RESOURCES,
    UPDATED: pa.schema([_KEY, _LINE, _STATE, _CHANGES]),
    DELETED: _RESOURCES,
    COMPUTED: pa.schema([_KEY, _CHANGES]),
    LINKED: _LINKS,
    UNLINKED: _LINKS,
    REMOVED: _LINKS,
    AWAITED: _PAIRS,
    SETTLED: _PAIRS,
}
"""Kind of changes -> their columns, with the meaning that they have in `ResourceChanges`; links are by keys.

`COMPUTED`: values that expressions gave properties which a mapping feeds now. `REMOVED`: links that go with deleted
resources. Both follow from the others and are kept to be shown and compared. `AWAITED` and `SETTLED`: pairs of an
association that wait for a resource from then on, or no more (see `Waiting`): no changes of anything.
"""


@frozen(kw_only=True)
class Part:
    """Changes of one kind: of the resources of an entity type, or of the links of an association.

    :param subject: the entity type or association.
    :param ends: the entity types at the two ends of links; empty for resources.
    :param rows: an Arrow table with the columns of `SCHEMAS`.
    """

    kind: str
    subject: str
    ends: tuple[str, ...] = field(converter=as_tuple, default=())
    rows: pa.Table

    @property
    def is_change(self) -> bool:
        """Whether resources or links are changed by it."""
        return self.kind not in (AWAITED, SETTLED)


@frozen(kw_only=True)
class Pending:
    """What a blocked synchronization would have done, and what it had read for that.

    :param is_delta: whether it came from extracts that say only what happened: nothing will say it again.
    :param read: how many rows were read; `set_aside` is how many of them were put on record as not applied.
    :param warned: whether the task would have ended in warning.
    :param parts: in the order in which they are applied.
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


@frozen(kw_only=True)
class Block:
    """A connector that is left out of incremental jobs, and which task (by its place) of which run blocked it.

    :param needs_complete: whether a delta was held back: where it is dropped, the connector stays out until a
        complete extract is applied.
    """

    connector: str
    run: int
    task: int
    since: datetime
    needs_complete: bool


class PendingReading(Protocol):
    """What is held back."""

    def block_of(self, connector: str) -> Block | None:
        """Why a connector is left out, or None where it is not blocked."""
        ...

    def pending_tasks(self, run: int) -> list[int]:
        """The places (from 1) of the tasks of a run that have pending changes."""
        ...

    def pending(self, run: int, task: int) -> Pending | None:
        """The pending changes of a task of a run, by its place; None where there are none (any more).

        :raises StoreError: if they are not what was written.
        """
        ...


class PendingWriting(Protocol):
    """Holding back, in the transaction that puts it on record."""

    def keep_pending(self, run: int, task: int, pending: Pending) -> None:
        """Keeps pending changes; those that the same task of the run had are replaced."""
        ...

    def drop_pending(self, run: int, task: int) -> None:
        """Drops the pending changes of a task, if there are any."""
        ...

    def block(self, block: Block) -> None:
        """Blocks a connector, in place of whatever blocked it before."""
        ...

    def unblock(self, connector: str) -> None:
        """Unblocks a connector, if it is blocked."""
        ...
