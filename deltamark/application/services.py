"""What use cases are given: the parts that they work with, and the task that they work for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from attrs import field, frozen

from deltamark.application.digests import configuration_digest
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.comparer import Comparer
from deltamark.application.ports.configuration_format import ConfigurationFormat
from deltamark.application.ports.deliveries import Deliveries
from deltamark.application.ports.evaluator import Evaluator
from deltamark.application.ports.extracts import Extracts
from deltamark.application.ports.notifications import Channel, ChannelConnection, MakeChannel
from deltamark.application.ports.sinks import MakeSink
from deltamark.application.ports.sources import ConnectionSettings, Source
from deltamark.application.ports.store import Clock, Store
from deltamark.application.ports.workers import Workers
from deltamark.domain.adoption.plan import ADOPTION_LIMIT
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job, TaskState
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.run import Basis, Counts, ExtractRead, LeftOut, Operator, SetAside

if TYPE_CHECKING:
    import pyarrow as pa

LEASE_S = 60.0
"""Time to live of leases, in seconds; a run renews its leases three times in that."""


class Reload(Protocol):
    """Loads a configuration again when its files were changed."""

    def differs(self) -> bool:
        """Whether the files differ from those that were loaded."""
        ...

    def __call__(self, services: Services) -> Services | None:
        """The services with the changed configuration, or None if nothing has changed."""
        ...


"""Returns services with the present configuration if it changed since the last call, otherwise None.

Raises `ConfigurationError`, once for each change, where it has faults.
"""

MakeEvaluator: TypeAlias = Callable[[Configuration], Evaluator]
"""Makes the evaluator of a configuration."""

OpenStore = Callable[[str], Store]
"""Opens the store at a URL; creates it if it does not exist."""

OpenScratch: TypeAlias = "Callable[[], AbstractContextManager[Store]]"
"""Opens an empty store for a block: no other process sees it, and nothing of it is left after the block."""

OtherConfiguration: TypeAlias = "Callable[[Services, Configuration | str | PathLike[str]], Services]"
"""Returns the services with another configuration, which is loaded if a path is given, and checked.

Raises `ConfigurationError` with every fault.
"""

OrphanWriter: TypeAlias = "Callable[[int, str, pa.Table], str]"
"""Writes the orphans of an association in a run to a file; returns the name of the file."""

LocalZone: TypeAlias = Callable[[], tzinfo]

Wait: TypeAlias = Callable[[float], None]
"""Waits so many seconds."""


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


def _no_channel(connection: ChannelConnection) -> Channel:
    raise AssertionError(f"no channels are known here, and so not {connection.name}.")


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
    :param open_scratch: opens a store for a simulation; None where there is none.
    :param other_configuration: None where there is no other.
    :param make_evaluator: makes the evaluator of another configuration; None where there are no others.
    :param configuration_format: the form in which the store keeps configurations.
    :param known_configurations: digest -> configuration of the past, read once.
    :param adoption_limit: how many values, resources and links a run may convert or remove by adopting a configuration.
    :param direct_input: connection table -> what a program gives in the place of its file.
    :param records_changes: whether `direct_input` are recorded changes: each mapping has a table of its own.
    :param kept_input: number of a run that did not complete -> its services, with what a program gave it.
    :param deliveries: keeps what connections delivered; None where none can be read.
    :param sources: package -> reads such sources.
    :param connections: connection -> its settings.
    :param sinks: package -> makes such sinks.
    :param channels: the channels by which people are told of runs, by name.
    :param make_channel: makes one of them.
    :param workers: compute for runs; None where this process does.
    :param wait: between two readings of a source that failed for the moment.
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
    open_scratch: OpenScratch | None = None
    other_configuration: OtherConfiguration | None = None
    make_evaluator: MakeEvaluator | None = None
    configuration_format: ConfigurationFormat
    known_configurations: dict[str, Configuration] = field(factory=dict, eq=False, repr=False)
    adoption_limit: int = ADOPTION_LIMIT
    direct_input: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)
    records_changes: bool = False
    kept_input: dict[int, Services] = field(factory=dict, eq=False, repr=False)
    deliveries: Deliveries | None = None
    sources: Mapping[str, Source] = field(factory=dict)
    connections: Mapping[str, ConnectionSettings] = field(factory=dict)
    sinks: Mapping[str, MakeSink] = field(factory=dict)
    channels: Mapping[str, ChannelConnection] = field(factory=dict)
    make_channel: MakeChannel = field(default=_no_channel, eq=False, repr=False)
    workers: Workers | None = None
    wait: Wait = field(default=time.sleep, eq=False, repr=False)

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
    :param basis: of a synchronization that changes nothing when it is repeated.
    """

    counts: Counts = Counts()
    effect: bool = False
    set_aside: tuple[SetAside, ...] = field(converter=as_tuple, default=())
    extracts: tuple[ExtractRead, ...] = field(converter=as_tuple, default=())
    messages: tuple[str, ...] = field(converter=as_tuple, default=())
    warned: bool = False
    left_out: LeftOut | None = None
    basis: Basis | None = None

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
