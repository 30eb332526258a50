"""Leases: a task never runs twice at once, in whatever processes and on whatever machines.

A run takes the leases of all its tasks when it starts and gives them back when it ends. In between it renews them,
by every transaction and from a thread beside. Every transaction asks first whether the run still holds them: one that
was stopped for longer than they live, and was taken for dead, writes nothing any more. See ADR 0013.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from threading import Event, Thread

from deltamark.application.ports.reading import Reading
from deltamark.application.ports.records import Lease
from deltamark.application.ports.store import Store
from deltamark.application.ports.writing import Writing
from deltamark.application.runs.out_of_memory import lack_of_memory_told
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import Done
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import AlreadyRunning, ConcurrentRun, DeltamarkError, TakenOver, to_the_second
from deltamark.domain.runs.outcomes import as_aborted, end_of_dead_run, ends_of_dead_tasks
from deltamark.domain.runs.run import JobRun, Operator

_BEATS = 3
"""How often a run is heard from in the time that its leases live."""

_AGAIN = 10
"""How many times as often where that failed, for example because somebody else was writing."""

_JOIN_S = 5.0


def refuse_if_running(store: Store, tasks: Sequence[str], *, also_expired: bool = False) -> None:
    """Refuses tasks that another run holds, without waiting for anybody who writes.

    :param also_expired: also where nothing was heard from that run for longer than its leases live.
    :raises AlreadyRunning: as said.
    """
    with store.reading() as reading:
        held = [lease for lease in reading.leases(tasks) if lease.is_live or also_expired]
        if held:
            raise _already_running(reading, held, tasks)


def make_free(tx: Writing, tasks: Sequence[str]) -> None:
    """Makes tasks free for a run that starts in this transaction: runs that died while they held them are ended.

    :raises AlreadyRunning: if a run that lives holds one of them.
    """
    for expired in tx.drop_expired_leases(tasks):
        _end_dead_run(tx, _run_of(tx, expired), expired.heard_at)
    held = tx.leases(tasks)
    if held:
        raise _already_running(tx, held, tasks)


def end_if_dead(tx: Writing, number: int) -> JobRun | None:
    """A run as it is on record, after it was ended there if its process died; None if there is none of that number."""
    run = _on_record(tx, number)
    if run is None or run.state is not TaskState.RUNNING:
        return run
    for expired in tx.drop_expired_leases([task.identifier for task in run.tasks]):
        _end_dead_run(tx, _run_of(tx, expired), expired.heard_at)
    run = _on_record(tx, number)
    assert run is not None
    if run.state is TaskState.RUNNING and number not in tx.live_runs():
        _end_dead_run(tx, run, None)  # it holds no lease at all: it began before there were any
        run = _on_record(tx, number)
    return run


def as_they_are(reading: Reading, runs: Iterable[JobRun]) -> list[JobRun]:
    """Runs as they are: those that go on by their record, but of a process that died, are aborted."""
    found = list(runs)
    if not any(run.state is TaskState.RUNNING for run in found):
        return found
    live = reading.live_runs()
    return [as_aborted(r) if r.state is TaskState.RUNNING and r.number not in live else r for r in found]


def _on_record(reading: Reading, number: int) -> JobRun | None:
    summary = reading.run(number, with_rows=False)
    return None if summary is None else summary.run


@contextmanager
def naming_the_other_run(store: Store, tasks: Sequence[str]) -> Iterator[None]:
    """Where somebody else writes for so long that the block cannot: names the run that holds one of the tasks."""
    try:
        yield
    except AlreadyRunning:
        raise
    except ConcurrentRun:
        refuse_if_running(store, tasks, also_expired=True)
        raise


def check_kept(tx: Writing, run: int, tasks: Sequence[str], time_to_live_s: float) -> None:
    """Checks that a run still holds its tasks, and renews their leases at the end of the transaction.

    :raises TakenOver: if another run took them over.
    """
    if not tx.extend_leases(run, tasks, time_to_live_s):
        raise TakenOver(run)


@contextmanager
def heard_from(store: Store, run: int, time_to_live_s: float) -> Iterator[None]:
    """Renews the leases of a run from a thread of its own while the block lasts.

    A block that raises leaves them expired: the next run that wants the tasks need not wait. So does a thread that
    cannot be started.
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
        """Begins; the first renewal comes after a third of the time to live.

        :raises DeltamarkError: if no thread can be started.
        """
        with lack_of_memory_told("Nothing was run."):
            self._thread.start()

    def stop(self) -> None:
        """Ends; no renewal comes later, unless the store does not answer for seconds."""
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
            # Whatever it was, the next renewal may succeed; if none does, the next transaction of the run is refused.
            return False


def _already_running(reading: Reading, held: Sequence[Lease], tasks: Sequence[str]) -> AlreadyRunning:
    lease = min(held, key=lambda each: tasks.index(each.task))
    run = _run_of(reading, lease)
    return AlreadyRunning(
        lease.task,
        run=lease.run,
        job=run.job,
        user=run.operator.user,
        host=run.operator.host,
        process=run.operator.process,
        since=lease.taken_at,
        heard_at=lease.heard_at,
    )


def _run_of(reading: Reading, lease: Lease) -> JobRun:
    summary = reading.run(lease.run, with_rows=False)
    assert summary is not None, "a lease is taken in the transaction that puts the start of its run on record"
    return summary.run


def _end_dead_run(tx: Writing, run: JobRun, heard_at: datetime | None) -> None:
    """Puts on record how a run ended whose process died."""
    words = _in_words(run.operator, heard_at)
    log = RunLog(tx, run.number)
    for task, how in ends_of_dead_tasks(run):
        log.task_ended(task.ordinal, TaskEnd(Done(messages=[words]), how))
    log.run_ended(end_of_dead_run(run))


def _in_words(operator: Operator, heard_at: datetime | None) -> str:
    since = "" if heard_at is None else f" since {to_the_second(heard_at)}"
    return (
        f"process {operator.process} of {operator.user} on {operator.host} was not heard from{since}: it was killed, "
        "stopped or cut off from the store. What this task had not finished was undone."
    )
