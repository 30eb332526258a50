"""Folding the events of a run into the run as far as it went."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.resources.events import Event
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
    run: JobRun | None = None
    for event in events:
        if isinstance(event, RunStarted):
            run = _new_run(event)
        elif isinstance(event, RunEvent):
            run = _apply(run, event)
        elif run is not None:
            run = evolve(run, version=event.originator_version)
    return run


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
    )


def _pending_task(task: PlannedTask | TaskRun) -> TaskRun:
    return TaskRun(ordinal=task.ordinal, identifier=task.identifier, kind=task.kind)


def _apply(run: JobRun | None, event: RunEvent) -> JobRun:
    assert run is not None, "a run starts before anything else happens in it"
    run = evolve(run, version=event.originator_version)
    match event:
        case RunResumed():
            return _resume(run, event)
        case CancelRequested():
            return evolve(run, cancelled_by=_operator(event))
        case PairsAwaited() | ResourceErased():
            return run
        case RunEnded():
            return evolve(run, state=event.state, ended_at=event.at)
        case TaskStarted() | TaskProgressed() | RowsSetAside() | ChangesDiscarded() | TaskEnded():
            return _with_task(run, _apply_to_task(run.task(event.task), event))
    raise AssertionError(f"{type(event).__name__} is not an event of a run")


def _apply_to_task(
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
                progress="",
            )


def _resume(run: JobRun, event: RunResumed) -> JobRun:
    """Resets the tasks that run again.

    Those that did their work stay as they are.
    """

    def of(task: TaskRun) -> TaskRun:
        if task.ordinal not in event.again:
            return task
        return evolve(_pending_task(task), set_aside=task.set_aside if task.ordinal in event.pending else ())

    return evolve(
        run,
        state=TaskState.RUNNING,
        ended_at=None,
        cancelled_by=None,
        configuration_digest=event.configuration_digest,
        tasks=tuple(map(of, run.tasks)),
        resumed=(*run.resumed, Resumption(at=event.at, operator=_operator(event), again=event.again)),
    )


def _operator(event: RunResumed | CancelRequested) -> Operator:
    return Operator(user=event.user, host=event.host, process=event.process)


def _with_task(run: JobRun, task: TaskRun) -> JobRun:
    tasks = tuple(task if t.ordinal == task.ordinal else t for t in run.tasks)
    return evolve(run, tasks=tasks)
