"""The run aggregate: one execution of a job, with its tasks, what they read, did and set aside."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from attrs import evolve, field, fields, frozen

from deltamark.domain.events import Event
from deltamark.domain.job import TaskState
from deltamark.domain.sequences import as_tuple


@frozen(kw_only=True)
class Counts:
    """How many rows, resources and links a task handled.

    `computed` counts resources, `executed` the values computed for them (one expression for one resource is one
    value), `necessary` those values among them that came out differently.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    linked: int = 0
    unlinked: int = 0
    set_aside: int = 0
    flagged: int = 0
    computed: int = 0
    executed: int = 0
    necessary: int = 0
    written: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{a.name: getattr(self, a.name) + getattr(other, a.name) for a in fields(Counts)})

    @property
    def changed(self) -> int:
        """Changes of resources and links."""
        return self.inserted + self.updated + self.deleted + self.linked + self.unlinked


@frozen(kw_only=True)
class SetAside:
    """A row of an extract that was not applied, and why; `key` where it could be read."""

    file: str
    line: int | None
    column: str | None = None
    reason: str
    value: str | None = None
    key: str | None = None


@frozen(kw_only=True)
class ExtractRead:
    """A file that a task read: for which entity type or association, how many rows, and its SHA-256."""

    subject: str
    file: str
    rows: int
    digest: str


@frozen(kw_only=True)
class PlannedTask:
    """A task as a run will call it; `ordinal` counts from 1 in the order of execution."""

    ordinal: int
    identifier: str
    kind: str


@frozen(kw_only=True)
class RunEvent(Event):
    """A fact of a run."""

    run: int


@frozen(kw_only=True)
class RunStarted(RunEvent):
    """A job started."""

    job: str
    configuration_digest: str
    user: str
    host: str
    process: int
    forced: bool = False
    tasks: tuple[PlannedTask, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class TaskStarted(RunEvent):
    """A task began."""

    task: int


@frozen(kw_only=True)
class RowsSetAside(RunEvent):
    """Rows that a task did not apply; at most 1,000 in one event."""

    task: int
    rows: tuple[SetAside, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class ChangesDiscarded(RunEvent):
    """A task discarded changes of a connector: those of its log up to `up_to`.

    :param entity_types: the entity types whose resources those changes concern.
    :param first: the lowest position discarded.
    :param count: how many changes.
    :param digest: SHA-256 over the discarded events in position order, hexadecimal.
    :param unread: whether some of them had not been seen by a flag task.
    """

    task: int
    connector: str
    entity_types: tuple[str, ...] = field(converter=as_tuple)
    first: int
    up_to: int
    count: int
    digest: str
    unread: bool


@frozen(kw_only=True)
class TaskEnded(RunEvent):
    """A task ended. `effect` is what its children look at; `messages` say what a person must know."""

    task: int
    state: TaskState
    effect: bool = False
    counts: Counts = Counts()
    seconds: float = 0.0
    extracts: tuple[ExtractRead, ...] = field(converter=as_tuple, default=())
    messages: tuple[str, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class RunEnded(RunEvent):
    """A run ended."""

    state: TaskState


AnyRunEvent: TypeAlias = RunStarted | TaskStarted | RowsSetAside | ChangesDiscarded | TaskEnded | RunEnded


@frozen(kw_only=True)
class TaskRun:
    """A task of a run, as far as it went."""

    ordinal: int
    identifier: str
    kind: str
    state: TaskState = TaskState.PENDING
    effect: bool = False
    counts: Counts = Counts()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float = 0.0
    extracts: tuple[ExtractRead, ...] = ()
    messages: tuple[str, ...] = ()
    discarded: tuple[ChangesDiscarded, ...] = ()


@frozen(kw_only=True)
class JobRun:
    """One execution of a job: its tasks, counts and times."""

    originator_id: str
    version: int
    number: int
    job: str
    state: TaskState
    started_at: datetime
    configuration_digest: str
    user: str
    host: str
    process: int
    forced: bool
    tasks: tuple[TaskRun, ...]
    ended_at: datetime | None = None
    set_aside: tuple[SetAside, ...] = ()
    """The rows set aside, in the order of their tasks (empty where only the summary was asked for)."""

    @property
    def counts(self) -> Counts:
        """The sum over all tasks."""
        return sum((task.counts for task in self.tasks), Counts())

    def task(self, ordinal: int) -> TaskRun:
        """The task at that place, counted from 1."""
        return self.tasks[ordinal - 1]


def fold_run(events: Iterable[RunEvent]) -> JobRun | None:
    """The run that these facts of its stream, oldest first, leave."""
    run: JobRun | None = None
    for event in events:
        run = _evolved(run, event)
    return run


def _evolved(run: JobRun | None, event: RunEvent) -> JobRun:
    if isinstance(event, RunStarted):
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
            tasks=tuple(TaskRun(ordinal=t.ordinal, identifier=t.identifier, kind=t.kind) for t in event.tasks),
        )
    assert run is not None, "a run starts before anything else happens in it"
    run = evolve(run, version=event.originator_version)
    match event:
        case TaskStarted():
            return _with_task(run, evolve(run.task(event.task), state=TaskState.RUNNING, started_at=event.at))
        case RowsSetAside():
            return evolve(run, set_aside=run.set_aside + event.rows)
        case ChangesDiscarded():
            task = run.task(event.task)
            return _with_task(run, evolve(task, discarded=(*task.discarded, event)))
        case TaskEnded():
            ended = evolve(
                run.task(event.task),
                state=event.state,
                effect=event.effect,
                counts=event.counts,
                ended_at=event.at,
                seconds=event.seconds,
                extracts=event.extracts,
                messages=event.messages,
            )
            return _with_task(run, ended)
        case RunEnded():
            return evolve(run, state=event.state, ended_at=event.at)
    raise AssertionError(f"{type(event).__name__} is not an event of a run")


def _with_task(run: JobRun, task: TaskRun) -> JobRun:
    tasks = tuple(task if t.ordinal == task.ordinal else t for t in run.tasks)
    return evolve(run, tasks=tasks)


def state_of_run(tasks: Iterable[TaskRun], *, stopped: bool) -> TaskState:
    """How a run ends whose tasks ended like this; `stopped` when a failure kept later tasks from running.

    Failed when a failure stopped it; blocked when a threshold did; warning when a task failed and the run
    went on, or a task ended in warning; completed otherwise.
    """
    states = {task.state for task in tasks}
    if stopped and TaskState.FAILED in states:
        return TaskState.FAILED
    if TaskState.BLOCKED in states:
        return TaskState.BLOCKED
    if states & {TaskState.FAILED, TaskState.WARNING}:
        return TaskState.WARNING
    return TaskState.COMPLETED


def end_of_dead_task(run: JobRun) -> tuple[TaskRun, TaskState] | None:
    """The task at which a run stopped whose process died, and how that task ended: failed where it had begun, skipped
    where it had not. None where all had ended.
    """
    for task in run.tasks:
        if task.state is TaskState.RUNNING:
            return task, TaskState.FAILED
        if task.state is TaskState.PENDING:
            return task, TaskState.SKIPPED
    return None


def end_of_dead_run(run: JobRun) -> TaskState:
    """How a run ended whose process died: failed, unless all its tasks had ended by then."""
    return TaskState.FAILED if end_of_dead_task(run) else state_of_run(run.tasks, stopped=True)
