"""Runs as they are shown: those whose process died as aborted."""

from __future__ import annotations

from deltamark.application.ports.queries import Reading
from deltamark.application.runs.leases import with_dead_as_aborted
from deltamark.domain.errors import RunNotFound
from deltamark.domain.runs.run import JobRun


def recorded_runs(reading: Reading, newest: int | None) -> list[JobRun]:
    """The runs, oldest first, without the rows they set aside.

    Only the `newest` ones if given.
    """
    return with_dead_as_aborted(reading, [summary.run for summary in reading.runs(newest)])


def recorded_run(reading: Reading, number: int) -> JobRun:
    """One run with the rows it set aside.

    :raises UsageError: if there is no run of that number.
    """
    summary = reading.run(number)
    if summary is None:
        raise RunNotFound(number)
    (run,) = with_dead_as_aborted(reading, [summary.run])
    return run
