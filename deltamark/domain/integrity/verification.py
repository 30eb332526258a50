"""What replaying the log finds: where the log is not whole, and where the stored state is not what it gives."""

from __future__ import annotations

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position

MOST_KEPT = 100
"""So many differences are told one by one; all of them are counted."""


@frozen(kw_only=True)
class Discrepancy:
    """Something that is not as the log says, or a fault of the log itself.

    :param subject: what it concerns, as a person would name it: ``HR_Person E00042``.
    :param position: of the event that says otherwise, or of the newest event of the resource; None where there is none.
    :param problem: what is stored, and what the log gives.
    :param in_log: whether the log itself is at fault: then no replay puts it right.
    """

    subject: str
    problem: str
    position: Position | None = None
    in_log: bool = False

    @property
    def advice(self) -> str:
        """What to do."""
        return "restore a backup" if self.in_log else "replay the log"


@frozen(kw_only=True)
class LogVerification:
    """What was read of the log, and what differs.

    :param head: the newest position.
    :param digest: that of the newest transaction, which covers all before it; hexadecimal, empty for an empty log.
    :param resources: how many the log gives, also those that were deleted since; likewise links and runs.
    :param discrepancies: the first ones, faults of the log before others, at most 100.
    :param log_faults: how many faults the log has.
    :param differences: how many rows of the stored state are not what the log gives.
    """

    head: Position
    digest: str
    events: int
    resources: int
    links: int
    runs: int
    log_faults: int
    differences: int
    discrepancies: tuple[Discrepancy, ...] = field(converter=as_tuple, default=())

    @property
    def is_sound(self) -> bool:
        """Whether the log is whole, and replaying it gives the stored state."""
        return not self.log_faults and not self.differences


@frozen(kw_only=True)
class Replayed:
    """What a replay did.

    :param verified: what it found before it changed anything.
    :param recomputes: whether what was derived is computed anew by the next runs, since it may have been computed out
        of wrong values.
    """

    verified: LogVerification
    recomputes: bool = False
