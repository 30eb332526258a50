"""The run aggregate: one execution of a job with its tasks, and the events of its stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Self

from attrs import field, fields, frozen
from attrs.converters import optional

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import RunBlocked, RunFailed, UsageError, to_the_second
from deltamark.domain.fields import as_tuple
from deltamark.domain.messages import ADOPT, how_many
from deltamark.domain.representation import html_table
from deltamark.domain.resources.events import ADOPTION, Event


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
class Basis:
    """What the result of a synchronization followed from, besides the store.

    A synchronization with the same basis changes nothing as long as nothing else changes what it feeds.

    :param digest: of the extracts, of the configuration and of the version that read them.
    :param messages: how many of the messages of the task, the first ones, say something about the extracts: a
        synchronization with the same basis has them too.
    """

    digest: str
    messages: int = 0


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
        return self.reason_since(to_the_second(self.since))

    def reason_since(self, since: str) -> str:
        """Why it is left out, a clause with a time in words."""
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

_ENDED = {
    TaskState.WARNING: "ended in warning",
    TaskState.BLOCKED: "was blocked",
    TaskState.FAILED: "failed",
    TaskState.SKIPPED: "was skipped",
    TaskState.CANCELLED: "was cancelled",
    TaskState.ABORTED: "did not end: its process died",
}

_NOT_TO_NAME = (TaskState.COMPLETED, TaskState.SKIPPED, TaskState.PENDING)
"""The states of tasks that need not be named where a run did not do all of its work."""


@frozen(kw_only=True)
class Operator:
    """The account, host and process that run a job, and what they state: for whom, and why.

    :param user: the account, as the operating system says.
    :param by: the person for whom they do it; None where no one was named. Stated, not verified.
    :param reason: why; None where no reason was given.
    :param via: the program by which they do it, such as ``web``; None for the command line and programs of users.
    """

    user: str
    host: str
    process: int
    by: str | None = None
    reason: str | None = None
    via: str | None = None

    @property
    def name(self) -> str:
        """The person and the account in words; the account alone where no one was named."""
        return self.user if self.by is None else f"{self.by} ({self.user})"


@frozen(kw_only=True)
class RunEvent(Event):
    """An event in the stream of a run."""

    run: int


@frozen(kw_only=True)
class RunStarted(RunEvent):
    """A job started.

    :param definition: the job as XML, where it was given to the run; None where it is one of the configuration.
    """

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
    by: str | None = None
    reason: str | None = None
    via: str | None = None
    definition: str | None = None
    direct_input: tuple[str, ...] | None = field(converter=optional(as_tuple), default=None)


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
    by: str | None = None
    reason: str | None = None
    via: str | None = None


@frozen(kw_only=True)
class CancelRequested(RunEvent):
    """A user asked a run to stop: running tasks may finish, no other task starts."""

    user: str
    host: str
    process: int
    by: str | None = None
    reason: str | None = None
    via: str | None = None


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
    :param basis: of a synchronization that changes nothing when it is repeated; None of all other tasks.
    """

    task: int
    state: TaskState
    effect: bool = False
    counts: Counts = Counts()
    seconds: float = 0.0
    extracts: tuple[ExtractRead, ...] = field(converter=as_tuple, default=())
    messages: tuple[str, ...] = field(converter=as_tuple, default=())
    left_out: LeftOut | None = None
    basis: Basis | None = None


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
    basis: Basis | None = None
    """What it followed from, where it is a synchronization that changes nothing when it is repeated."""

    def __repr__(self) -> str:
        return f"<TaskRun {self.identifier}: {self.state.value}, {how_many(self.counts.changed, 'change')}>"

    @property
    def words(self) -> str:
        """Its identifier and state, and its messages, each in a line of its own."""
        lines = [line for message in self.messages for line in message.splitlines()]
        if self.set_aside:
            first = self.set_aside[0]
            where = ":".join(str(part) for part in (first.file, first.line, first.column) if part is not None)
            lines.append(f"{how_many(len(self.set_aside), 'row')} set aside; the first: {where}: {first.reason}")
        return "\n  ".join((f"{self.identifier}: {self.state.value}", *lines))


@frozen(kw_only=True)
class Resumption:
    """When a run was resumed, by whom, and the ordinals of the tasks that ran again."""

    at: datetime
    operator: Operator
    again: tuple[int, ...]


