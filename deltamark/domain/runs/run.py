"""The run aggregate: one execution of a job with its tasks, and the events of its stream."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import field, fields, frozen

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import to_the_second
from deltamark.domain.fields import as_tuple
from deltamark.domain.resources.events import Event


@frozen(kw_only=True)
class Counts:
    """The numbers of rows, resources and links that a task handled.

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
    """A row of an extract that was not applied, and why.

    It has its `key` where that could be read.
    """

    file: str
    line: int | None
    column: str | None = None
    reason: str
    value: str | None = None
    key: str | None = None


@frozen(kw_only=True)
class ExtractRead:
    """A file that a task read for an entity type or association, with its rows and SHA-256."""

    subject: str
    file: str
    rows: int
    digest: str


@frozen(kw_only=True)
class PlannedTask:
    """A task that a run will call.

    `ordinal` counts from 1 in running order.
    """

    ordinal: int
    identifier: str
    kind: str


@frozen(kw_only=True)
class LeftOut:
    """A connector that is left out because a run holds its changes back until a person decides.

    :param run: the run that blocked it.
    :param since: when it did, UTC.
    :param is_dropped: whether what it held back was dropped since. Some was a delta, which no later extract repeats:
        only complete extracts end the block.
    """

    connector: str
    run: int
    since: datetime
    is_dropped: bool = False

    @property
    def reason(self) -> str:
        """Why it is left out, a clause."""
        since = to_the_second(self.since)
        if self.is_dropped:
            return (
                f"connector {self.connector} is blocked since {since}: the changes that run {self.run} held back were "
                "dropped"
            )
        return f"connector {self.connector} is blocked by run {self.run} since {since}"

    @property
    def advice(self) -> str:
        """What ends it, a sentence without its subject, the connector."""
        again = "a job that is not incremental and synchronizes its complete extracts"
        if self.is_dropped:
            return f"is synchronized again after {again}"
        return (
            "is synchronized again when that run is resumed, which applies what was held back, or cancelled, which "
            f"drops it, or after {again}"
        )


class TriggerKind(Enum):
    """What starts runs: a user or the schedule."""

    USER = "user"
    SCHEDULE = "schedule"


@frozen
class Trigger:
    """The reason why a run started: a user, or the schedule.

    :param due_at: when the schedule wanted it to start; None where a user started it.
    :param late: whether that time had been missed.
    """

    kind: TriggerKind = TriggerKind.USER
    due_at: datetime | None = None
    late: bool = False


BY_USER = Trigger()


@frozen(kw_only=True)
class Operator:
    """The user, host and process that run a job."""

    user: str
    host: str
    process: int


@frozen(kw_only=True)
class RunEvent(Event):
    """An event in the stream of a run."""

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
    trigger: TriggerKind = TriggerKind.USER
    due_at: datetime | None = None
    late: bool = False


