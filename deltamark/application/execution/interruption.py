"""What an interruption leaves on record: that what had begun was undone, and that what had not is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import INTERRUPTED, RUN_INTERRUPTED, TaskEnd
from deltamark.application.services import Done, Services
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import DeltamarkError


def left_out(reason: str) -> TaskEnd:
    """How a task ended that did not begin."""
    return TaskEnd(Done(messages=[f"skipped: {reason}"]), TaskState.SKIPPED)


def leave_undone(record: RunRecorder) -> bool:
    """Ends all tasks of a run that have not ended; gives whether there were any."""
    is_anything_left = False
    for task in record.now(with_rows=False).tasks:
        if task.state is TaskState.RUNNING:
            record.task_ended(task.ordinal, TaskEnd(Done(messages=[INTERRUPTED]), TaskState.FAILED))
        elif task.state is TaskState.PENDING:
            record.task_ended(task.ordinal, left_out(RUN_INTERRUPTED))
        else:
            continue
        is_anything_left = True
    return is_anything_left


@contextmanager
def ending_what_begins(services: Services, leased: Sequence[str]) -> Iterator[list[int]]:
    """A block with a transaction that begins a run, or lets one go on, and adds its number to the list.

    Where an interruption comes when that has just been committed, the run ends at once: nobody need wait until its
    leases expire.
    """
    begun: list[int] = []
    try:
        yield begun
    except KeyboardInterrupt:
        with suppress(DeltamarkError):
            for number in begun:
                _end(services, leased, number)
        raise


def _end(services: Services, leased: Sequence[str], number: int) -> None:
    with services.store.reading() as reading:
        summary = reading.run(number, with_rows=False)
    if summary is None or summary.run.state is not TaskState.RUNNING or summary.run.operator != services.operator:
        return  # the transaction was undone
    record = RunRecorder(services, number, leased)
    leave_undone(record)
    record.run_ended(TaskState.FAILED)
