"""The log as an application of the library, which only reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NoReturn, cast

from eventsourcing.application import AggregateNotFoundError, Application, ProjectorFunction, Repository
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    EventStore,
    InfrastructureFactory,
    Mapper,
    ProcessRecorder,
    ProgrammingError,
    Recording,
    TrackingRecorder,
    Transcoder,
)
from eventsourcing.utils import Environment, EnvType, strtobool

from deltamark import bootstrap
from deltamark.application import arguments
from deltamark.domain.adoption.configuration_adopted import ADOPTIONS
from deltamark.domain.errors import UsageError
from deltamark.domain.resources.events import Event
from deltamark.domain.resources.link import Link, LinkEvent, LinkRef, LinkSnapshot, fold_link
from deltamark.domain.resources.resource import Resource, ResourceEvent, ResourceRef, ResourceSnapshot, fold
from deltamark.domain.retention.erasure import Erased
from deltamark.domain.runs.fold import fold_run
from deltamark.domain.runs.run import JobRun, RunEvent
from deltamark.domain.sources.places import PLACES
from deltamark.domain.values import shown
from deltamark.eventsourcing.recorder import LogRecorder, refuse_writing
from deltamark.infrastructure.store.events.mapper import ChangeMapper
from deltamark.infrastructure.store.queries.log import whole

Aggregate = Resource | Link | JobRun
"""What the events of one stream fold into."""

_NO_TRACKING = (
    "the store of a log keeps no places of projections. Give the view a store of the library's own: PERSISTENCE_MODULE "
    "with eventsourcing.popo, eventsourcing.sqlite or eventsourcing.postgres, and its settings."
)


def fold_stream(aggregate: Aggregate | None, events: Iterable[Event]) -> Aggregate | None:
    """Folds the facts of one stream, oldest first: the projector function of the repository.

    :param aggregate: must be None: a stream is folded from its beginning.
    :raises StoreError: if an event of the stream is missing.
    """
    assert aggregate is None, "the repository keeps no aggregates"
    facts = iter(events)
    first = next(facts, None)
    if first is None:
        return None
    everything = chain((first,), facts)
    match first:
        case ResourceEvent() | ResourceSnapshot():
            return fold(cast(Any, _in_order(first, everything)))
        case LinkEvent() | LinkSnapshot():
            return fold_link(cast(Any, _in_order(first, everything)))
        case RunEvent():
            return fold_run(everything)
    return None


def _in_order(first: Event, facts: Iterable[Event]) -> Iterable[Event]:
    """Yields the facts of a stream, and checks that none is missing."""
    return (fact for _, fact in whole(int(first.originator_id), ((0, cast(Any, fact)) for fact in facts)))


class LogRepository(Repository[str]):
    """Folds the streams of a log: resources, links and runs."""

    def get(
        self,
        aggregate_id: str,
        *,
        version: int | None = None,
        projector_func: ProjectorFunction[Any, Any] = fold_stream,
        fastforward_skipping: bool = False,
        deepcopy_from_cache: bool = True,
    ) -> Any:
        """Returns the resource, link or run of a stream, as it is or as it was at a version.

        A deleted resource and a removed link are there, and not `live`.

        :raises AggregateNotFoundError: if there is no such stream, or its resource was erased.
        :raises HistoryDiscarded: if the events up to the version were discarded.
        """
        try:
            return super().get(aggregate_id, version=version, projector_func=projector_func)
        except AggregateNotFoundError:
            self._explain(aggregate_id, version)
            raise

    def _explain(self, aggregate_id: str, version: int | None) -> None:
        """Raises the error for a stream that cannot be folded, where there is more to say than that it is not there."""
        if aggregate_id == ADOPTIONS:
            raise AggregateNotFoundError(
                f"stream {aggregate_id} has the adoptions of configurations and decisions, and is no resource, link or "
                f"run. Read them with application.events.get({aggregate_id!r})."
            )
        if aggregate_id == PLACES:
            raise AggregateNotFoundError(
                f"stream {aggregate_id} has the places in sources, and is no resource, link or run. Read them with "
                f"application.events.get({aggregate_id!r})."
            )
        first = next(iter(self.event_store.get(aggregate_id, limit=1)), None)
        match first:
            case Erased():
                raise AggregateNotFoundError(
                    f"the resource or link of stream {aggregate_id} was erased: of its events only the times and "
                    "origins are left. The record of the run that erased it names the stream (ResourceErased)."
                )
            case ResourceSnapshot() | LinkSnapshot() if version is not None and version < first.originator_version:
                assert isinstance(self.event_store.recorder, LogRecorder)
                ref = first.ref
                raise self.event_store.recorder.discard_of(
                    ref.entity_type if isinstance(ref, ResourceRef) else ref.association
                )


class LogEventStore(EventStore[str]):
    """The events of a log, by stream."""

    def put(self, domain_events: Sequence[DomainEventProtocol[str]], **kwargs: Any) -> list[Recording[str]]:
        """Refuses.

        :raises ProgrammingError: always.
        """
        refuse_writing()


class LogFactory(InfrastructureFactory[TrackingRecorder]):
    """Opens the store of a log.

    :raises UsageError: if a setting is missing or wrong.
    :raises StoreError: if the store cannot be opened.
    """

    STORE = "DELTAMARK_STORE"
    SNAPSHOTS = "DELTAMARK_SNAPSHOTS"
    POLL_INTERVAL = "DELTAMARK_POLL_INTERVAL"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get(self.STORE)
        if not url:
            raise UsageError(
                f"no store is named. Set {self.STORE} to its URL, sqlite:///deltamark.db for example, in the "
                "environment of the application or of its class."
            )
        self._snapshots = self._flag(self.SNAPSHOTS)
        self._poll_s = self._seconds(self.POLL_INTERVAL)
        self.store = bootstrap.open_lasting_store(url, create=False)
        self._opened_by = os.getpid()
        self._is_closed = False

    def _flag(self, name: str) -> bool:
        text = self.env.get(name) or "n"
        try:
            return strtobool(text)
        except ValueError:
            raise UsageError(f"{name} is {shown(text)}; write y or n.") from None

    def _seconds(self, name: str) -> float | None:
        text = self.env.get(name)
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < float("inf"):
            raise UsageError(f"{name} is {shown(text)}; write a number of seconds above 0, such as 0.5.")
        return seconds

    def mapper(self, transcoder: Transcoder | None = None, mapper_class: object = None) -> Any:
        """Returns the mapper of a log, which knows a closed set of topics."""
        return ChangeMapper()

    def event_store(self, mapper: Any = None, recorder: AggregateRecorder | None = None) -> Any:
        """Returns the events of the log, by stream."""
        return LogEventStore(mapper or self.mapper(), recorder or self.application_recorder())

    def application_recorder(self) -> ApplicationRecorder:
        """Returns the recorder of the log."""
        return LogRecorder(self.store, snapshots=self._snapshots, poll_s=self._poll_s)

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Returns the recorder of the log: the snapshots of a store come with the events of their streams."""
        return self.application_recorder()

    def tracking_recorder(self, tracking_recorder_class: object = None) -> NoReturn:
        """Refuses.

        :raises ProgrammingError: always.
        """
        raise ProgrammingError(_NO_TRACKING)

    def process_recorder(self) -> ProcessRecorder:
        """Refuses.

        :raises ProgrammingError: always.
        """
        raise ProgrammingError(_NO_TRACKING)

    def is_snapshotting_enabled(self) -> bool:
        """Returns whether an application has snapshots besides its events: never, see `aggregate_recorder`."""
        return False

    def close(self) -> None:
        """Closes the store; in a process that was forked from the one that opened it, it stays open for that one."""
        if not self._is_closed and os.getpid() == self._opened_by:
            self._is_closed = True
            self.store.close()


