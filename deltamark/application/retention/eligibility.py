"""The changes that a retention may discard.

They are older than what is kept, and read by all tasks and programs that follow changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from attrs import frozen

from deltamark.application.derivation.workload import unread_flags, workload
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Subjects
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.errors import RunNotFound
from deltamark.domain.history.changes import Position, RunMoment
from deltamark.domain.retention.retention import Keep, Retention, Unread


def eligible_changes(
    reading: Reading, services: Services, subjects: Subjects, keep: Keep, *, even_unread: bool
) -> Retention:
    """Returns the changes of a connector that a retention may discard now.

    :raises UsageError: if `keep` names a run that does not exist.
    """
    names = (*subjects.entity_types, *subjects.associations)
    older = _older(reading, names, keep, services.clock())
    unread = tuple(_unread(reading, services, names, older))
    last = older if even_unread else min([older, *(changes.position for changes in unread)])
    outgoing = reading.changes_between(names, 0, last)
    up_to = max((changes.last for changes in outgoing), default=0)
    return Retention(
        connector=subjects.connector,
        wanted=older,
        up_to=up_to,
        up_to_at=reading.time_of(up_to) if up_to else None,
        outgoing=outgoing,
        unread=unread,
        subjects=names,
    )


def _older(reading: Reading, names: tuple[str, ...], keep: Keep, now: datetime) -> Position:
    """The position up to which changes are older than what is kept."""
    match keep:
        case RunMoment(int(number)):
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
class _Reader:
    name: str
    position: Position


def _unread(reading: Reading, services: Services, names: tuple[str, ...], up_to: Position) -> Iterator[Unread]:
    for reader in _readers(reading, services):
        beyond = reading.changes_between(names, reader.position, up_to)
        if beyond:
            count = sum(changes.count for changes in beyond)
            yield Unread(reader=reader.name, position=reader.position, count=count)


def _readers(reading: Reading, services: Services) -> Iterator[_Reader]:
    """The tasks and programs that read changes or flags, each with its position.

    Those that compute everything next need none.
    """
    tasks = {task.identifier: task for task in services.configuration.all_calls()}.values()
    flagging = [task.identifier for task in tasks if task.flags_changes]
    if flagging:
        yield _Reader(", ".join(flagging), reading.flagged_to())
    for place in reading.consumers():
        yield _Reader(f"consumer {place.name}", place.position)
    for task in tasks:
        if isinstance(task, ComputingTask) and task.dirty:
            work = workload(reading, services.plan, task)
            for name in work.entity_types:
                shares = [share for share in work.of(name) if not share.is_full]
                with_flags = set(unread_flags(reading, shares)["derivation"].to_pylist())
                if with_flags:
                    position = min(shares[number].place.position for number in with_flags)
                    yield _Reader(task.identifier, position)
