"""Discards old changes in a run of its own.

It works in chunks, each a transaction that leaves the store whole.
"""

from __future__ import annotations

from time import perf_counter

from attrs import evolve

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.progress import Progress
from deltamark.application.ports.queries import Reading
from deltamark.application.retention.chosen import Chosen, order_of
from deltamark.application.retention.discard import DiscardOrder, discard_changes
from deltamark.application.retention.eligibility import eligible_changes
from deltamark.application.runs.leases import free_tasks, naming_the_other_run, renewed_leases
from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import RunLog, TaskEnd, in_words
from deltamark.application.services import Services, TaskResult
from deltamark.domain.adoption.decommission import NameKind
from deltamark.domain.configuration.jobs import ConnectorTask, TaskState
from deltamark.domain.messages import RETAIN, how_many
from deltamark.domain.retention.retention import Keep, Retention, Unread
from deltamark.domain.runs.run import PlannedTask

AT_A_TIME = 10_000
"""Changes discarded in one transaction: other writers wait for about a second."""


def would_retain(services: Services, chosen: Chosen, keep: Keep, *, even_unread: bool) -> Retention:
    """Returns what a retention would discard now.

    Writes nothing.
    """
    with services.store.reading() as reading:
        return _eligible(reading, services, chosen, keep, even_unread=even_unread)[0]


def retain(
    services: Services,
    chosen: Chosen,
    keep: Keep,
    *,
    even_unread: bool,
    progress: Progress,
    at_a_time: int = AT_A_TIME,
) -> Retention:
    """Discards the changes that are older than what is kept.

    Starts no run where there are none.

    :raises AlreadyRunning: if the connector is being synchronized, or its changes discarded, now.
    :raises UsageError: if there never was anything of that name, or `keep` names a run that does not exist.
    """
    store = services.store
    with store.reading() as reading:
        leased = _leased_by(services, chosen, order_of(reading, services, chosen))
    with naming_the_other_run(store, leased), store.transaction() as tx:
        free_tasks(tx, leased)
        eligible, order = _eligible(tx, services, chosen, keep, even_unread=even_unread)
        if not eligible.count:
            return eligible
        number = _start(services, tx, chosen)
        tx.take_leases(number, leased, services.lease_s)
    record = RunRecorder(services, number, leased)
    with renewed_leases(store, number, services.lease_s):
        order = evolve(order, run=number)
        record.task_started(order.ordinal)
        return _ChunkedDiscard(record, order, eligible, progress, at_a_time).run()


def retain_and_shrink(
    services: Services, chosen: Chosen, keep: Keep, *, even_unread: bool, progress: Progress
) -> Retention:
    """Discards as `retain` does, and gives the free space back to the disk."""
    retention = retain(services, chosen, keep, even_unread=even_unread, progress=progress)
    services.store.shrink()
    return retention


def _eligible(
    reading: Reading, services: Services, chosen: Chosen, keep: Keep, *, even_unread: bool
) -> tuple[Retention, DiscardOrder]:
    order = order_of(reading, services, chosen)
    eligible = eligible_changes(reading, services, order.subjects, keep, even_unread=even_unread)
    return evolve(eligible, name=None if chosen.kind is NameKind.CONNECTOR else chosen.name), order


def _leased_by(services: Services, chosen: Chosen, order: DiscardOrder) -> tuple[str, ...]:
    """The tasks that must not run meanwhile.

    They are those that read the connector's extracts, and another retention.
    """
    connector = order.subjects.connector
    readers = (
        task.identifier for task in services.configuration.all_calls_of(ConnectorTask) if task.connector == connector
    )
    return tuple(dict.fromkeys([chosen.task, f"{RETAIN}{connector}", *readers]))


def _start(services: Services, tx: Writing, chosen: Chosen) -> int:
    task = PlannedTask(ordinal=1, identifier=chosen.task, kind="Retain")
    return RunLog.start(tx, services, RETAIN, [task]).run


class _ChunkedDiscard:
    """The work of a retention that has started."""

    def __init__(
        self, record: RunRecorder, order: DiscardOrder, eligible: Retention, progress: Progress, at_a_time: int
    ) -> None:
        self._record = record
        self._order = order
        self._eligible = eligible
        self._progress = progress
        self._at_a_time = at_a_time
        self._count = 0
        self._began = perf_counter()

    def run(self) -> Retention:
        """Discards chunk by chunk, and records how the run ended, also where it fails."""
        try:
            while self._count < self._eligible.count and not self._is_cancelled():
                with self._record.transaction() as tx:
                    chunk = discard_changes(tx, self._order, up_to=self._eligible.up_to, at_most=self._at_a_time)
                if chunk is None:
                    break
                self._count += chunk.count
                self._progress(self._count, self._eligible.count)
        except BaseException as e:
            self._end(TaskState.FAILED, f"{in_words(e)}\n{self._share_done()} were discarded before")
            raise
        is_finished = not self._is_cancelled()
        self._end(TaskState.COMPLETED if is_finished else TaskState.CANCELLED, f"{self._share_done()} discarded")
        return self._eligible.done(self._record.number, is_finished=is_finished)

    def _is_cancelled(self) -> bool:
        return self._count < self._eligible.count and self._record.cancelled_by() is not None

    def _share_done(self) -> str:
        changes = how_many(self._eligible.count, "change")
        return f"{self._count:,} of {changes} of {self._eligible.of} up to position {self._eligible.up_to}"

    def _end(self, state: TaskState, words: str) -> None:
        done = TaskResult(effect=self._count > 0, messages=[words, *map(self._unread_in_words, self._eligible.unread)])
        self._record.task_ended(self._order.ordinal, TaskEnd(done, state, perf_counter() - self._began))
        self._record.run_ended(state)

    def _unread_in_words(self, unread: Unread) -> str:
        what = "kept" if self._eligible.keeps(unread) else "discarded though unread"
        return f"{how_many(unread.count, 'change')} {what}: {unread.reader} has read up to position {unread.position}"
