"""What a verification finds: derived values that are not what computing them from scratch gives."""

from __future__ import annotations

from attrs import field, frozen

from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import LoggedChange
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.values import Value


@frozen(kw_only=True)
class Difference:
    """A derived value that is stored, and the one that computing it anew gives.

    :param stored: None for none; for a classification, whether the rule was found to hold.
    :param recomputed: likewise.
    :param is_pending: whether changes explain it that were not flagged yet, or flags that no task has read yet: the
        tasks of the next incremental run put it right. Otherwise it is a fault.
    :param chain: from this value to where the difference comes from: each derived value that is read and differs too,
        then the newest change of what the last one reads.
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
    """What was verified, and what was found.

    :param values: how many derived values were computed anew.
    :param differences: by entity type, key and derivation.
    :param unverified: what was not computed anew, because a function gives it that is not deterministic. What reads
        it was computed out of the values stored.
    """

    resources: int
    values: int
    differences: tuple[Difference, ...] = field(converter=as_tuple, default=())
    unverified: tuple[Derivation, ...] = field(converter=as_tuple, default=())

    @property
    def faults(self) -> tuple[Difference, ...]:
        """The differences that no pending work explains."""
        return tuple(found for found in self.differences if not found.is_pending)
