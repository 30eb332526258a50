"""Leases: a task never runs twice at once, whatever the processes and machines.

A run takes the leases of all its tasks when it starts and releases them when it ends. In between it renews them from a
thread of its own, and at the end of a transaction once a third of their time is over. Every transaction first checks
that the run still holds them: a run that was stopped for longer than they last, and was taken over, writes nothing
more. See ADR 0013.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Lease
from deltamark.application.ports.store import Store
from deltamark.application.runs.out_of_memory import memory_errors_explained
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import TaskResult
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import AlreadyRunning, ConcurrentRun, DeltamarkError, TakenOver, to_the_second
from deltamark.domain.processes import ProcessState
from deltamark.domain.runs.outcomes import as_aborted, end_of_dead_run, ends_of_dead_tasks
from deltamark.domain.runs.run import JobRun, Operator

_BEATS = 3
"""Renewals in the time to live of a lease."""

_AGAIN = 10
"""How many times more often a renewal is retried after one failed, for example while another process writes."""

_JOIN_S = 5.0


def refuse_if_running(store: Store, tasks: Sequence[str], *, also_expired: bool = False) -> None:
    """Refuses tasks that another run holds, without waiting for other writers.

    :param also_expired: also where the lease of that run has expired.
    :raises AlreadyRunning: if another run holds one of the tasks.
    """
    with store.reading() as reading:
        leases = [lease for lease in reading.leases(tasks) if lease.is_live or also_expired]
        if leases:
            raise _already_running(reading, leases, tasks)


def free_tasks(tx: Writing, tasks: Sequence[str]) -> None:
    """Frees tasks for a run that starts in this transaction: ends the dead runs that held them.

    :raises AlreadyRunning: if a live run holds one of them.
    """
    for expired in tx.drop_expired_leases(tasks):
        _end_dead_run(tx, _run_of(tx, expired), expired)
    leases = tx.leases(tasks)
    if leases:
        raise _already_running(tx, leases, tasks)


def end_if_dead(tx: Writing, number: int) -> JobRun | None:
    """Ends a run on record if its process died.

    Returns the run, or None if there is none of that number.
    """
    run = _on_record(tx, number)
    if run is None or run.state is not TaskState.RUNNING:
        return run
    for expired in tx.drop_expired_leases([task.identifier for task in run.tasks]):
        _end_dead_run(tx, _run_of(tx, expired), expired)
    run = _on_record(tx, number)
    assert run is not None
    if run.state is TaskState.RUNNING and number not in tx.live_runs():
        _end_dead_run(tx, run, None)  # it has no lease: it started before leases existed
        run = _on_record(tx, number)
    return run


def with_dead_as_aborted(reading: Reading, runs: Iterable[JobRun]) -> list[JobRun]:
    """The runs, those as aborted that are running on record but whose process died."""
    recorded = list(runs)
    if not any(run.state is TaskState.RUNNING for run in recorded):
        return recorded
    live = reading.live_runs()
    return [as_aborted(r) if r.state is TaskState.RUNNING and r.number not in live else r for r in recorded]


def _on_record(reading: Reading, number: int) -> JobRun | None:
    summary = reading.run(number, with_rows=False)
    return None if summary is None else summary.run


@contextmanager
def naming_the_other_run(store: Store, tasks: Sequence[str]) -> Iterator[None]:
    """Names the run that holds one of the tasks if another process writes for too long."""
    try:
        yield
    except AlreadyRunning:
        raise
    except ConcurrentRun:
        refuse_if_running(store, tasks, also_expired=True)
        raise


def check_leases(tx: Writing, run: int, tasks: Sequence[str], time_to_live_s: float) -> None:
    """Checks that a run still holds its tasks.

    Their leases are renewed at the end of the transaction.

    :raises TakenOver: if another run took them over.
    """
    if not tx.extend_leases(run, tasks, time_to_live_s):
        raise TakenOver(run)


@contextmanager
def renewed_leases(store: Store, run: int, time_to_live_s: float) -> Iterator[None]:
    """Renews the leases of a run from a thread of its own while the block lasts.

    If the block raises, or the thread cannot be started, the leases expire at once: the next run need not wait.
    """
    heartbeat = Heartbeat(store, run, time_to_live_s)
    try:
        heartbeat.start()
        yield
    except BaseException:
        heartbeat.stop()
        with suppress(DeltamarkError):
            store.renew_leases(run, 0.0)
        raise
    finally:
        heartbeat.stop()


class Heartbeat:
    """A thread that renews the leases of a run."""

    def __init__(self, store: Store, run: int, time_to_live_s: float) -> None:
        self._store = store
        self._run = run
        self._time_to_live_s = time_to_live_s
        self._stopped = Event()
        self._thread = Thread(target=self._work, name=f"heartbeat of run {run}", daemon=True)

    def start(self) -> None:
        """Starts the thread.

        The first renewal comes after a third of the time to live.

        :raises DeltamarkError: if no thread can be started.
        """
        with memory_errors_explained("Nothing was run."):
            self._thread.start()

    def stop(self) -> None:
        """Stops the thread.

        No renewal comes later, unless the store does not answer for seconds.
        """
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _work(self) -> None:
        pause_s = self._time_to_live_s / _BEATS
        while not self._stopped.wait(pause_s):
            pause_s = self._time_to_live_s / (_BEATS if self._renewed() else _BEATS * _AGAIN)

    def _renewed(self) -> bool:
        try:
            return self._store.renew_leases(self._run, self._time_to_live_s)
        except Exception:
            # The next renewal may succeed; if none does, the next transaction of the run is refused.
            return False


def _already_running(reading: Reading, leases: Sequence[Lease], tasks: Sequence[str]) -> AlreadyRunning:
    lease = min(leases, key=lambda each: tasks.index(each.task))
    run = _run_of(reading, lease)
    return AlreadyRunning(
        lease.task,
        run=lease.run,
        job=run.job,
        user=run.operator.name,
        host=run.operator.host,
        process=run.operator.process,
        since=lease.taken_at,
        heard_at=lease.heard_at,
        process_state=lease.process,
    )


def _run_of(reading: Reading, lease: Lease) -> JobRun:
    summary = reading.run(lease.run, with_rows=False)
    assert summary is not None, "a lease is taken in the transaction that puts the start of its run on record"
    return summary.run


def _end_dead_run(tx: Writing, run: JobRun, expired: Lease | None) -> None:
    """Records the end of a run whose process died."""
    words = _in_words(run.operator, expired)
    log = RunLog(tx, run.number)
    for task, state in ends_of_dead_tasks(run):
        log.task_ended(task.ordinal, TaskEnd(TaskResult(messages=[words]), state))
    log.run_ended(end_of_dead_run(run))


def _in_words(operator: Operator, expired: Lease | None) -> str:
    who = f"process {operator.process} of {operator.name} on {operator.host}"
    undone = "What this task had not finished was undone."
    if expired is not None and expired.process is ProcessState.ENDED:
        return f"{who} ended before its run did, as after a kill. {undone}"
    since = "" if expired is None else f" since {to_the_second(expired.heard_at)}"
    return f"{who} was not heard from{since}: it was killed, stopped or cut off from the store. {undone}"
