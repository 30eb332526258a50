"""Discards and erasures of a later time: what they removed stays removed, and the new log has a record of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from attrs import evolve, frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import Services, TaskResult
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.history.changes import Position
from deltamark.domain.messages import REPLAY, how_many
from deltamark.domain.runs.run import ChangesDiscarded, PlannedTask, ResourceErased


@frozen(kw_only=True)
class LaterRemoval:
    """What a discard or an erasure of a later time removed of the log up to a position.

    :param record: its record, with only these positions.
    :param task: the name of the task that did it; `run` is the run of the original log.
    """

    record: ChangesDiscarded | ResourceErased
    task: str
    run: int

    @property
    def is_erasure(self) -> bool:
        """Whether a resource was erased."""
        return isinstance(self.record, ResourceErased)


def later_removals(source: Reading, until: Position) -> list[LaterRemoval]:
    """What was removed of the log up to a position by discards and erasures beyond it."""
    removals = []
    for _, record in source.removals_beyond(until):
        ranges = tuple((first, min(last, until)) for first, last in record.ranges if first <= until)
        if not ranges and record.ranges:
            continue
        summary = source.run(record.run, with_rows=False)
        assert summary is not None, "a record is that of a run"
        count = sum(last - first + 1 for first, last in ranges) or record.count
        removals.append(
            LaterRemoval(
                record=evolve(record, ranges=ranges, count=count),
                task=summary.run.task(record.task).identifier,
                run=record.run,
            )
        )
    return removals


def record_again(services: Services, tx: Writing, removals: Sequence[LaterRemoval]) -> int:
    """Records removals in a run at the end of the new log, a task for each, and returns its number."""
    tasks = [
        PlannedTask(ordinal=number, identifier=removal.task, kind="Erase" if removal.is_erasure else "Retain")
        for number, removal in enumerate(removals, 1)
    ]
    log = RunLog.start(tx, services, REPLAY, tasks)
    flagged_to = tx.flagged_to()
    for number, removal in enumerate(removals, 1):
        log.task_started(number)
        record = removal.record
        if isinstance(record, ChangesDiscarded):
            record = evolve(record, unread=record.up_to > flagged_to)
        tx.append_to_run(partial(_of_run, record, log.run, number), log.run)
        message = f"{how_many(record.count, 'change')} removed, as run {removal.run} of the original log did later"
        done = TaskResult(effect=True, messages=[message])
        log.task_ended(number, TaskEnd(done, TaskState.COMPLETED))
    log.run_ended(TaskState.COMPLETED)
    return log.run


def _of_run(
    record: ChangesDiscarded | ResourceErased, run: int, task: int, stream: str, version: int, at: datetime
) -> ChangesDiscarded | ResourceErased:
    return evolve(record, originator_id=stream, originator_version=version, at=at, run=run, task=task)


def record_horizons(
    source: Reading, tx: Writing, until: Position, removals: Sequence[LaterRemoval], run: int | None
) -> None:
    """Sets the horizons up to a position; those of later discards name the run that records them again."""
    later = {removal.run for removal in removals}
    tx.copy_horizons(
        [
            evolve(horizon, run=run) if run is not None and horizon.run in later else horizon
            for horizon in source.horizons()
            if horizon.position <= until
        ]
    )
