"""What a retention may discard: what is older than what is kept, and not beyond what somebody has still to read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from attrs import frozen

from deltamark.application.derivation.workload import flagged, workload
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.records import Subjects
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.errors import RunNotFound
from deltamark.domain.history.changes import Position, RunMoment
from deltamark.domain.retention.retention import Keep, Retention, Unread


def weighed(reading: Reading, services: Services, subjects: Subjects, keep: Keep, *, even_unread: bool) -> Retention:
    """What would be discarded of a connector now.

    :raises UsageError: if what is kept begins with a run that there is not.
    """
    names = (*subjects.entity_types, *subjects.associations)
    wanted = _older(reading, names, keep, services.clock())
    unread = tuple(_unread(reading, services, names, wanted))
    last = wanted if even_unread else min([wanted, *(held.position for held in unread)])
    outgoing = reading.changes_between(names, 0, last)
    up_to = max((found.last for found in outgoing), default=0)
    return Retention(
        connector=subjects.connector,
        wanted=wanted,
        up_to=up_to,
        up_to_at=reading.time_of(up_to) if up_to else None,
        outgoing=outgoing,
        unread=unread,
        subjects=names,
    )


def _older(reading: Reading, names: tuple[str, ...], keep: Keep, now: datetime) -> Position:
    """The position up to which changes are older than what is kept."""
    match keep:
        case RunMoment(number):
            summary = reading.run(number, with_rows=False)
            if summary is None:
                raise RunNotFound(number)
            return summary.first - 1
        case timedelta() if keep:
            try:
                return reading.position_at(now - keep)
            except OverflowError:
                return 0
        case int() if keep:
            oldest = reading.oldest_of_newest(names, keep)
            return 0 if oldest is None else oldest - 1
    return reading.head()


@frozen
class _Standing:
    reader: str
    position: Position


def _unread(reading: Reading, services: Services, names: tuple[str, ...], wanted: Position) -> Iterator[Unread]:
    for standing in _readers(reading, services):
        beyond = reading.changes_between(names, standing.position, wanted)
        if beyond:
            count = sum(found.count for found in beyond)
            yield Unread(reader=standing.reader, position=standing.position, count=count)


def _readers(reading: Reading, services: Services) -> Iterator[_Standing]:
    """Who reads changes or flags, and how far each has come; who will compute everything anyway waits for none."""
    tasks = {task.identifier: task for task in services.configuration.all_calls()}.values()
    flagging = [task.identifier for task in tasks if task.flags_changes]
    if flagging:
        yield _Standing(", ".join(flagging), reading.flagged_to())
    for task in tasks:
        if isinstance(task, ComputingTask) and task.dirty:
            work = workload(reading, services.plan, task)
            for name in work.entity_types:
                shares = [share for share in work.of(name) if not share.everything]
                waiting = set(flagged(reading, shares)["derivation"].to_pylist())
                if waiting:
                    position = min(shares[number].place.position for number in waiting)
                    yield _Standing(task.identifier, position)
