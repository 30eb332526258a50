"""What every event of a resource or a link holds."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

ADOPTION = 0
"""The place of the adoption of a configuration in its run: before the first task."""


@frozen
class Origin:
    """Where a change comes from: the run, the task and the line that was read.

    `task` is its place in the run, from 1; `ADOPTION` for what follows from the adoption of a configuration. The record
    of the run says which file the task read, and with which configuration.
    """

    run: int
    task: int
    line: int | None = None


@frozen(kw_only=True)
class Event:
    """An event in a stream.

    It satisfies the event protocol of the `eventsourcing` library.

    :param originator_id: the stream: a number written as text, assigned in order of creation.
    :param originator_version: the place in the stream, from 1.
    :param at: when it happened, UTC, with microseconds.
    """

    originator_id: str
    originator_version: int
    at: datetime
