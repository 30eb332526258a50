"""Cancels a run: asks a running one to stop, drops what a blocked one holds back."""

from __future__ import annotations

from collections.abc import Sequence

from deltamark.application.lookup import run_numbered
from deltamark.application.pending_changes.apply import drop_pending
from deltamark.application.ports.commands import Writing
from deltamark.application.runs.leases import end_if_dead
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import Services, TaskResult
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import CannotCancel
from deltamark.domain.runs.run import JobRun


def cancel_run(services: Services, number: int) -> JobRun:
    """Cancels a run, and returns its record.

    A run that is going on stops between two tasks: running tasks may finish, no other starts. A run that has ended and
    holds changes back drops them. A run whose process died is put on record as aborted; a process that is stopped on
    this machine, and cannot stop by itself, is ended first.

    :raises CannotCancel: if the run has ended and holds nothing back; nothing was changed.
    :raises UsageError: if there is no such run.
    """
    with services.store.reading() as reading:
        is_running = run_numbered(reading, number).state is TaskState.RUNNING
    if is_running:
        services.store.end_unresponsive(number)  # it may keep all others from writing
    with services.store.transaction() as tx:
        was_running = run_numbered(tx, number).state is TaskState.RUNNING
        run = end_if_dead(tx, number)
        assert run is not None, "a run that was read stays on record"
        pending = tx.pending_tasks(number)
        if run.state is TaskState.RUNNING:
            RunLog(tx, number).cancel_requested(services.operator)
        elif pending or run.state is TaskState.BLOCKED:
            _drop(services, tx, run, pending)
        elif not was_running:
            raise CannotCancel(number, f"it has ended ({run.state.value}) and holds nothing back")
        return run_numbered(tx, number)


def _drop(services: Services, tx: Writing, run: JobRun, pending: Sequence[int]) -> None:
    """Drops the pending changes of a run and ends it.

    What its tasks had read and counted stays on record.
    """
    log = RunLog(tx, run.number)
    log.cancel_requested(services.operator)
    for task in run.tasks:
        if task.state is TaskState.BLOCKED or task.ordinal in pending:
            dropped = drop_pending(tx, run.number, task.ordinal) if task.ordinal in pending else []
            done = TaskResult(counts=task.counts, extracts=task.extracts, messages=[*task.messages, *dropped])
            log.task_ended(task.ordinal, TaskEnd(done, TaskState.CANCELLED, task.seconds))
    log.run_ended(TaskState.CANCELLED)