@frozen(kw_only=True)
class JobRun:
    """One execution of a job: its tasks, counts and times.

    :param user: the account that started it.
    :param by: the person for whom it was started; None where no one was named. Stated, not verified.
    :param reason: why it was started; None where no reason was given.
    :param via: the program by which it was started, such as ``web``; None for the command line and programs of users.
    :param definition: its job as XML, where that was given to the run; None where it is one of the configuration.
    :param is_dry_run: whether it was a dry run: nothing of it is on record.
    :param direct_input: the connection tables that a program gave to it in the place of files.
    """

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
    adoption: TaskRun | None = None
    """The adoption of a configuration that it began with, as if it were a task; None where it adopted none, or where
    that changed nothing else."""
    by: str | None = None
    reason: str | None = None
    via: str | None = None
    definition: str | None = None
    is_dry_run: bool = False
    direct_input: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<JobRun {self._title}>"

    def _repr_html_(self) -> str:
        rows = [(t.identifier, t.state.value, t.counts.changed, t.seconds, "\n".join(t.messages)) for t in self.tasks]
        columns = ("task", "state", "changes", "seconds", "messages")
        return html_table(f"Run {self._title}", columns, rows, len(rows))

    @property
    def _title(self) -> str:
        number = "(dry run)" if self.is_dry_run else self.number
        done = f"{how_many(len(self.tasks), 'task')}, {how_many(self.counts.changed, 'change')}"
        return f"{number} of {self.job}: {self.state.value}, {done}"

    @property
    def starter(self) -> Operator:
        """Who started it."""
        return Operator(
            user=self.user, host=self.host, process=self.process, by=self.by, reason=self.reason, via=self.via
        )

    @property
    def id(self) -> str:
        """Its stream, as the `eventsourcing` library calls it."""
        return self.originator_id

    @property
    def operator(self) -> Operator:
        """Who resumed it last, or else started it."""
        return self.resumed[-1].operator if self.resumed else self.starter

    def caller_at(self, at: datetime) -> tuple[Operator, TriggerKind]:
        """Who ran it at a time, and what had started it.

        A resumed run is run by who resumed it.
        """
        resumed = [resumption for resumption in self.resumed if resumption.at <= at]
        return (resumed[-1].operator, TriggerKind.USER) if resumed else (self.starter, self.trigger.kind)

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """The rows set aside, in the order of their tasks; first the values that an adoption could not convert.

        Empty where only the summary was asked for.
        """
        return tuple(row for task in self._with_adoption for row in task.set_aside)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The connectors that it left out because a run holds their changes back, each once.

        A run that leaves one out ends at best in warning.
        """
        return tuple(dict.fromkeys(task.left_out for task in self.tasks if task.left_out is not None))

    @property
    def counts(self) -> Counts:
        """The sum over all tasks, and the adoption that it began with."""
        return sum((task.counts for task in self._with_adoption), Counts())

    @property
    def _with_adoption(self) -> Sequence[TaskRun]:
        return self.tasks if self.adoption is None else (self.adoption, *self.tasks)

    def raise_for_state(self, *, warning: bool = False) -> Self:
        """Returns the run, if it did its work.

        :param warning: whether a run that ended in warning is refused too: it set rows aside, or left out a connector
            whose changes are held back.
        :raises RunBlocked: if a threshold held changes back.
        :raises RunFailed: if it failed, was cancelled or died; its message names what each task says.
        :raises UsageError: if it still goes on.
        """
        if self.state in (TaskState.PENDING, TaskState.RUNNING):
            raise UsageError(f"run {self.number} of job {self.job} is still going on. Look at it when it has ended.")
        if self.state is TaskState.COMPLETED or (self.state is TaskState.WARNING and not warning):
            return self
        kind = RunBlocked if self.state is TaskState.BLOCKED else RunFailed
        undone = [task for task in self._with_adoption if task.left_out or task.state not in _NOT_TO_NAME]
        what = f"the dry run of job {self.job}" if self.is_dry_run else f"run {self.number} of job {self.job}"
        message = "\n".join((f"{what} {_ENDED[self.state]}.", *(task.words for task in undone), self._advice))
        tasks = {task.identifier: task.state.value for task in undone}
        error = kind(self.number, self.job, self.state.value, tasks, message)
        if self.is_dry_run:
            error.next_steps = ()
        raise error

    @property
    def _advice(self) -> str:
        if self.is_dry_run:
            return "It was a dry run: nothing was kept."
        match self.state:
            case TaskState.BLOCKED:
                return "See what was held back, then resume the run, which applies it, or cancel it, which drops it."
            case TaskState.WARNING:
                return "Everything else was done. See the rows that were set aside, and what is held back."
            case TaskState.CANCELLED:
                return "Run the job again. What its tasks had completed is kept."
        return "Correct what is named, then resume the run, or run the job again. What its tasks had completed is kept."

    def calls_of(self, identifier: str) -> Sequence[TaskRun]:
        """The calls of the task of that identifier."""
        return self._by_identifier.get(identifier, ())

    @cached_property
    def _by_identifier(self) -> Mapping[str, Sequence[TaskRun]]:
        calls: dict[str, list[TaskRun]] = {}
        for task in self.tasks:
            calls.setdefault(task.identifier, []).append(task)
        return calls

    def task(self, ordinal: int) -> TaskRun:
        """The task of that ordinal, counted from 1; for `ADOPTION`, the adoption of a configuration as if it were one.

        That is in no list of tasks.
        """
        if ordinal == ADOPTION:
            return self.adoption or TaskRun(ordinal=ADOPTION, identifier=ADOPT, kind="Adopt", state=TaskState.COMPLETED)
        return self.tasks[ordinal - 1]
