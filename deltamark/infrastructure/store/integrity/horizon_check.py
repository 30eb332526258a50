"""Which horizons a store must have, as far as the log tells.

The record of a discard names the entity types that it concerns, not every subject whose horizon it moved. So a horizon
is right if some discard set it and it covers what the snapshots stand for; a subject with snapshots has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from deltamark.domain.runs.run import ChangesDiscarded
from deltamark.infrastructure.store.integrity.log_fold import LogFolding

HorizonRow: TypeAlias = tuple[str, str, int, int, str]
"""Subject, connector, position, run, task."""


def expected_horizons(held: Mapping[str, HorizonRow], folding: LogFolding) -> dict[str, HorizonRow | None]:
    """By subject: the horizon as it is where it is right, else what it must be; None where there must be none."""
    discards = [_row(event, folding) for _, event in folding.discards]
    newest = folding.discarded_to
    expected: dict[str, HorizonRow | None] = {}
    for subject in sorted({*held, *newest}, key=str):
        row, needed = held.get(subject), newest.get(subject, 0)
        if row is not None and row[1:] in discards and row[2] >= needed:
            expected[subject] = row
            continue
        covering = [found for found in discards if needed and found[1] >= needed]
        expected[subject] = (subject, *min(covering, key=lambda found: found[1])) if covering else None
    return expected


def _row(event: ChangesDiscarded, folding: LogFolding) -> tuple[str, int, int, str]:
    planned = {task.ordinal: task.identifier for task in folding.planned.get(event.run, ())}
    return event.connector, event.up_to, event.run, planned.get(event.task, "")