class LogApplication(Application[str]):
    """The log of a store as an application of the `eventsourcing` library, which only reads.

    It takes its settings from the environment that it is given, its class (`env`) or the process:
    ``DELTAMARK_STORE``, the URL of the store; ``DELTAMARK_SNAPSHOTS``, whether snapshots stand for discarded
    changes (``n``); ``DELTAMARK_POLL_INTERVAL``, the seconds between two looks of a subscription at the log (as
    soon as a server announces something, and ten times a second where the store is a file).

    - `repository.get(stream)` returns a `Resource`, a `Link` or a `JobRun`, `repository.get(stream, version=3)` what it
      was.
    - `notification_log` and `recorder.select_notifications` give stored events by position, `mapper.to_domain_event`
      makes one of the classes of this module of them.
    - `ApplicationSubscription(application, gt=position)` and `ProjectionRunner(application_class=LogApplication, …)`
      follow the log.

    Notification ids are positions, originator ids are streams: numbers written as text. Everything that would write
    raises the library's `ProgrammingError`. Views keep their places under the `name` of the application: give a
    subclass to each store, if one view follows several.

    :raises UsageError: if a setting is missing or wrong.
    :raises StoreError: if the store cannot be opened.
    """

    name = "Deltamark"

    def construct_factory(self, env: Environment) -> InfrastructureFactory[TrackingRecorder]:
        """Returns the factory that opens the store, whatever the environment says of other persistence modules."""
        return LogFactory(env)

    def construct_mapper(self) -> Mapper[str]:
        """Returns the mapper of a log."""
        return ChangeMapper()

    def construct_repository(self) -> Repository[str]:
        """Returns the repository, which keeps no aggregates: others may write at any time."""
        return LogRepository(self.events)

    def resource_id(self, entity_type: str, key: str) -> str:
        """The stream of a resource, also of a deleted one.

        :raises AggregateNotFoundError: if there never was such a resource, or it was erased.
        """
        ref = ResourceRef(entity_type, key)
        with self._store.reading() as reading:
            return _found(reading.stream_of(ref), f"resource {shown(str(ref))}")

    def link_id(self, link: LinkRef) -> str:
        """The stream of a link, also of one that was removed.

        :raises AggregateNotFoundError: if there never was such a link, or an end of it was erased.
        """
        with self._store.reading() as reading:
            return _found(reading.stream_of_link(link), f"link {link.association} of {link.source} to {link.target}")

    def run_id(self, number: int) -> str:
        """The stream of a run.

        :raises AggregateNotFoundError: if there is no such run.
        """
        with self._store.reading() as reading:
            return _found(reading.stream_of_run(number), f"run {number}")

    @property
    def _store(self) -> bootstrap.AnyStore:
        assert isinstance(self.factory, LogFactory)
        return self.factory.store

    def save(self, *objs: Any, **kwargs: Any) -> list[Recording[str]]:
        """Refuses.

        :raises ProgrammingError: always.
        """
        refuse_writing()

    def take_snapshot(self, *args: Any, **kwargs: Any) -> None:
        """Refuses.

        :raises ProgrammingError: always.
        """
        refuse_writing()


