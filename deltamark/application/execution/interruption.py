"""Puts an interruption on record: tasks that had begun were undone, the others are skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import INTERRUPTED, RUN_INTERRUPTED, TaskEnd
from deltamark.application.services import Services, TaskResult
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.runs.run import LeftOut


def skipped(reason: str, left_out: LeftOut | None = None) -> TaskEnd:
    """The end of a task that did not begin."""
    return TaskEnd(TaskResult(messages=[f"skipped: {reason}"], left_out=left_out), TaskState.SKIPPED)


def end_open_tasks(record: RunRecorder) -> bool:
    """Ends all tasks of a run that have not ended, and returns whether there were any."""
    is_any_open = False
    for task in record.run(with_rows=False).tasks:
        if task.state is TaskState.RUNNING:
            record.task_ended(task.ordinal, TaskEnd(TaskResult(messages=[INTERRUPTED]), TaskState.FAILED))
        elif task.state is TaskState.PENDING:
            record.task_ended(task.ordinal, skipped(RUN_INTERRUPTED))
        else:
            continue
        is_any_open = True
    return is_any_open


@contextmanager
def ended_if_interrupted(services: Services, leased: Sequence[str]) -> Iterator[list[int]]:
    """A block with a transaction that starts or resumes a run, and adds its number to the list.

    Where an interruption comes just after the commit, the run is ended at once, so that no other run has to wait
    until its leases expire.
    """
    numbers: list[int] = []
    try:
        yield numbers
    except KeyboardInterrupt:
        with suppress(DeltamarkError):
            for number in numbers:
                _end(services, leased, number)
        raise


def _end(services: Services, leased: Sequence[str], number: int) -> None:
    with services.store.reading() as reading:
        summary = reading.run(number, with_rows=False)
    if summary is None or summary.run.state is not TaskState.RUNNING or summary.run.operator != services.operator:
        return  # the transaction was undone
    record = RunRecorder(services, number, leased)
    end_open_tasks(record)
    record.run_ended(TaskState.FAILED)
