"""Checkpoints of a log, and the results of verifying and replaying it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import Enum

from attrs import Factory, field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position

MOST_KEPT = 100
"""The most discrepancies that are listed; all of them are counted."""


@frozen(kw_only=True)
class Discrepancy:
    """A difference between the stored state and the log, or a fault of the log or of the database itself.

    :param subject: what it concerns, as a user would name it: ``HR_Person E00042``.
    :param position: of the event that contradicts it, or of the newest event of the resource; None if there is none.
    :param problem: what is stored, and what the log gives.
    :param in_log: whether the fault is in the log itself, so that a replay cannot repair it.
    :param in_database: whether the database itself is damaged: its file, a table or an index.
    :param needs_backup: whether a replay cannot repair it.
    """

    subject: str
    problem: str
    position: Position | None = None
    in_log: bool = False
    in_database: bool = False
    needs_backup: bool = field(default=Factory(lambda self: self.in_log, takes_self=True))

    @property
    def advice(self) -> str:
        """What to do about it."""
        return "restore a backup" if self.needs_backup else "replay the log"


class VerifiedPart(Enum):
    """What a verification reads: the log with the state, or derived values."""

    LOG = "log"
    DERIVED = "derived"


@frozen(kw_only=True)
class VerificationRecord:
    """What came of a verification, as the store keeps it.

    :param at: when it was put on record, UTC.
    :param position: the end of the log that was read.
    :param faults: how many were found.
    :param sample: how many resources of each entity type were verified; None for all.
    """

    part: VerifiedPart
    at: datetime
    position: Position
    faults: int
    sample: int | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing was wrong."""
        return not self.faults


def newest_of_each_part(records: Iterable[VerificationRecord]) -> list[VerificationRecord]:
    """The newest record of each part that was verified as a whole.

    :param records: the newest first.
    """
    whole = [record for record in records if record.sample is None]
    return list({record.part: record for record in reversed(whole)}.values())


@frozen(kw_only=True)
class LogVerification:
    """What was read of the log, and which differences were found.

    :param head: the newest position.
    :param digest: of the newest transaction, which covers all before it; hexadecimal, empty for an empty log.
    :param resources: how many resources exist according to the log; `links` and `runs` likewise.
    :param deleted_resources: how many resources were deleted, and not created again.
    :param removed_links: how many links were removed, and not made again.
    :param discrepancies: the first ones, at most 100: faults of the database, then those of the log, then others.
    :param log_faults: how many faults the log has.
    :param differences: how many rows of the stored state differ from what the log gives.
    :param database_faults: how many faults the database itself has: its file, tables and indexes.
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
    deleted_resources: int = 0
    removed_links: int = 0
    database_faults: int = 0

    @property
    def faults(self) -> int:
        """How many faults were found, of the database, of the log and of the stored state."""
        return self.log_faults + self.differences + self.database_faults

    @property
    def is_sound(self) -> bool:
        """Whether database and log are intact, and replaying the log gives the stored state."""
        return not self.faults


@frozen(kw_only=True)
class Replayed:
    """What a replay did.

    :param verified: what it found before it changed anything; of a store as it was, what the new store holds.
    :param notes: what a store as it was lacks or has instead, because no log holds it; sentences.
    :param recomputes: whether the next runs compute all derived values again, because some may have been computed
        from wrong values.
    """

    verified: LogVerification
    recomputes: bool = False
    notes: tuple[str, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class Checkpoint:
    """What a log was up to a position, to be kept where those who can alter the log cannot.

    :param log: identifies the log; a store that is filled from the log of another one keeps it.
    :param at: when the transaction that ends at the position was written, UTC.
    :param digest: of that transaction, which covers all before it; SHA-256, hexadecimal.
    """

    log: str
    position: Position
    at: datetime
    digest: str


def is_proven(checkpoint: Checkpoint, verification: LogVerification) -> bool:
    """Whether a verification proves that the log still begins with what the checkpoint covers.

    Faults of the log above the position of the checkpoint do not matter. A fault without a position, or one of those
    that are counted but not listed, may lie below it. From a damaged database, anything may have been read.
    """
    positions = [discrepancy.position for discrepancy in verification.discrepancies if discrepancy.in_log]
    are_all_listed = len(positions) == verification.log_faults and not verification.database_faults
    return are_all_listed and all(at is not None and at > checkpoint.position for at in positions)
