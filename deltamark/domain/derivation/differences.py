"""The result of a verification: derived values that differ from those computed from scratch."""

from __future__ import annotations

from attrs import field, frozen

from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import LoggedChange, Position
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.values import Value


@frozen(kw_only=True)
class Difference:
    """A stored derived value that differs from the one computed anew.

    :param ref: the resource; its key names the stream if there is no such resource.
    :param stored: None for no value; for a classification, whether the rule was found to hold.
    :param recomputed: likewise.
    :param is_pending: whether it comes from changes that are not flagged yet, or from flags that no task has read yet:
        the tasks of the next incremental run correct it. Otherwise it is a fault.
    :param chain: the derived values that this one reads and that differ too, each read by the one before.
    :param newest_change: the newest change of what the last of them reads.
    """

    derivation: Derivation
    ref: ResourceRef
    stored: Value
    recomputed: Value
    is_pending: bool
    chain: tuple[str, ...] = field(converter=as_tuple, default=())
    newest_change: LoggedChange | None = None


@frozen(kw_only=True)
class Verification:
    """How much was verified, and the differences.

    :param head: the newest position of the log that was read.
    :param sample: how many resources of each entity type at most; None for all.
    :param values: how many derived values were computed anew.
    :param differences: by entity type, key and derivation.
    :param unverified: the derivations of functions that are not deterministic, which were not computed anew. Values
        that read theirs were computed from the stored ones.
    """

    head: Position
    sample: int | None = None
    resources: int
    values: int
    differences: tuple[Difference, ...] = field(converter=as_tuple, default=())
    unverified: tuple[Derivation, ...] = field(converter=as_tuple, default=())

    @property
    def faults(self) -> tuple[Difference, ...]:
        """The differences that no pending work explains."""
        return tuple(difference for difference in self.differences if not difference.is_pending)
