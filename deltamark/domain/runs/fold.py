"""Folding the events of a run into the run as far as it went."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.resources.events import ADOPTION, Event
from deltamark.domain.runs.run import (
    CancelRequested,
    ChangesDiscarded,
    JobRun,
    Operator,
    PairsAwaited,
    PlannedTask,
    ResourceErased,
    Resumption,
    RowsSetAside,
    RunEnded,
    RunEvent,
    RunResumed,
    RunStarted,
    TaskEnded,
    TaskProgressed,
    TaskRun,
    TaskStarted,
    Trigger,
)


def fold_run(events: Iterable[Event]) -> JobRun | None:
    """The run that these events of its stream, oldest first, describe.

    What an erasure emptied says nothing any more.
    """
    fold: RunFold | None = None
    for event in events:
        if isinstance(event, RunStarted):
            fold = RunFold(event)
        elif fold is not None:
            fold.add(event)
        else:
            assert not isinstance(event, RunEvent), "a run starts before anything else happens in it"
    return None if fold is None else fold.run()


class RunFold:
    """A run as far as its events were added.

    What an event costs does not depend on the number of tasks.
    """

    def __init__(self, started: RunStarted) -> None:
        self._run = _new_run(started)
        self._tasks = list(self._run.tasks)
        self.version = started.originator_version
        """The number of the newest event in the stream of the run."""

    def run(self) -> JobRun:
        """The run, with all its tasks."""
        return evolve(self._run, version=self.version, tasks=tuple(self._tasks))

    def task(self, ordinal: int) -> TaskRun:
        """The task of that ordinal, counted from 1."""
        return self._tasks[ordinal - 1]

    @property
    def cancelled_by(self) -> Operator | None:
        """Who asked the run to stop; None where no user did."""
        return self._run.cancelled_by

    def add(self, event: Event) -> None:
        """Adds the next event of the stream."""
        match event:
            case RowsSetAside() | TaskEnded() if event.task == ADOPTION:
                self._run = evolve(self._run, adoption=_applied_to_task(self._run.task(ADOPTION), event))
            case TaskStarted() | TaskProgressed() | RowsSetAside() | ChangesDiscarded() | TaskEnded():
                self._tasks[event.task - 1] = _applied_to_task(self.task(event.task), event)
            case RunResumed():
                self._resume(event)
            case CancelRequested():
                self._run = evolve(self._run, cancelled_by=_operator(event))
            case RunEnded():
                self._run = evolve(self._run, state=event.state, ended_at=event.at)
            case PairsAwaited() | ResourceErased():
                pass
            case RunEvent():
                raise AssertionError(f"{type(event).__name__} is not an event of a run")
        self.version = event.originator_version

    def _resume(self, event: RunResumed) -> None:
        """Resets the tasks that run again.

        Those that did their work stay as they are.
        """
        again, pending = frozenset(event.again), frozenset(event.pending)
        for ordinal in again.intersection(range(1, len(self._tasks) + 1)):
            task = self.task(ordinal)
            set_aside = task.set_aside if ordinal in pending else ()
            self._tasks[ordinal - 1] = evolve(_pending_task(task), set_aside=set_aside)
        self._run = evolve(
            self._run,
            state=TaskState.RUNNING,
            ended_at=None,
            cancelled_by=None,
            configuration_digest=event.configuration_digest,
            resumed=(*self._run.resumed, Resumption(at=event.at, operator=_operator(event), again=event.again)),
        )


def _new_run(event: RunStarted) -> JobRun:
    return JobRun(
        originator_id=event.originator_id,
        version=event.originator_version,
        number=event.run,
        job=event.job,
        state=TaskState.RUNNING,
        started_at=event.at,
        configuration_digest=event.configuration_digest,
        user=event.user,
        host=event.host,
        process=event.process,
        forced=event.forced,
        tasks=tuple(map(_pending_task, event.tasks)),
        trigger=Trigger(event.trigger, event.due_at, event.late),
        by=event.by,
        reason=event.reason,
        via=event.via,
        definition=event.definition,
        direct_input=event.direct_input or (),
    )


def _pending_task(task: PlannedTask | TaskRun) -> TaskRun:
    return TaskRun(ordinal=task.ordinal, identifier=task.identifier, kind=task.kind)


def _applied_to_task(
    task: TaskRun, event: TaskStarted | TaskProgressed | RowsSetAside | ChangesDiscarded | TaskEnded
) -> TaskRun:
    match event:
        case TaskStarted():
            return evolve(task, state=TaskState.RUNNING, started_at=event.at)
        case TaskProgressed():
            return evolve(task, counts=event.counts, progress=event.words)
        case RowsSetAside():
            return evolve(task, set_aside=task.set_aside + event.rows)
        case ChangesDiscarded():
            return evolve(task, discarded=(*task.discarded, event))
        case TaskEnded():
            return evolve(
                task,
                state=event.state,
                effect=event.effect,
                counts=event.counts,
                ended_at=event.at,
                seconds=event.seconds,
                extracts=event.extracts,
                messages=event.messages,
                left_out=event.left_out,
                basis=event.basis,
                progress="",
            )


def _operator(event: RunResumed | CancelRequested) -> Operator:
    return Operator(
        user=event.user, host=event.host, process=event.process, by=event.by, reason=event.reason, via=event.via
    )
