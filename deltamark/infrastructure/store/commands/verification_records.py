"""Keeps what came of verifications.

It is not in the log: looking is no change.
"""

from __future__ import annotations

from deltamark.domain.errors import store_damaged
from deltamark.domain.integrity.verification import VerificationRecord, VerifiedPart
from deltamark.infrastructure.store.events.mapper import from_micros, to_micros
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import checked_rows
from deltamark.infrastructure.store.session import Session

_MOST_KEPT = 100


class VerificationRecordQueries(Queries):
    """Reads what came of verifications."""

    def verifications(self) -> list[VerificationRecord]:
        rows = sorted(checked_rows(self._db, "verifications"), reverse=True)
        try:
            return [
                VerificationRecord(
                    part=VerifiedPart(part),
                    at=from_micros(at),
                    position=position,
                    faults=faults,
                    sample=sample or None,
                )
                for _, part, at, position, faults, sample in rows
            ]
        except (TypeError, ValueError, OverflowError) as e:
            raise store_damaged("the record of a verification cannot be read") from e


class VerificationRecordCommands(Session, VerificationRecordQueries):
    """Puts verifications on record."""

    def put_verification(self, record: VerificationRecord) -> None:
        number = 1 + (self._db.one("SELECT max(number) FROM verifications") or 0)
        with self._sealing("verifications", "number=?1 OR number<=?2", (number, number - _MOST_KEPT)):
            self._db.execute("DELETE FROM verifications WHERE number<=?1", (number - _MOST_KEPT,))
            self._db.execute(
                """INSERT INTO verifications (number, part, at, position, faults, sample)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)""",
                (number, record.part.value, to_micros(record.at), record.position, record.faults, record.sample or 0),
            )
