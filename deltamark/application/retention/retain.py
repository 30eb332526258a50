"""A retention as a run of its own: chunk by chunk, each a transaction after which the store is whole."""

from __future__ import annotations

from time import perf_counter

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.writing import Writing
from deltamark.application.retention.discard import Forgetting, discard_changes, forgetting
from deltamark.application.retention.eligibility import weighed
from deltamark.application.runs.leases import heard_from, make_free, naming_the_other_run
from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import RunLog, TaskEnd, in_words
from deltamark.application.services import Done, Services
from deltamark.domain.configuration.jobs import ConnectorTask, TaskState
from deltamark.domain.messages import RETAIN, how_many
from deltamark.domain.retention.retention import Keep, Retention
from deltamark.domain.runs.run import PlannedTask

AT_A_TIME = 10_000
"""How many changes are discarded in one transaction: others that write wait for about a second."""


def would_retain(services: Services, connector: str, keep: Keep, *, even_unread: bool) -> Retention:
    """What a retention would discard now; writes nothing."""
    given = forgetting(services.configuration, connector, task=task_of(connector), run=0, ordinal=1)
    with services.store.reading() as reading:
        return weighed(reading, services, given.subjects, keep, even_unread=even_unread)


def retain(
    services: Services,
    connector: str,
    keep: Keep,
    *,
    even_unread: bool,
    progress: Progress,
    at_a_time: int = AT_A_TIME,
) -> Retention:
    """Discards what is older than what is kept; where there is nothing to discard, nothing is put on record.

    :raises AlreadyRunning: if the connector is being synchronized, or discarded from, now.
    :raises UsageError: if what is kept begins with a run that there is not.
    """
    store, leased = services.store, leased_by(services, connector)
    with naming_the_other_run(store, leased), store.transaction() as tx:
        make_free(tx, leased)
        given = forgetting(services.configuration, connector, task=task_of(connector), run=0, ordinal=1)
        found = weighed(tx, services, given.subjects, keep, even_unread=even_unread)
        if not found.count:
            return found
        number = _started(services, tx, connector)
        tx.take_leases(number, leased, services.lease_s)
    record = RunRecorder(services, number, leased)
    with heard_from(store, number, services.lease_s):
        given = forgetting(services.configuration, connector, task=task_of(connector), run=number, ordinal=1)
        record.task_started(given.ordinal)
        return _Chunks(record, given, found, progress, at_a_time).discarded()


def retain_and_shrink(
    services: Services, connector: str, keep: Keep, *, even_unread: bool, progress: Progress
) -> Retention:
    """Discards what is older than what is kept, and gives the space back to the disk; raises as `retain` does."""
    retention = retain(services, connector, keep, even_unread=even_unread, progress=progress)
    services.store.shrink()
    return retention


def task_of(connector: str) -> str:
    """The task under which the changes of a connector are discarded; no task of a job can be called that."""
    return f"{RETAIN}{connector}"


def leased_by(services: Services, connector: str) -> tuple[str, ...]:
    """What must not run meanwhile: whatever reads the extracts of the connector, and another retention of it."""
    reading = (
        task.identifier for task in services.configuration.all_calls_of(ConnectorTask) if task.connector == connector
    )
    return tuple(dict.fromkeys([task_of(connector), *reading]))


def _started(services: Services, tx: Writing, connector: str) -> int:
    task = PlannedTask(ordinal=1, identifier=task_of(connector), kind="Retain")
    return RunLog.start(tx, services, RETAIN, [task]).run


class _Chunks:
    """The work of a retention that has started."""

    def __init__(
        self, record: RunRecorder, given: Forgetting, found: Retention, progress: Progress, at_a_time: int
    ) -> None:
        self._record = record
        self._given = given
        self._found = found
        self._progress = progress
        self._at_a_time = at_a_time
        self._count = 0
        self._began = perf_counter()

    def discarded(self) -> Retention:
        """Discards chunk by chunk, and puts on record how that ended, whatever happens."""
        try:
            while self._count < self._found.count and not self._is_cancelled():
                with self._record.transaction() as tx:
                    done = discard_changes(tx, self._given, up_to=self._found.up_to, at_most=self._at_a_time)
                if done is None:
                    break
                self._count += done.count
                self._progress(self._count, self._found.count)
        except BaseException as e:
            self._ended(TaskState.FAILED, f"{in_words(e)}\n{self._in_words()} were discarded before")
            raise
        is_finished = not self._is_cancelled()
        self._ended(TaskState.COMPLETED if is_finished else TaskState.CANCELLED, f"{self._in_words()} discarded")
        return self._found.done(self._record.number, is_finished=is_finished)

    def _is_cancelled(self) -> bool:
        return self._count < self._found.count and self._record.now(with_rows=False).cancelled_by is not None

    def _in_words(self) -> str:
        found = self._found
        return f"{self._count:,} of {how_many(found.count, 'change')} of {found.connector} up to position {found.up_to}"

    def _ended(self, state: TaskState, words: str) -> None:
        unread = [
            f"{how_many(one.count, 'change')} {'kept' if self._found.keeps(one) else 'discarded though unread'}: "
            f"{one.reader} has read up to position {one.position}"
            for one in self._found.unread
        ]
        done = Done(effect=self._count > 0, messages=[words, *unread])
        self._record.task_ended(self._given.ordinal, TaskEnd(done, state, perf_counter() - self._began))
        self._record.run_ended(state)
