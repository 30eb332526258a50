"""What every change event carries."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen


@frozen
class Cause:
    """Why a change happened: the run, the task of that run (by its place in it, from 1), the line read.

    The run's own record says which file the task read and under which configuration.
    """

    run: int
    task: int
    line: int | None = None


@frozen(kw_only=True)
class Event:
    """A fact in a stream.

    Satisfies the event protocol of the `eventsourcing` library.

    :param originator_id: the stream: a number written as text, given in order of creation.
    :param originator_version: the place in the stream; 1 is its first event.
    :param at: when it happened, UTC, with microseconds.
    """

    originator_id: str
    originator_version: int
    at: datetime
