"""What the use cases work with: the store, the extracts, the columnar engine, and who runs them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from deltamark.application.digests import configuration_digest
from deltamark.application.ports.comparer import Comparer
from deltamark.application.ports.evaluator import Evaluator
from deltamark.application.ports.extracts import Extracts
from deltamark.application.ports.store import Clock, Store
from deltamark.application.ports.writing import Writing
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job, TaskState
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.run import Counts, ExtractRead, Operator, SetAside

if TYPE_CHECKING:
    import pyarrow as pa

LEASE_S = 60.0
"""How long a run that is not heard from keeps its tasks, in seconds; it is heard from three times in that."""

Reload: TypeAlias = "Callable[[Services], Services | None]"
"""Gives the services with the configuration as it is now, where it was changed since they were asked last; raises
`ConfigurationError` where it has faults, once."""

OpenStore = Callable[[str], Store]
"""Opens the store that a URL names; makes it if it is not there."""

OrphanWriter: TypeAlias = "Callable[[int, str, pa.Table], str]"
"""Writes the orphaned pairs of an association in a run to a file; returns its name."""

LocalZone: TypeAlias = Callable[[], tzinfo]


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@frozen(kw_only=True)
class Services:
    """The parts that use cases are given; made in one place, `deltamark.bootstrap`.

    :param plan: of what the configuration derives.
    :param clock: that of the store.
    :param lease_s: how long a run that is not heard from keeps its tasks, and a scheduler the lead.
    :param local_zone: whose clock jobs with `CronTimeZone` ServerTime go by.
    :param reload: None where the configuration cannot change.
    :param open_store: opens another store, made if it is not there; None where there are no others.
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
        """What the runs are recorded with."""
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
    """The task of a run that is being worked on; `ordinal` counts from 1.

    `report` reaches only the observer of the run: inside its transaction, a task records nothing but its end.
    """

    run: int
    ordinal: int
    job: Job
    forced: bool
    report: ReportProgress = report_nothing


@frozen(kw_only=True)
class Done:
    """What a task did. `effect` is what the tasks that depend on it look at."""

    counts: Counts = Counts()
    effect: bool = False
    set_aside: tuple[SetAside, ...] = field(converter=as_tuple, default=())
    extracts: tuple[ExtractRead, ...] = field(converter=as_tuple, default=())
    messages: tuple[str, ...] = field(converter=as_tuple, default=())
    warned: bool = False

    @property
    def state(self) -> TaskState:
        """Completed, or warning where rows were set aside or something must be looked at."""
        return TaskState.WARNING if self.set_aside or self.warned else TaskState.COMPLETED


@frozen
class Skip:
    """A task that found before its work that it must not run, and why."""

    reason: str


Apply = Callable[[Writing, Scope], Done]
"""The part of a task that happens inside its one transaction."""
