"""How much of a connector's history is kept, and which changes a retention discards."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TypeAlias

from attrs import evolve, field, frozen

from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position, RunMoment
from deltamark.domain.values import shown

Keep: TypeAlias = timedelta | int | RunMoment
"""What is kept: changes younger than a time span, a number of the newest, or those since a run began."""

_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SPAN = re.compile(r"([0-9]{1,9})(min|h|d|w)\Z")
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
_RUN = re.compile(r"run:([0-9]{1,18})\Z")

_HOW_TO_WRITE = "Write a time span (90d, 12h, 30min, 4w), a number of changes (10000), or the first run to keep (run:7)"


def keep_of(written: object) -> Keep:
    """Returns what to keep, from how a user wrote it.

    :raises UsageError: if it is none of the three.
    """
    if isinstance(written, str):
        if span := _SPAN.match(written):
            return keep_of(_time_span(written, int(span.group(1)), _UNITS[span.group(2)]))
        if _NUMBER.match(written):
            return int(written)
        if run := _RUN.match(written):
            return RunMoment(int(run.group(1)))
        raise UsageError(f"{shown(written)} does not say what to keep. {_HOW_TO_WRITE}.")
    if isinstance(written, timedelta) and written < timedelta():
        raise UsageError(f"the time to keep is {written}; it must not be negative. {_HOW_TO_WRITE}.")
    if isinstance(written, int) and not isinstance(written, bool) and not 0 <= written < 10**18:
        raise UsageError(
            f"the number of changes to keep is {written}; it must be from 0 to 10**18 - 1. {_HOW_TO_WRITE}."
        )
    if written == RunMoment(None):
        raise UsageError(f"run:last names no fixed run. {_HOW_TO_WRITE}.")
    if isinstance(written, timedelta | int | RunMoment) and not isinstance(written, bool):
        return written
    kind = type(written).__name__
    raise UsageError(f"what to keep must be a text, a number, a timedelta or a RunMoment, not {kind}. {_HOW_TO_WRITE}.")


def _time_span(written: str, count: int, unit: timedelta) -> timedelta:
    try:
        return count * unit
    except OverflowError:
        raise UsageError(f"{shown(written)} is too long. {_HOW_TO_WRITE}.") from None


@frozen(kw_only=True)
class Outgoing:
    """Changes of one kind and of one entity type or association that a retention discards.

    :param kind: `created`, `updated`, `deleted`, `linked` or `unlinked`.
    :param size: their bytes in the log, without the overhead of the database.
    """

    subject: str
    kind: str
    count: int
    first: Position
    last: Position
    first_at: datetime
    last_at: datetime
    size: int


@frozen(kw_only=True)
class Unread:
    """Changes that are old enough to be discarded but that a task has not read yet.

    :param reader: the task.
    :param position: how far it has read.
    :param count: how many changes of the connector are after that position.
    """

    reader: str
    position: Position
    count: int


@frozen(kw_only=True)
class Retention:
    """What a retention discarded, or, in a dry run, would discard.

    :param connector: whose changes; of one entity type or association, the connector that fed it last.
    :param name: the entity type or association that was named; None for all of the connector.
    :param run: the run that discarded it; None if nothing was discarded.
    :param wanted: the position up to which changes are older than what is kept.
    :param up_to: the new horizon, below which history can no longer be queried; 0 if nothing is discarded.
    :param up_to_at: the time of that position.
    :param outgoing: what is discarded, by entity type and association.
    :param unread: why less is discarded than is old enough; with `even_unread`, what was discarded although unread.
    :param subjects: the entity types and associations of the connector, whose history becomes shorter.
    :param is_finished: False if the run was cancelled after it had discarded a part.
    """

    connector: str
    name: str | None = None
    run: int | None = None
    wanted: Position
    up_to: Position
    up_to_at: datetime | None = None
    outgoing: tuple[Outgoing, ...] = field(converter=as_tuple, default=())
    unread: tuple[Unread, ...] = field(converter=as_tuple, default=())
    subjects: tuple[str, ...] = field(converter=as_tuple, default=())
    is_finished: bool = True

    @property
    def of(self) -> str:
        """What was named: the entity type or association, or the connector."""
        return self.name or self.connector

    @property
    def count(self) -> int:
        """How many changes are discarded."""
        return sum(changes.count for changes in self.outgoing)

    @property
    def size(self) -> int:
        """How many bytes the log holds of them."""
        return sum(changes.size for changes in self.outgoing)

    def keeps(self, unread: Unread) -> bool:
        """Whether unread changes are kept."""
        return self.up_to <= unread.position

    def done(self, run: int, *, is_finished: bool) -> Retention:
        """Returns the same as the result of a run."""
        return evolve(self, run=run, is_finished=is_finished)