@frozen(kw_only=True)
class RunResumed(RunEvent):
    """A run that had ended was resumed.

    :param again: the ordinals of the tasks that run again.
    :param pending: those of them that apply what was held back; the rows that they set aside stay on record.
    """

    configuration_digest: str
    user: str
    host: str
    process: int
    again: tuple[int, ...] = field(converter=as_tuple)
    pending: tuple[int, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class CancelRequested(RunEvent):
    """A user asked a run to stop: running tasks may finish, no other task starts."""

    user: str
    host: str
    process: int


@frozen(kw_only=True)
class TaskStarted(RunEvent):
    """A task began."""

    task: int


@frozen(kw_only=True)
class TaskProgressed(RunEvent):
    """A task made progress before its transaction.

    `words` say how far it got.
    """

    task: int
    counts: Counts = Counts()
    words: str = ""


@frozen(kw_only=True)
class RowsSetAside(RunEvent):
    """Rows that a task did not apply.

    At most 1,000 in one event.
    """

    task: int
    rows: tuple[SetAside, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class ChangesDiscarded(RunEvent):
    """A task discarded the changes of a connector up to a position.

    :param entity_types: the entity types whose resources those changes concern.
    :param first: the lowest position discarded.
    :param count: how many changes.
    :param ranges: the positions of all of them, each range with its first and last; empty in events of versions that
        did not record them.
    :param digest: SHA-256 over the discarded events in position order, hexadecimal.
    :param unread: whether no flag task had seen some of them.
    """

    task: int
    connector: str
    entity_types: tuple[str, ...] = field(converter=as_tuple)
    first: int
    up_to: int
    count: int
    digest: str
    unread: bool
    ranges: tuple[tuple[int, int], ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class ResourceErased(RunEvent):
    """The values of a resource and of its links were erased for good.

    :param salt: with it, `key_digest` shows those who know the key whether it was this one.
    :param streams: of the resource and of all links that it ever had.
    :param count: how many changes were emptied.
    :param ranges: the positions of all of them, each range with its first and last.
    """

    task: int
    entity_type: str
    streams: tuple[int, ...] = field(converter=as_tuple)
    salt: str
    key_digest: str
    reason: str
    count: int
    ranges: tuple[tuple[int, int], ...] = field(converter=as_tuple)


@frozen(kw_only=True)
class PairsAwaited(RunEvent):
    """A source names links to resources that do not exist.

    They are made as soon as the resources are.

    At most 1,000 pairs in one event. A pair holds the values of the two columns by which the extract names a link.

    :param awaited: pairs that wait from now on.
    :param settled: pairs that no longer wait: they were linked, or the source does not name them any more.
    """

    task: int
    association: str
    awaited: tuple[tuple[str, str], ...] = field(converter=as_tuple, default=())
    settled: tuple[tuple[str, str], ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class TaskEnded(RunEvent):
    """A task ended.

    Its children look at `effect`. `messages` are for people.

    :param left_out: the connector that the task would have worked on, and why it was left out; None where it was not.
    """

    task: int
    state: TaskState
    effect: bool = False
    counts: Counts = Counts()
    seconds: float = 0.0
    extracts: tuple[ExtractRead, ...] = field(converter=as_tuple, default=())
    messages: tuple[str, ...] = field(converter=as_tuple, default=())
    left_out: LeftOut | None = None


@frozen(kw_only=True)
class RunEnded(RunEvent):
    """A run ended."""

    state: TaskState


@frozen(kw_only=True)
class TaskRun:
    """A task of a run as far as it went."""

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
    set_aside: tuple[SetAside, ...] = ()
    """The rows set aside (empty where only the summary was asked for)."""
    progress: str = ""
    """The progress of a running task, in words."""
    left_out: LeftOut | None = None
    """The connector that it left out because a run holds its changes back."""


@frozen(kw_only=True)
class Resumption:
    """When a run was resumed, by whom, and the ordinals of the tasks that ran again."""

    at: datetime
    operator: Operator
    again: tuple[int, ...]


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
    trigger: Trigger = BY_USER
    resumed: tuple[Resumption, ...] = ()
    cancelled_by: Operator | None = None
    """Who asked it to stop; None where no user did."""

    @property
    def operator(self) -> Operator:
        """Who resumed it last, or else started it."""
        return (
            self.resumed[-1].operator
            if self.resumed
            else Operator(user=self.user, host=self.host, process=self.process)
        )

    def caller_at(self, at: datetime) -> tuple[str, TriggerKind]:
        """The user for whom it ran at a time, and what had started it.

        A resumed run runs for who resumed it.
        """
        resumed = [resumption for resumption in self.resumed if resumption.at <= at]
        return (resumed[-1].operator.user, TriggerKind.USER) if resumed else (self.user, self.trigger.kind)

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """The rows set aside, in the order of their tasks.

        Empty where only the summary was asked for.
        """
        return tuple(row for task in self.tasks for row in task.set_aside)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The connectors that it left out because a run holds their changes back, each once.

        A run that leaves one out ends at best in warning.
        """
        return tuple(dict.fromkeys(task.left_out for task in self.tasks if task.left_out is not None))

    @property
    def counts(self) -> Counts:
        """The sum over all tasks."""
        return sum((task.counts for task in self.tasks), Counts())

    def task(self, ordinal: int) -> TaskRun:
        """The task of that ordinal, counted from 1."""
        return self.tasks[ordinal - 1]
