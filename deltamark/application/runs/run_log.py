"""The events of a run: the one place that builds them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar

from attrs import asdict, frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import Discarded, Emptied, Pair, Subjects
from deltamark.application.services import Services, TaskProgress, TaskResult
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.history.changes import Position
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.retention.erasure import key_digest
from deltamark.domain.runs.run import (
    BY_USER,
    CancelRequested,
    ChangesDiscarded,
    Operator,
    PairsAwaited,
    PlannedTask,
    ResourceErased,
    RowsSetAside,
    RunEnded,
    RunEvent,
    RunResumed,
    RunStarted,
    TaskEnded,
    TaskProgressed,
    TaskStarted,
    Trigger,
)

ROWS_IN_ONE_EVENT = 1_000
PAIRS_IN_ONE_EVENT = 1_000

INTERRUPTED, RUN_INTERRUPTED = "interrupted", "the run was interrupted"

_Item = TypeVar("_Item")


@frozen
class TaskEnd:
    """How a task ended, before it is on record."""

    result: TaskResult
    state: TaskState
    seconds: float = 0.0
    error: BaseException | None = None


class RunLog:
    """Writes the events of one run in one transaction."""

    def __init__(self, tx: Writing, run: int) -> None:
        self._tx = tx
        self.run = run

    @classmethod
    def start(
        cls,
        tx: Writing,
        services: Services,
        job: str,
        tasks: Sequence[PlannedTask],
        *,
        forced: bool = False,
        trigger: Trigger = BY_USER,
        definition: str | None = None,
    ) -> RunLog:
        """Starts a run, which gets the next number.

        :param definition: of a job that is not one of the configuration.
        """
        operator, digest = services.operator, services.configuration_digest

        def event(stream: str, number: int, at: datetime) -> RunStarted:
            return RunStarted(
                originator_id=stream,
                originator_version=1,
                at=at,
                run=number,
                job=job,
                configuration_digest=digest,
                **asdict(operator),
                forced=forced,
                tasks=tasks,
                trigger=trigger.kind,
                due_at=trigger.due_at,
                late=trigger.late,
                definition=definition,
                direct_input=sorted(services.direct_input) or None,
            )

        return cls(tx, tx.start_run(event))

    def resumed(self, services: Services, again: Collection[int], pending: Collection[int]) -> None:
        """The tasks of the ordinals `again` run again.

        Those of `pending` apply their pending changes.
        """
        operator = services.operator
        self._append(
            partial(
                RunResumed,
                run=self.run,
                configuration_digest=services.configuration_digest,
                **asdict(operator),
                again=sorted(again),
                pending=sorted(pending),
            )
        )

    def cancel_requested(self, operator: Operator) -> None:
        """The run is asked to stop."""
        self._append(partial(CancelRequested, run=self.run, **asdict(operator)))

    def task_started(self, ordinal: int) -> None:
        """A task begins."""
        self._append(partial(TaskStarted, run=self.run, task=ordinal))

    def task_progressed(self, ordinal: int, progress: TaskProgress) -> None:
        """A task reports progress before its transaction."""
        self._append(partial(TaskProgressed, run=self.run, task=ordinal, counts=progress.counts, words=progress.words))

    def task_ended(self, ordinal: int, end: TaskEnd) -> None:
        """A task ended, with the rows that it set aside."""
        for rows in _in_chunks(end.result.set_aside, ROWS_IN_ONE_EVENT):
            self._append(partial(RowsSetAside, run=self.run, task=ordinal, rows=rows))
        self._append(
            partial(
                TaskEnded,
                run=self.run,
                task=ordinal,
                state=end.state,
                effect=end.result.effect,
                counts=end.result.counts,
                seconds=round(end.seconds, 6),
                extracts=end.result.extracts,
                messages=end.result.messages,
                left_out=end.result.left_out,
                basis=end.result.basis,
            )
        )

    def run_ended(self, state: TaskState) -> None:
        """The run ended."""
        self._append(partial(RunEnded, run=self.run, state=state))

    def links_wait(self, ordinal: int, association: str, awaited: Collection[Pair], settled: Collection[Pair]) -> None:
        """Links of an association wait for a resource from now on, or no longer."""
        pairs = [*((pair, True) for pair in sorted(awaited)), *((pair, False) for pair in sorted(settled))]
        for portion in _in_chunks(pairs, PAIRS_IN_ONE_EVENT):
            self._append(
                partial(
                    PairsAwaited,
                    run=self.run,
                    task=ordinal,
                    association=association,
                    awaited=[pair for pair, waits in portion if waits],
                    settled=[pair for pair, waits in portion if not waits],
                )
            )

    def discard(
        self,
        ordinal: int,
        subjects: Subjects,
        concerned: Sequence[str],
        *,
        seen: Position,
        up_to: Position | None = None,
        at_most: int | None = None,
    ) -> Discarded | None:
        """Discards changes and records it (see `Writing.discard`).

        :param concerned: the entity types of the resources that the changes concern.
        :param seen: the position up to which flag tasks saw the changes.
        """

        def event(stream: str, version: int, at: datetime, discarded: Discarded) -> ChangesDiscarded:
            return ChangesDiscarded(
                originator_id=stream,
                originator_version=version,
                at=at,
                run=self.run,
                task=ordinal,
                connector=subjects.connector,
                entity_types=concerned,
                first=discarded.first,
                up_to=discarded.last,
                count=discarded.count,
                digest=discarded.digest,
                ranges=discarded.ranges,
                unread=discarded.last > seen,
            )

        return self._tx.discard(subjects, event, self.run, up_to=up_to, at_most=at_most)

    def erase(
        self,
        ordinal: int,
        stream: int,
        ref: ResourceRef,
        *,
        salt: str,
        reason: str,
        records: Collection[Position] = (),
    ) -> Emptied:
        """Erases a resource and records it (see `Writing.erase`)."""

        def event(own: str, version: int, at: datetime, emptied: Emptied) -> ResourceErased:
            return ResourceErased(
                originator_id=own,
                originator_version=version,
                at=at,
                run=self.run,
                task=ordinal,
                entity_type=ref.entity_type,
                salt=salt,
                key_digest=key_digest(salt, ref),
                reason=reason,
                streams=emptied.streams,
                count=emptied.count,
                ranges=emptied.ranges,
            )

        return self._tx.erase(stream, event, self.run, records)

    def _append(self, event: Callable[..., RunEvent]) -> None:
        self._tx.append_to_run(
            lambda stream, version, at: event(originator_id=stream, originator_version=version, at=at), self.run
        )


def _in_chunks(items: Sequence[_Item], size: int) -> Iterator[tuple[_Item, ...]]:
    remaining = iter(items)
    while chunk := tuple(islice(remaining, size)):
        yield chunk


def in_words(error: BaseException) -> str:
    """The text of an error for the record, valid Unicode even where the name of a file is not."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    words = str(error) if isinstance(error, DeltamarkError) else f"internal error: {type(error).__name__}: {error}"
    return words.encode(errors="backslashreplace").decode()
