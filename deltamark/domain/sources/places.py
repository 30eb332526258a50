"""The place in a source: how far what it delivered was applied, and the events that move and forget it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import ClassVar

from attrs import field, frozen

from deltamark.domain.history.changes import Position
from deltamark.domain.resources.events import Event


class DeliveryKind(Enum):
    """What one reading of a connection gives: everything that was asked for, or what changed since a place."""

    SNAPSHOT = "snapshot"
    DELTA = "delta"


def place_digest(cookie: str, guard: Mapping[str, str], scope: str) -> str:
    """The digest that tells places apart, hexadecimal.

    :param cookie: in base64.
    """
    return hashlib.sha256(json.dumps([cookie, sorted(guard.items()), scope]).encode()).hexdigest()


MAX_AGE = "30d"
"""How old a place may be, where a connection does not say it: servers forget what was deleted long ago."""

RENEWED_AFTER = timedelta(days=1)
"""A place that a source confirms is moved again after so long, so that its age is that of what was read."""

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGE = re.compile(r"([1-9][0-9]{0,5})(h|d|w)\Z")


def age_of(text: str) -> timedelta:
    """A time span such as `12h`, `30d` or `8w`.

    :raises ValueError: if it is none; the message is a clause without its subject.
    """
    match = _AGE.match(text)
    if match is None:
        raise ValueError("is no time span; write a number of hours, days or weeks, such as 12h, 30d or 8w")
    return int(match[1]) * _UNITS[match[2]]


PLACES = "-1"
"""The stream of all places of a log, below those of adoptions, resources, links and runs."""


@frozen(kw_only=True)
class PlaceReached:
    """The place in the source of a connection that is reached once a delivery is applied.

    :param since: the digest of the place from which a delta goes on; None for a snapshot.
    :param cookie: what the source goes on from, in base64.
    :param guard: what the server said of itself.
    :param scope: the digest of what was asked.
    :param delivery: what was delivered: snapshot or delta.
    :param rows: how many rows it had.
    """

    connection: str
    since: str | None
    cookie: str
    guard: Mapping[str, str] = field(factory=dict)
    scope: str
    delivery: str
    rows: int
    made: str

    @property
    def digest(self) -> str:
        """Which place it is, hexadecimal."""
        return place_digest(self.cookie, self.guard, self.scope)


@frozen(kw_only=True)
class PlaceMoved(Event):
    """A delivery was applied: its source goes on from here. It is in the transaction that applied the delivery.

    :param cookie: what the source goes on from, in base64.
    :param guard: what the server said of itself.
    :param scope: the digest of what was asked.
    :param delivery: what was delivered: snapshot or delta.
    :param rows: how many rows it had.
    :param made: the run and the ordinal of the task that made it, such as `12-1`.
    :param run: the run that applied it.
    :param task: the ordinal of its task that did.
    :param newest: the other connections, each with the version of its newest event in this stream.
    """

    kind: ClassVar[str] = "place moved"

    connection: str
    cookie: str
    guard: Mapping[str, str] = field(factory=dict)
    scope: str
    delivery: str
    rows: int
    made: str
    run: int
    task: int
    newest: Mapping[str, int] = field(factory=dict)

    @property
    def digest(self) -> str:
        """Which place it is, hexadecimal."""
        return place_digest(self.cookie, self.guard, self.scope)


@frozen(kw_only=True)
class PlaceForgotten(Event):
    """A user gave a place up: the next delivery of the connection is everything that the source holds.

    :param run: the run that records it.
    :param by: the user who decided.
    :param reason: why.
    :param newest: the other connections, each with the version of its newest event in this stream.
    """

    kind: ClassVar[str] = "place forgotten"

    connection: str
    run: int
    by: str
    reason: str
    newest: Mapping[str, int] = field(factory=dict)


@frozen(kw_only=True)
class KeptPlace:
    """How far the source of a connection was applied.

    :param position: of the event that moved it.
    :param since: when it did, UTC.
    :param run: the run that applied the delivery.
    :param delivery: what that was, snapshot or delta, with so many `rows`.
    :param guard: what the server said of itself.
    """

    connection: str
    position: Position
    since: datetime
    run: int
    delivery: str
    rows: int
    guard: Mapping[str, str] = field(factory=dict)
