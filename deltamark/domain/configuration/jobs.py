"""Jobs and tasks: what runs, in which order, and why a task does not run."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar, TypeAlias

from attrs import field, frozen

from deltamark.domain.configuration.entity_model import Connector, JobUse
from deltamark.domain.configuration.user_function import UserTask, function_name
from deltamark.domain.fields import DisplayNames, as_tuple, location_field, names_field
from deltamark.domain.location import Location


class SynchronizationMode(Enum):
    """What an extract says: everything there is, or only what happened since the last one."""

    INITIAL = 0
    COMPLETE = 1
    INCREMENTAL = 2


@frozen(kw_only=True)
class Task:
    """One piece of work in a job.

    `level` -1 means document order; tasks of a job either all have a level or none has. `parents` are the
    identifiers that `TaskDependsOnTask` names. A task without an identifier is named after what it does.
    """

    kind: ClassVar[str] = "Task"

    identifier: str = field(default="")
    level: int = -1
    continue_on_error: bool = False
    agent: str | None = None
    parents: tuple[str, ...] = field(converter=as_tuple, default=())
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()

    def __attrs_post_init__(self) -> None:
        if not self.identifier:
            object.__setattr__(self, "identifier", self._default_identifier())

    def _default_identifier(self) -> str:
        return self.kind.removesuffix("Task")

    @property
    def display_name(self) -> str:
        """The display name in the first language, or the identifier."""
        return self.display_names.get(1, self.identifier)


@frozen(kw_only=True)
class PrepareSynchronizationTask(Task):
    """Cleanses the extracts of a connector for the synchronization that follows."""

    kind: ClassVar[str] = "PrepareSynchronizationTask"

    connector: str
    synchronization_mode: SynchronizationMode = SynchronizationMode.COMPLETE
    type: str = "None"
    column_name: str | None = None

    @property
    def is_delta(self) -> bool:
        """Whether the extracts tell only what happened since the last ones, each row with its command."""
        return self.synchronization_mode is SynchronizationMode.INCREMENTAL and self.column_name is not None

    def _default_identifier(self) -> str:
        return f"PrepareSynchronization{self.connector}"


@frozen(kw_only=True)
class SynchronizeTask(Task):
    """Brings a connector's resources and links to what its extracts say.

    With `do_not_delete_changes` the changes stay in the log; without it they are discarded once they are
    applied, and history below that point is gone.
    """

    kind: ClassVar[str] = "SynchronizeTask"

    connector: str
    do_not_delete_changes: bool = False
    force_synchronization: bool = False
    orphans: bool = False
    type: str = "None"

    def _default_identifier(self) -> str:
        return f"Synchronize{self.connector}"


@frozen(kw_only=True)
class SetRecentlyModifiedFlagTask(Task):
    """Flags the resources that changed."""

    kind: ClassVar[str] = "SetRecentlyModifiedFlagTask"


@frozen(kw_only=True)
class ComputingTask(Task):
    """Computes derived values of the flagged resources (`dirty`), or of all, of some entity types or of all."""

    computes: ClassVar[str] = "values"
    """What it computes, in a sentence."""

    dirty: bool = False
    all_entity_type: bool = False
    entity_types: tuple[str, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class UpdateEntityPropertyExpressionsTask(ComputingTask):
    """Computes the properties that have an expression."""

    kind: ClassVar[str] = "UpdateEntityPropertyExpressionsTask"
    computes: ClassVar[str] = "computed properties"

    batch_select_size: int = 0
    batch_update_size: int = 0


@frozen(kw_only=True)
class ComputeCorrelationKeysTask(ComputingTask):
    """Computes correlation keys."""

    kind: ClassVar[str] = "ComputeCorrelationKeysTask"
    computes: ClassVar[str] = "correlation keys"

    batch_size: int = 0


@frozen(kw_only=True)
class UpdateClassificationTask(ComputingTask):
    """Finds out of which resource type each target resource is."""

    kind: ClassVar[str] = "UpdateClassificationTask"
    computes: ClassVar[str] = "classifications"

    batch_size: int = 0


@frozen(kw_only=True)
class PythonTask(ComputingTask):
    """Computes properties with a function of the user's own, made by the decorator `deltamark.task`.

    What is left out is as the function declares: `dirty` None, no entity types, a `batch_size` of 0. A function that
    is named must be registered; nothing is imported because a configuration names it.
    """

    kind: ClassVar[str] = "PythonTask"
    computes: ClassVar[str] = "properties of the function"

    function: str | UserTask = field(eq=function_name)
    dirty: bool | None = None  # type: ignore[assignment]  # a Boolean once the function is known
    batch_size: int = 0

    @property
    def function_name(self) -> str:
        """The name of the function, `package.module:function`."""
        return function_name(self.function)

    def _default_identifier(self) -> str:
        name = self.function_name
        return name.rpartition(":")[2].rpartition(".")[2] if isinstance(name, str) else super()._default_identifier()


@frozen
class Step:
    """A call of a task that is configured outside the job, at a level of its own if it gives one."""

    task: str
    level: int | None = None
    location: Location | None = location_field()


@frozen
class TaskOverride:
    """A call of an existing task with some attributes changed.

    `changes` maps attribute names of the task's class to their new values.
    """

    kind: str
    identifier: str
    changes: Mapping[str, object] = field(factory=dict, converter=dict)
    location: Location | None = location_field()


Call: TypeAlias = Task | Step | TaskOverride


@frozen
class Job:
    """A named graph of tasks."""

    identifier: str
    tasks: tuple[Call, ...] = field(converter=as_tuple, default=())
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
        return self.display_names.get(1, self.identifier)


class TaskState(Enum):
    """How a run or one of its tasks ended, or that it has not."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    WARNING = "warning"
    BLOCKED = "blocked"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    ABORTED = "aborted"
    """Its process died: what it had not finished was undone."""


def reason_connector_is_out(connector: Connector, job: Job) -> str | None:
    """Why a job must not synchronize a connector, or None when it may."""
    if connector.is_deactivated:
        return f"connector {connector.identifier} is deactivated"
    use = connector.incremental_job if job.is_incremental else connector.complete_job
    if use in (JobUse.NOT_USED, JobUse.ONLY_PROVISIONING):
        kind = "incremental" if job.is_incremental else "complete"
        return f"connector {connector.identifier} is not synchronized by {kind} jobs"
    return None
