"""Keeps what came of a verification, for those who look at the store later."""

from __future__ import annotations

from deltamark.application.ports.store import Store
from deltamark.domain.derivation.differences import Verification
from deltamark.domain.integrity.verification import LogVerification, VerificationRecord


def record_verification(store: Store, verification: LogVerification | Verification) -> VerificationRecord:
    """Puts a verification on record, and returns the record."""
    with store.transaction() as tx:
        record = verification.record(tx.now())
        tx.put_verification(record)
        return record
