"""What use cases are given: the parts that they work with, and the task that they work for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from deltamark.application.digests import configuration_digest
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.comparer import Comparer
from deltamark.application.ports.evaluator import Evaluator
from deltamark.application.ports.extracts import Extracts
from deltamark.application.ports.store import Clock, Store
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job, TaskState
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.run import Counts, ExtractRead, LeftOut, Operator, SetAside

if TYPE_CHECKING:
    import pyarrow as pa

LEASE_S = 60.0
"""Time to live of leases, in seconds; a run renews its leases three times in that."""

Reload: TypeAlias = "Callable[[Services], Services | None]"
"""Returns services with the present configuration if it changed since the last call, otherwise None.

Raises `ConfigurationError`, once for each change, where it has faults.
"""

OpenStore = Callable[[str], Store]
"""Opens the store at a URL; creates it if it does not exist."""

OrphanWriter: TypeAlias = "Callable[[int, str, pa.Table], str]"
"""Writes the orphans of an association in a run to a file; returns the name of the file."""

LocalZone: TypeAlias = Callable[[], tzinfo]


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@frozen(kw_only=True)
class Services:
    """The parts that use cases work with.

    They are made in one place, `deltamark.bootstrap`.

    :param plan: of what the configuration derives.
    :param clock: that of the store.
    :param lease_s: time to live of the leases of a run, and of the lead of a scheduler.
    :param local_zone: the time zone of jobs with `CronTimeZone` ServerTime.
    :param reload: None where the configuration cannot change.
    :param open_store: opens another store; None where there are no others.
    """

    store: Store
    configuration: Configuration
    plan: Plan
    extracts: Extracts
    comparer: Comparer
    evaluator: Evaluator
    write_orphans: OrphanWriter
    operator: Operator
    clock: Clock
    lease_s: float = LEASE_S
    local_zone: LocalZone = lambda: UTC
    reload: Reload | None = None
    open_store: OpenStore | None = None

    @cached_property
    def configuration_digest(self) -> str:
        """The digest that runs record."""
        return configuration_digest(self.configuration)


@frozen
class TaskProgress:
    """How far a task is, in words, and what it has counted so far."""

    words: str
    counts: Counts = Counts()


ReportProgress: TypeAlias = Callable[[TaskProgress], None]
"""Reports the progress of a task to the observer of its run."""


def report_nothing(progress: TaskProgress) -> None:
    """Ignores progress."""


@frozen(kw_only=True)
class Scope:
    """The task of a run that is being worked on.

    `ordinal` counts from 1.

    `report` reaches only the observer of the run: inside its transaction, a task records nothing but its end.
    """

    run: int
    ordinal: int
    job: Job
    forced: bool
    report: ReportProgress = report_nothing


@frozen(kw_only=True)
class TaskResult:
    """What a task did.

    :param effect: whether it changed anything that the tasks that depend on it need to know.
    :param warned: whether a user must look at something.
    :param left_out: a connector that was left out because a run holds its changes back.
    """

    counts: Counts = Counts()
    effect: bool = False
    set_aside: tuple[SetAside, ...] = field(converter=as_tuple, default=())
    extracts: tuple[ExtractRead, ...] = field(converter=as_tuple, default=())
    messages: tuple[str, ...] = field(converter=as_tuple, default=())
    warned: bool = False
    left_out: LeftOut | None = None

    @property
    def state(self) -> TaskState:
        """Completed, or warning where rows were set aside or a user must look at something."""
        return TaskState.WARNING if self.set_aside or self.warned else TaskState.COMPLETED


@frozen
class Skip:
    """The reason why a task does not run, found before its work.

    :param left_out: the connector that is left out with it because a run holds its changes back.
    """

    reason: str
    left_out: LeftOut | None = None


Apply = Callable[[Writing, Scope], TaskResult]
"""The part of a task inside its one transaction."""
