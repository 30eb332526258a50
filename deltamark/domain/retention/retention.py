"""How much of a connector's history is kept, and what discarding the rest would take and hold."""

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
"""What is kept: changes that are younger, the newest so many, or those since the beginning of a run."""

_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SPAN = re.compile(r"([0-9]{1,9})(min|h|d|w)\Z")
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
_RUN = re.compile(r"run:([0-9]{1,18})\Z")

_WAYS = "Write a time span (90d, 12h, 30min, 4w), a number of changes (10000), or the run since which they stay (run:7)"


def keep_of(what: object) -> Keep:
    """What is kept, from how somebody wrote it.

    :raises UsageError: if it says nothing of the kind.
    """
    if isinstance(what, str):
        if span := _SPAN.match(what):
            return keep_of(_long(what, int(span.group(1)), _UNITS[span.group(2)]))
        if _NUMBER.match(what):
            return int(what)
        if run := _RUN.match(what):
            return RunMoment(int(run.group(1)))
        raise UsageError(f"{shown(what)} does not say what to keep. {_WAYS}.")
    if isinstance(what, timedelta) and what < timedelta():
        raise UsageError(f"nothing is kept for {what}: that is less than no time. {_WAYS}.")
    if isinstance(what, int) and not isinstance(what, bool) and not 0 <= what < 10**18:
        raise UsageError(f"{what} is no number of changes to keep, which is 0 or more. {_WAYS}.")
    if isinstance(what, timedelta | int | RunMoment) and not isinstance(what, bool):
        return what
    kind = type(what).__name__
    raise UsageError(f"what to keep is a text, a number, a timedelta or a RunMoment, not {kind}. {_WAYS}.")


def _long(written: str, count: int, unit: timedelta) -> timedelta:
    try:
        return count * unit
    except OverflowError:
        raise UsageError(f"{shown(written)} is longer than time goes back. {_WAYS}.") from None


@frozen(kw_only=True)
class Outgoing:
    """Changes of one kind, of one entity type or association, that a retention discards.

    :param kind: `created`, `updated`, `deleted`, `linked` or `unlinked`.
    :param size: of what the log holds of them, in bytes; what the database needs around it is not counted.
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
    """Changes that would be old enough to go, and that somebody has not read yet.

    :param reader: the task.
    :param position: how far it has read.
    :param count: how many of the connector's changes are beyond that.
    """

    reader: str
    position: Position
    count: int


@frozen(kw_only=True)
class Retention:
    """What a retention discarded, or, in a dry run, would.

    :param run: the run in which it was done; None where nothing was done.
    :param wanted: the position up to which changes are older than what is kept.
    :param up_to: the new horizon, 0 where nothing goes: what lies below it can be asked for no more.
    :param up_to_at: the time of that position.
    :param outgoing: what goes, by entity type and association.
    :param unread: why less goes than is old enough; with `even_unread`, what went all the same.
    :param subjects: the entity types and associations of the connector, of whose past less is known then.
    :param is_finished: False where somebody cancelled the run: it discarded a part.
    """

    connector: str
    run: int | None = None
    wanted: Position
    up_to: Position
    up_to_at: datetime | None = None
    outgoing: tuple[Outgoing, ...] = field(converter=as_tuple, default=())
    unread: tuple[Unread, ...] = field(converter=as_tuple, default=())
    subjects: tuple[str, ...] = field(converter=as_tuple, default=())
    is_finished: bool = True

    @property
    def count(self) -> int:
        """How many changes go."""
        return sum(found.count for found in self.outgoing)

    @property
    def size(self) -> int:
        """How many bytes the log holds of them."""
        return sum(found.size for found in self.outgoing)

    def keeps(self, unread: Unread) -> bool:
        """Whether what somebody has not read stays."""
        return self.up_to <= unread.position

    def done(self, run: int, *, is_finished: bool) -> Retention:
        """The same, done in a run."""
        return evolve(self, run=run, is_finished=is_finished)
