"""Jobs and the types of their tasks: what each does, names and needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import ClassVar, Literal, TypeAlias

from attrs import evolve, field, frozen

from deltamark.domain.configuration.entity_model import Connector, JobUse
from deltamark.domain.configuration.keywords import checked_keywords
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.configuration.user_function import UserTask, function_name
from deltamark.domain.fields import DisplayNames, as_texts, as_tuple, location_field, names_field
from deltamark.domain.location import Location

Named: TypeAlias = Literal["connection", "connector", "entity type", "association", "resource type", "policy"]
"""Things that a task may name, as messages call them."""


COMMAND = "command"
"""The command column of what a connection delivers."""


class SynchronizationMode(Enum):
    """What extracts hold, and what becomes of resources that are missing there.

    - ``INITIAL``: all data, to fill a store. Nothing is deleted, and no limit applies.
    - ``COMPLETE``: all data. What is missing is deleted.
    - ``INCREMENTAL``: changes, each with its command. Only what a row names changes.
    """

    INITIAL = 0
    COMPLETE = 1
    INCREMENTAL = 2


@checked_keywords
@frozen(kw_only=True)
class Task:
    """One piece of work in a job.

    `level` -1 means document order; tasks of a job either all have a level or none has. `parents` are the
    identifiers that `TaskDependsOnTask` names. A task without an identifier is named after what it does.

    The rest of the program asks a task for the class variables, properties and methods below instead of testing its
    class. A subclass overrides those that concern it; the defaults suit a task that neither synchronizes, flags nor
    computes.
    """

    kind: ClassVar[str] = "Task"
    """The name of the class, which is also that of its element in a configuration file."""

    flags_changes: ClassVar[bool] = False
    """Whether it flags what changed. It runs although a parent failed, if another parent had an effect."""

    follows_changes: ClassVar[bool] = False
    """Whether changes that other tasks make give it new work: a resumed run repeats it after such a task."""

    identifier: str = field(default="")
    level: int = -1
    continue_on_error: bool = False
    agent: str | None = None
    parents: tuple[str, ...] = field(converter=as_texts, default=())
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()
    name_locations: Mapping[str, Location] = field(factory=dict, eq=False, repr=False)
    """Where the parents and entity types are named, if that is known."""

    def __attrs_post_init__(self) -> None:
        if not self.identifier:
            object.__setattr__(self, "identifier", self._default_identifier())

    def _default_identifier(self) -> str:
        return self.kind.removesuffix("Task")

    @property
    def display_name(self) -> str:
        """The display name in the first language, or the identifier."""
        return self.display_names.get(1, "").strip() or self.identifier

    def location_of(self, name: str) -> Location | None:
        """Where a parent or an entity type is named: in its own line, or in that of the task."""
        return self.name_locations.get(name, self.location)

    @property
    def works_on(self) -> str | None:
        """What it works on, in words: a connector, or entity types."""
        return None

    @property
    def prepares(self) -> str | None:
        """The connector whose extracts it prepares."""
        return None

    @property
    def command_column(self) -> str | None:
        """The column that says of each row whether to insert, update or delete, where it prepares extracts with one."""
        return None

    @property
    def synchronizes(self) -> str | None:
        """The connector that it synchronizes."""
        return None

    @property
    def exports(self) -> tuple[str | None, str | None]:
        """The connection that it reads, or the connector of which it reads all connections."""
        return None, None

    @property
    def exports_everything(self) -> bool:
        """Whether it reads all that connections have, and never what changed alone."""
        return False

    @property
    def delivers(self) -> str | None:
        """The connection to which it delivers changes."""
        return None

    @property
    def source_type(self) -> str | None:
        """The type of the source system for which it prepares or synchronizes."""
        return None

    @property
    def reports_orphans(self) -> bool:
        """Whether it writes links to missing resources to a file."""
        return False

    @property
    def is_incremental(self) -> bool:
        """Whether it prepares extracts that hold only what happened since the last ones."""
        return False

    @property
    def is_initial(self) -> bool:
        """Whether it prepares extracts that fill a store."""
        return False

    @property
    def is_delta(self) -> bool:
        """Whether each row of the extracts that it prepares has a command.

        A command says whether to insert, update or delete.
        """
        return False

    @property
    def keeps_missing(self) -> bool:
        """Whether what is missing in the extracts that it prepares stays in the store."""
        return False

    @property
    def discards_changes(self) -> bool:
        """Whether the changes that it makes are discarded once it has committed."""
        return False

    def references(self) -> Iterator[tuple[Named, str]]:
        """The things that it names besides its agent and parents.

        They must exist in the configuration.
        """
        yield from ()

    def contradictions(self, *, is_delivered: bool = False) -> Iterator[str]:
        """Contradictions among its attributes, each a clause whose subject is the task.

        :param is_delivered: whether a connection reads tables of the connector that it works on.
        """
        yield from ()

    def with_function(self, functions: Mapping[str, UserTask]) -> Task:
        """The same task, holding the function that it names.

        :param functions: those registered, by name.
        """
        return self


@checked_keywords
@frozen(kw_only=True)
class ConnectorTask(Task):
    """A task that reads the extracts of a connector."""

    connector: str

    @property
    def works_on(self) -> str | None:
        return self.connector

    def references(self) -> Iterator[tuple[Named, str]]:
        yield "connector", self.connector


@checked_keywords
@frozen(kw_only=True)
class ExportTask(Task):
    """Reads what a connection, or each connection of a connector, gives: a delivery for the synchronization after it.

    `ignore_cookie_file`: whether everything is read, and not what changed since the last delivery that was applied.
    """

    kind: ClassVar[str] = "ExportTask"

    connection: str | None = None
    connector: str | None = None
    ignore_cookie_file: bool = False

    @property
    def works_on(self) -> str | None:
        return self.connection or self.connector

    @property
    def exports(self) -> tuple[str | None, str | None]:
        return self.connection, self.connector

    @property
    def exports_everything(self) -> bool:
        return self.ignore_cookie_file

    def references(self) -> Iterator[tuple[Named, str]]:
        if self.connection is not None:
            yield "connection", self.connection
        if self.connector is not None:
            yield "connector", self.connector

    def contradictions(self, *, is_delivered: bool = False) -> Iterator[str]:
        if self.connection is None and self.connector is None:
            yield "does not say what it reads; give it a Connection, or a Connector for all its connections"
        if self.connection is not None and self.connector is not None:
            yield "names a Connection and a Connector; name one of them"

    def _default_identifier(self) -> str:
        return f"Export{self.connection or self.connector or ''}"


@checked_keywords
@frozen(kw_only=True)
class DeliverTask(Task):
    """Delivers the changes beyond the place of a sink to it, and moves the place as far as the sink confirmed."""

    kind: ClassVar[str] = "DeliverTask"
    follows_changes: ClassVar[bool] = True

    connection: str

    @property
    def works_on(self) -> str | None:
        return self.connection

    @property
    def delivers(self) -> str | None:
        return self.connection

    def references(self) -> Iterator[tuple[Named, str]]:
        yield "connection", self.connection

    def _default_identifier(self) -> str:
        return f"Deliver{self.connection}"


@frozen(kw_only=True)
class PrepareSynchronizationTask(ConnectorTask):
    """Cleanses the extracts of a connector for the synchronization that follows."""

    kind: ClassVar[str] = "PrepareSynchronizationTask"

    synchronization_mode: SynchronizationMode = SynchronizationMode.COMPLETE
    type: str = "None"
    column_name: str | None = None

    @property
    def prepares(self) -> str | None:
        return self.connector

    @property
    def source_type(self) -> str | None:
        return self.type

    @property
    def is_incremental(self) -> bool:
        return self.synchronization_mode is SynchronizationMode.INCREMENTAL

    @property
    def is_delta(self) -> bool:
        """Whether each row of the extracts says whether to insert, update or delete."""
        return self.is_incremental and self.column_name is not None

    @property
    def command_column(self) -> str | None:
        return self.column_name if self.is_delta else None

    @property
    def is_initial(self) -> bool:
        """Whether it prepares extracts that fill a store."""
        return self.synchronization_mode is SynchronizationMode.INITIAL

    @property
    def keeps_missing(self) -> bool:
        return self.synchronization_mode is not SynchronizationMode.COMPLETE

    def contradictions(self, *, is_delivered: bool = False) -> Iterator[str]:
        if self.is_incremental and not self.column_name and not is_delivered:
            yield (
                "has the SynchronizationMode Incremental, but names no command column (ColumnName), so that no row "
                "says whether to insert, update or delete; name that column, or set SynchronizationMode Complete if "
                "the extracts hold everything"
            )
        if is_delivered and self.column_name not in (None, COMMAND):
            yield (
                f'names the command column "{self.column_name}" (ColumnName), but a connection delivers its extracts, '
                f"whose command column is {COMMAND}; remove ColumnName"
            )
        if self.column_name is not None and not self.is_incremental:
            yield (
                "names a command column (ColumnName), which only SynchronizationMode Incremental reads; set that mode "
                "or remove ColumnName"
            )

    def _default_identifier(self) -> str:
        return f"PrepareSynchronization{self.connector}"


@checked_keywords
@frozen(kw_only=True)
class SynchronizeTask(ConnectorTask):
    """Brings a connector's resources and links to what its extracts say.

    With `do_not_delete_changes` the changes stay in the log; without it they are discarded once they are
    applied, and history below that point is gone.
    """

    kind: ClassVar[str] = "SynchronizeTask"

    do_not_delete_changes: bool = False
    force_synchronization: bool = False
    orphans: bool = False
    type: str = "None"

    @property
    def synchronizes(self) -> str | None:
        return self.connector

    @property
    def source_type(self) -> str | None:
        return self.type

    @property
    def reports_orphans(self) -> bool:
        return self.orphans

    @property
    def discards_changes(self) -> bool:
        return not self.do_not_delete_changes

    def _default_identifier(self) -> str:
        return f"Synchronize{self.connector}"


@checked_keywords
@frozen(kw_only=True)
class SetRecentlyModifiedFlagTask(Task):
    """Flags the resources that changed."""

    kind: ClassVar[str] = "SetRecentlyModifiedFlagTask"
    flags_changes: ClassVar[bool] = True
    follows_changes: ClassVar[bool] = True


@checked_keywords
@frozen(kw_only=True)
class ComputingTask(Task):
    """Computes derived values of the flagged resources (`dirty`), or of all.

    It computes those of some entity types or of all.
    """

    follows_changes: ClassVar[bool] = True

    derives: ClassVar[frozenset[DerivationKind]]
    """The kinds of derived values that it computes."""

    computes: ClassVar[str] = "values"
    """What it computes, in the plural, as a message calls it."""

    unit: ClassVar[str] = "value"
    """One of them."""

    has_function: ClassVar[bool] = False
    """Whether a function computes the values; where none does, expressions do."""

    dirty: bool = False
    all_entity_type: bool = False
    entity_types: tuple[str, ...] = field(converter=as_texts, default=())

    @property
    def maker(self) -> str | UserTask | None:
        """The function that computes the values (or its name), or None where expressions do."""
        return None

    @property
    def function_batch_size(self) -> int:
        """The most resources in a batch of the function.

        0 means as it declares.
        """
        return 0

    @property
    def works_on(self) -> str | None:
        return "all entity types" if self.all_entity_type else ", ".join(self.entity_types)

    def references(self) -> Iterator[tuple[Named, str]]:
        for name in self.entity_types:
            yield "entity type", name

    def contradictions(self, *, is_delivered: bool = False) -> Iterator[str]:
        if not (self.all_entity_type or self.entity_types or self.has_function):  # a function names its entity types
            yield ('does not say which entity types it covers; give TaskEntityType elements or AllEntityType="true"')


@checked_keywords
@frozen(kw_only=True)
class UpdateEntityPropertyExpressionsTask(ComputingTask):
    """Computes the properties that have an expression."""

    kind: ClassVar[str] = "UpdateEntityPropertyExpressionsTask"
    derives: ClassVar[frozenset[DerivationKind]] = frozenset({DerivationKind.PROPERTY})
    computes: ClassVar[str] = "computed properties"

    batch_select_size: int = 0
    batch_update_size: int = 0


@checked_keywords
@frozen(kw_only=True)
class ComputeCorrelationKeysTask(ComputingTask):
    """Computes correlation keys."""

    kind: ClassVar[str] = "ComputeCorrelationKeysTask"
    derives: ClassVar[frozenset[DerivationKind]] = frozenset({DerivationKind.SOURCE_KEY, DerivationKind.TARGET_KEY})
    computes: ClassVar[str] = "correlation keys"
    unit: ClassVar[str] = "key"

    batch_size: int = 0


@checked_keywords
@frozen(kw_only=True)
class UpdateClassificationTask(ComputingTask):
    """Classifies target resources: finds the resource type of each."""

    kind: ClassVar[str] = "UpdateClassificationTask"
    derives: ClassVar[frozenset[DerivationKind]] = frozenset({DerivationKind.CLASSIFICATION})
    computes: ClassVar[str] = "classifications"
    unit: ClassVar[str] = "classification"

    batch_size: int = 0


@checked_keywords
@frozen(kw_only=True)
class PythonTask(ComputingTask):
    """Computes properties with a user's function made by the decorator `deltamark.task`.

    What is left out is as the function declares: `dirty` None, no entity types, a `batch_size` of 0. A function that
    is named must be registered; nothing is imported because a configuration names it.
    """

    kind: ClassVar[str] = "PythonTask"
    derives: ClassVar[frozenset[DerivationKind]] = frozenset({DerivationKind.PROPERTY})
    computes: ClassVar[str] = "properties of the function"
    has_function: ClassVar[bool] = True

    function: str | UserTask = field(eq=function_name)
    dirty: bool | None = None  # type: ignore[assignment]  # a Boolean once the function is known
    batch_size: int = 0

    @property
    def function_name(self) -> str:
        """The name of the function, `package.module:function`."""
        return function_name(self.function)

    @property
    def maker(self) -> str | UserTask | None:
        return self.function

    @property
    def function_batch_size(self) -> int:
        return self.batch_size

    def with_function(self, functions: Mapping[str, UserTask]) -> PythonTask:
        """The same task, holding its function.

        Attributes that it leaves out are as the function declares.
        """
        function = self.function if isinstance(self.function, UserTask) else functions[self.function]
        covers_all = self.all_entity_type or not self.entity_types
        return evolve(
            self,
            function=function,
            dirty=function.dirty if self.dirty is None else self.dirty,
            entity_types=function.entity_types if covers_all else self.entity_types,
            all_entity_type=False,
        )

    def _default_identifier(self) -> str:
        name = self.function_name
        return name.rpartition(":")[2].rpartition(".")[2] if isinstance(name, str) else super()._default_identifier()


TASK_TYPES: tuple[type[Task], ...] = (
    ExportTask,
    PrepareSynchronizationTask,
    SynchronizeTask,
    SetRecentlyModifiedFlagTask,
    UpdateEntityPropertyExpressionsTask,
    ComputeCorrelationKeysTask,
    UpdateClassificationTask,
    PythonTask,
    DeliverTask,
)
"""All types of tasks."""


@checked_keywords
@frozen
class Step:
    """A call of a task that is configured outside the job, perhaps at another level."""

    task: str
    level: int | None = None
    location: Location | None = location_field()


def _changes(items: Mapping[str, object]) -> Mapping[str, object]:
    return dict(items)


@checked_keywords
@frozen
class TaskOverride:
    """A call of an existing task with some attributes changed.

    `changes` maps attribute names of the task's class to their new values.
    """

    kind: str
    identifier: str
    changes: Mapping[str, object] = field(factory=dict, converter=_changes)
    location: Location | None = location_field()


Call: TypeAlias = Task | Step | TaskOverride


def _calls(items: Iterable[Call]) -> tuple[Call, ...]:
    return as_tuple(items)


@checked_keywords
@frozen
class Job:
    """A named graph of tasks."""

    identifier: str
    tasks: tuple[Call, ...] = field(converter=_calls, default=())
    agent: str | None = None
    cron_tab_expression: str | None = None
    cron_time_zone: int = 0
    is_incremental: bool = False
    log_level: str | None = None
    user_start_denied: bool = False
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()

    @property
    def display_name(self) -> str:
        """The display name in the first language, or the identifier."""
        return self.display_names.get(1, "").strip() or self.identifier


class TaskState(Enum):
    """The state of a run or of one of its tasks."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    WARNING = "warning"
    BLOCKED = "blocked"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    ABORTED = "aborted"
    """Its process died; what it had not finished was undone."""


def reason_connector_is_out(connector: Connector, job: Job) -> str | None:
    """Why a job must not synchronize a connector, or None when it may."""
    if connector.is_deactivated:
        return f"connector {connector.identifier} is deactivated"
    use = connector.incremental_job if job.is_incremental else connector.complete_job
    if use in (JobUse.NOT_USED, JobUse.ONLY_PROVISIONING):
        kind = "incremental" if job.is_incremental else "complete"
        return f"connector {connector.identifier} is not synchronized by {kind} jobs"
    return None
