"""The record of a run: what it writes about itself, each in a transaction, or in that of the task it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from threading import Lock

from attrs import frozen

from deltamark.application.ports.writing import Writing
from deltamark.application.runs.leases import check_kept
from deltamark.application.services import Done, Progress, Services
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.runs.run import JobRun, RowsSetAside, RunEnded, SetAside, TaskEnded, TaskProgressed, TaskStarted

ROWS_IN_ONE_EVENT = 1_000

INTERRUPTED, RUN_INTERRUPTED = "interrupted", "the run was interrupted"


@frozen
class Ended:
    """How a task ended, before it is on record."""

    done: Done
    state: TaskState
    seconds: float = 0.0
    error: BaseException | None = None


class Recording:
    """The record of one run. May be used from several threads: one transaction waits for the other here, and not in
    the store, where nobody waits for ever.
    """

    def __init__(self, services: Services, number: int, leased: Sequence[str]) -> None:
        self._services = services
        self._leased = leased
        self._writing = Lock()
        self.number = number

    @contextmanager
    def transaction(self) -> Iterator[Writing]:
        """A transaction of the run, which writes nothing once another run has taken its tasks over."""
        with self._writing, self._services.store.transaction() as tx:
            check_kept(tx, self.number, self._leased, self._services.lease_s)
            yield tx

    def now(self, *, with_rows: bool = True) -> JobRun:
        """The run as far as it is on record; without the rows set aside that is cheaper."""
        with self._services.store.reading() as reading:
            summary = reading.run(self.number, with_rows=with_rows)
        assert summary is not None, "a run that was started is on record"
        return summary.run

    def task_started(self, ordinal: int) -> None:
        """A task begins."""
        with self.transaction() as tx:
            tx.append_to_run(
                lambda s, v, at: TaskStarted(
                    originator_id=s, originator_version=v, at=at, run=self.number, task=ordinal
                ),
                self.number,
            )

    def task_progressed(self, ordinal: int, progress: Progress) -> None:
        """A task got on, before its transaction."""
        with self.transaction() as tx:
            tx.append_to_run(
                lambda s, v, at: TaskProgressed(
                    originator_id=s,
                    originator_version=v,
                    at=at,
                    run=self.number,
                    task=ordinal,
                    counts=progress.counts,
                    words=progress.words,
                ),
                self.number,
            )

    def task_ended(self, ordinal: int, ended: Ended) -> None:
        """A task ended without having changed anything."""
        with self.transaction() as tx:
            self.task_ended_in(tx, ordinal, ended)

    def task_ended_in(self, tx: Writing, ordinal: int, ended: Ended) -> None:
        """A task ended, in the same transaction as what it did."""
        for rows in _in_chunks(ended.done.set_aside):
            tx.append_to_run(
                lambda s, v, at, rows=rows: RowsSetAside(  # type: ignore[misc]
                    originator_id=s, originator_version=v, at=at, run=self.number, task=ordinal, rows=rows
                ),
                self.number,
            )
        tx.append_to_run(
            lambda s, v, at: TaskEnded(
                originator_id=s,
                originator_version=v,
                at=at,
                run=self.number,
                task=ordinal,
                state=ended.state,
                effect=ended.done.effect,
                counts=ended.done.counts,
                seconds=round(ended.seconds, 6),
                extracts=ended.done.extracts,
                messages=ended.done.messages,
            ),
            self.number,
        )

    def run_ended(self, state: TaskState) -> None:
        """The run ended; its tasks are free."""
        with self.transaction() as tx:
            tx.append_to_run(
                lambda s, v, at: RunEnded(originator_id=s, originator_version=v, at=at, run=self.number, state=state),
                self.number,
            )
            tx.release_leases(self.number)


def _in_chunks(rows: Sequence[SetAside]) -> Iterator[tuple[SetAside, ...]]:
    remaining = iter(rows)
    while chunk := tuple(islice(remaining, ROWS_IN_ONE_EVENT)):
        yield chunk


def in_words(error: BaseException) -> str:
    """What goes on record; a name of a file that is no Unicode text can stand in it and must not spoil it."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    words = str(error) if isinstance(error, DeltamarkError) else f"internal error: {type(error).__name__}: {error}"
    return words.encode(errors="backslashreplace").decode()
