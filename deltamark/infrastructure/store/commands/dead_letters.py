"""Keeps changes that sinks refused for good. The changes themselves are in the log alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deltamark.domain.errors import store_damaged
from deltamark.domain.sinks.dead_letters import DeadLetter, LetterState
from deltamark.infrastructure.store.events.mapper import from_micros, to_micros
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import checked_rows
from deltamark.infrastructure.store.session import Session

_KEY = "sink=?1 AND position=?2 AND part=?3"


class DeadLetterQueries(Queries):
    """Queries about changes that sinks refused."""

    def dead_letters(self, sink: str | None = None) -> list[DeadLetter]:
        rows = (
            checked_rows(self._db, "dead_letters")
            if sink is None
            else checked_rows(self._db, "dead_letters", "sink=?1", (sink,))
        )
        return [_letter(row) for row in sorted(rows)]


def _letter(row: Sequence[Any]) -> DeadLetter:
    sink, position, part, state, refused_at, tries, problem, decided_at, decided_by, reason = row
    try:
        return DeadLetter(
            sink=sink,
            position=position,
            part=part,
            state=LetterState(state),
            refused_at=from_micros(refused_at),
            tries=tries,
            problem=problem,
            decided_at=from_micros(decided_at) if decided_at else None,
            decided_by=decided_by,
            reason=reason,
        )
    except (TypeError, ValueError, OverflowError) as e:
        raise store_damaged(f"what sink {sink} refused at position {position} cannot be read") from e


class DeadLetterCommands(Session, DeadLetterQueries):
    """Stores changes that sinks refused, and what was decided about them."""

    def put_dead_letter(self, letter: DeadLetter) -> None:
        key = (letter.sink, letter.position, letter.part)
        decided_at = 0 if letter.decided_at is None else to_micros(letter.decided_at)
        values = (letter.state.value, to_micros(letter.refused_at), letter.tries, letter.problem, decided_at)
        with self._sealing("dead_letters", _KEY, key):
            self._db.execute(
                """INSERT INTO dead_letters (sink, position, part, state, refused_at, tries, problem, decided_at,
                decided_by, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                ON CONFLICT (sink, position, part) DO UPDATE SET state=excluded.state, tries=excluded.tries,
                problem=excluded.problem, decided_at=excluded.decided_at, decided_by=excluded.decided_by,
                reason=excluded.reason""",
                (*key, *values, letter.decided_by, letter.reason),
            )