def _found(stream: int | None, what: str) -> str:
    if stream is None:
        raise AggregateNotFoundError(f"the store has no {what}.")
    return str(stream)


def application(url: str, *, snapshots: bool = False, poll_interval: float | None = None) -> LogApplication:
    """Opens the log of a store as an application of the `eventsourcing` library, which only reads.

    Use it in a `with` block or call `close`.

    :param url: as for `Engine.open`; the store must be there.
    :param snapshots: whether the log has snapshots where changes were discarded: each resource and link whose changes
        were discarded has one, at the position of the newest of them. Otherwise `NotificationsDiscarded` is raised
        where a reader would miss changes.
    :param poll_interval: seconds between two looks of a subscription at the log; None: as soon as a server announces
        something, and ten times a second where the store is a file.
    :raises UsageError: for an argument of a wrong type.
    :raises StoreError: if the store cannot be opened.
    """
    arguments.text("url, the URL of a store such as sqlite:///deltamark.db,", url)
    env = {LogFactory.STORE: url, LogFactory.SNAPSHOTS: "y" if arguments.boolean("snapshots", snapshots) else "n"}
    seconds = arguments.optional_seconds("poll_interval", poll_interval)
    env[LogFactory.POLL_INTERVAL] = "" if seconds is None else repr(seconds)
    return LogApplication(env)
