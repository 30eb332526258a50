"""Runs as they are shown: those whose process died as aborted."""

from __future__ import annotations

from datetime import datetime

from deltamark.application.ports.queries import Reading
from deltamark.application.runs.leases import with_dead_as_aborted
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import RunNotFound
from deltamark.domain.history.pages import RowOfTask, SetAsidePage
from deltamark.domain.runs.run import JobRun


def recorded_runs(reading: Reading, newest: int | None) -> list[JobRun]:
    """The runs, oldest first, without the rows they set aside.

    Only the `newest` ones if given.
    """
    return with_dead_as_aborted(reading, [summary.run for summary in reading.runs(newest)])


_FOLDED = 50
"""Runs that are read at a time, of which a reader may want only some."""


def newest_runs(
    reading: Reading,
    *,
    before: int | None,
    job: str | None,
    state: TaskState | None,
    since: datetime | None,
    limit: int,
) -> list[JobRun]:
    """The newest runs below a number that are all that is named, newest first, without the rows they set aside."""
    found: list[JobRun] = []
    while len(found) < limit:
        numbers = _FOLDED if job is not None or state is not None else min(_FOLDED, limit - len(found))
        runs = with_dead_as_aborted(reading, [summary.run for summary in reading.runs_before(before, numbers)])
        for run in runs:
            if since is not None and run.started_at < since:
                return found[:limit]
            if job in (None, run.job) and state in (None, run.state):
                found.append(run)
        if len(runs) < numbers:
            break
        before = runs[-1].number
    return found[:limit]


def set_aside_page(reading: Reading, number: int, after: int, limit: int) -> SetAsidePage:
    """Some of the rows that a run set aside, in the order in which they were recorded.

    :param after: what the page before gave to go on with; 0 for the first.
    :raises UsageError: if there is no run of that number.
    """
    run = recorded_run(reading, number, with_rows=False)
    event_number, skipped = divmod(after, _MOST_IN_EVENT)
    rows: list[RowOfTask] = []
    for event in reading.rows_set_aside(number, max(event_number - 1, 0)):
        version = event.originator_version
        name = run.task(event.task).identifier
        start = skipped if version == event_number else 0
        for index, row in enumerate(event.rows[start:], start):
            if len(rows) == limit:
                return SetAsidePage(rows=tuple(rows), next=version * _MOST_IN_EVENT + index)
            rows.append(RowOfTask(task=name, row=row))
    return SetAsidePage(rows=tuple(rows), next=None)


_MOST_IN_EVENT = 1_000
"""An event records at most so many rows, so that event and row make one number."""


def recorded_run(reading: Reading, number: int, *, with_rows: bool = True) -> JobRun:
    """One run with the rows it set aside, or without them.

    :raises UsageError: if there is no run of that number.
    """
    summary = reading.run(number, with_rows=with_rows)
    if summary is None:
        raise RunNotFound(number)
    (run,) = with_dead_as_aborted(reading, [summary.run])
    return run
