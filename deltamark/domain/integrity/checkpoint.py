"""Checkpoints: what a log was at some time, in a few words that can be kept where nobody who alters the log reaches."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from deltamark.domain.history.changes import Position
from deltamark.domain.integrity.verification import LogVerification


@frozen(kw_only=True)
class Checkpoint:
    """What a log was up to a position.

    :param log: which log; a store that is filled with the log of another one keeps it.
    :param at: when the transaction that ends at the position was written, UTC.
    :param digest: of that transaction, which covers all before it; SHA-256, hexadecimal.
    """

    log: str
    position: Position
    at: datetime
    digest: str


def is_proven(checkpoint: Checkpoint, found: LogVerification) -> bool:
    """Whether a verification against a checkpoint shows that the log begins with what it was then.

    Faults beyond its position take nothing from that; those that are not told one by one may lie before it.
    """
    told = [one.position for one in found.discrepancies if one.in_log]
    return len(told) == found.log_faults and all(at is not None and at > checkpoint.position for at in told)
