"""Keeps what came of a verification, for those who look at the store later."""

from __future__ import annotations

from datetime import datetime

from deltamark.application.ports.store import Store
from deltamark.domain.derivation.differences import Verification
from deltamark.domain.integrity.verification import LogVerification, VerificationRecord, VerifiedPart


def record_verification(store: Store, verification: LogVerification | Verification) -> VerificationRecord:
    """Puts a verification on record, and returns the record."""
    with store.transaction() as tx:
        record = _record(verification, tx.now())
        tx.put_verification(record)
        return record


def _record(verification: LogVerification | Verification, at: datetime) -> VerificationRecord:
    if isinstance(verification, LogVerification):
        return VerificationRecord(part=VerifiedPart.LOG, at=at, position=verification.head, faults=verification.faults)
    return VerificationRecord(
        part=VerifiedPart.DERIVED,
        at=at,
        position=verification.head,
        faults=len(verification.faults),
        sample=verification.sample,
    )
