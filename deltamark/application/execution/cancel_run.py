"""Cancelling: a run that goes on is asked to stop; what a blocked one holds back is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from deltamark.application.lookup import run_numbered
from deltamark.application.pending_changes.apply import drop_pending
from deltamark.application.ports.writing import Writing
from deltamark.application.runs.leases import end_if_dead
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import CannotCancel
from deltamark.domain.runs.run import CancelRequested, JobRun, RunEnded, TaskEnded, TaskRun


def cancel_run(services: Services, number: int) -> JobRun:
    """Stops a run; gives back its record.

    One that goes on sees it between two tasks: what is running may finish, nothing else starts. One that has ended and
    holds changes back drops them. One whose process died is put on record as aborted.

    :raises CannotCancel: if it has ended and holds nothing back; nothing was changed.
    :raises UsageError: if there is no such run.
    """
    with services.store.transaction() as tx:
        run_numbered(tx, number)
        was_running = run_numbered(tx, number).state is TaskState.RUNNING
        run = end_if_dead(tx, number)
        assert run is not None, "a run that was read stays on record"
        pending = tx.pending_tasks(number)
        if run.state is TaskState.RUNNING:
            _ask(services, tx, number)
        elif pending or run.state is TaskState.BLOCKED:
            _drop(services, tx, run, pending)
        elif not was_running:
            raise CannotCancel(number, f"it has ended ({run.state.value}) and holds nothing back")
        return run_numbered(tx, number)


def _ask(services: Services, tx: Writing, number: int) -> None:
    operator = services.operator

    def event(stream: str, version: int, at: datetime) -> CancelRequested:
        return CancelRequested(
            originator_id=stream,
            originator_version=version,
            at=at,
            run=number,
            user=operator.user,
            host=operator.host,
            process=operator.process,
        )

    tx.append_to_run(event, number)


def _drop(services: Services, tx: Writing, run: JobRun, pending: Sequence[int]) -> None:
    _ask(services, tx, run.number)
    for task in run.tasks:
        if task.state is TaskState.BLOCKED or task.ordinal in pending:
            told = drop_pending(tx, run.number, task.ordinal) if task.ordinal in pending else []
            _end(tx, run, task, told)
    tx.append_to_run(
        lambda s, v, at: RunEnded(
            originator_id=s, originator_version=v, at=at, run=run.number, state=TaskState.CANCELLED
        ),
        run.number,
    )


def _end(tx: Writing, run: JobRun, task: TaskRun, told: Sequence[str]) -> None:
    """The task ends cancelled; what it had read and counted stays on record."""

    def event(stream: str, version: int, at: datetime) -> TaskEnded:
        return TaskEnded(
            originator_id=stream,
            originator_version=version,
            at=at,
            run=run.number,
            task=task.ordinal,
            state=TaskState.CANCELLED,
            counts=task.counts,
            seconds=task.seconds,
            extracts=task.extracts,
            messages=(*task.messages, *told),
        )

    tx.append_to_run(event, run.number)
