"""The recorder of a run that holds leases.

Each entry is made in a transaction of its own, or in that of its task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from deltamark.application.ports.commands import Writing
from deltamark.application.runs.leases import check_leases
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import Services, TaskProgress
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.runs.fold import RunFold
from deltamark.domain.runs.run import JobRun, Operator, RunStarted, TaskRun


class RunRecorder:
    """Records one run, also from several threads.

    Transactions wait for each other here: in the store a waiting transaction would give up after a while.
    """

    def __init__(self, services: Services, number: int, leased: Sequence[str]) -> None:
        self._services = services
        self._leased = leased
        self._writing = Lock()
        self._reading = Lock()
        self._fold: RunFold | None = None
        self.number = number

    @contextmanager
    def transaction(self) -> Iterator[Writing]:
        """A transaction of the run.

        Refused once another run has taken over its tasks.

        :raises TakenOver: in that case.
        """
        with self._writing, self._services.store.transaction() as tx:
            check_leases(tx, self.number, self._leased, self._services.lease_s)
            yield tx

    def run(self, *, with_rows: bool = True) -> JobRun:
        """The run as it is on record.

        Without the rows set aside this is cheaper.
        """
        with self._services.store.reading() as reading:
            summary = reading.run(self.number, with_rows=with_rows)
        assert summary is not None, "a run that was started is on record"
        return summary.run

    def task(self, ordinal: int) -> TaskRun:
        """A task as it is on record, without the rows that it set aside."""
        with self._reading:
            return self._read_on().task(ordinal)

    def cancelled_by(self) -> Operator | None:
        """Who asked the run to stop; None where no user did."""
        with self._reading:
            return self._read_on().cancelled_by

    def _read_on(self) -> RunFold:
        """The run, after only those of its events were read that are new: a run of many tasks asks for each of them."""
        fold, self._fold = self._fold, None  # read anew after an error in between
        with self._services.store.reading() as reading:
            events = iter(reading.run_events(self.number, fold.version if fold else 0))
        if fold is None:
            started = next(events)
            assert isinstance(started, RunStarted), "a run that was started is on record"
            fold = RunFold(started)
        for event in events:
            fold.add(event)
        self._fold = fold
        return fold

    def task_started(self, ordinal: int) -> None:
        """Records that a task begins."""
        with self.transaction() as tx:
            RunLog(tx, self.number).task_started(ordinal)

    def task_progressed(self, ordinal: int, progress: TaskProgress) -> None:
        """Records the progress of a task before its transaction."""
        with self.transaction() as tx:
            RunLog(tx, self.number).task_progressed(ordinal, progress)

    def task_ended(self, ordinal: int, end: TaskEnd) -> None:
        """Records the end of a task that changed nothing."""
        with self.transaction() as tx:
            self.task_ended_in(tx, ordinal, end)

    def task_ended_in(self, tx: Writing, ordinal: int, end: TaskEnd) -> None:
        """Records the end of a task in the transaction of its changes."""
        RunLog(tx, self.number).task_ended(ordinal, end)

    def run_ended(self, state: TaskState) -> None:
        """Records the end of the run and releases its tasks."""
        with self.transaction() as tx:
            RunLog(tx, self.number).run_ended(state)
            tx.release_leases(self.number)
