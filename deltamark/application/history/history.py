"""Reads the log: changes, the history of one resource, the state at a past moment."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import reduce
from itertools import groupby, starmap
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from attrs import evolve, frozen

from deltamark.application.history.grounds import EXPLAINED_BY_ROW, GroundsOfChanges
from deltamark.application.history.model import TypeModel
from deltamark.application.lookup import resource_not_found
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import ChangeBatch, Narrowing, RunSummary
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import HistoryDiscarded, RunNotFound, UsageError, exactly
from deltamark.domain.history.changes import (
    AnyChange,
    ChangeKind,
    Horizon,
    LoggedChange,
    Position,
    RunMoment,
    When,
    subject_of,
)
from deltamark.domain.messages import ADOPT
from deltamark.domain.resources.events import ADOPTION
from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import Computed, Resource, ResourceEvent, ResourceRef, fold
from deltamark.domain.runs.run import JobRun, Operator, TriggerKind
from deltamark.domain.values import Values

_State = TypeVar("_State")


def position_of(reading: Reading, when: When) -> Position:
    """The position that a moment names.

    :raises UsageError: for a position beyond the log, a time without zone, a run that does not exist or has not ended.
    """
    match when:
        case RunMoment():
            summary = _newest_ended(reading) if when.run is None else _run(reading, when.run)
            number = summary.run.number
            if summary.run.ended_at is None:
                raise UsageError(f"run {number} has not ended. Name a run that has, or a position.")
            return summary.last
        case datetime():
            if when.tzinfo is None:
                raise UsageError(f"{when.isoformat()} has no time zone. Write {when.isoformat()}Z for UTC.")
            return reading.position_at(when)
    head = reading.head()
    if not 0 <= when <= head:
        raise UsageError(f"position {when} is not in the log, which ends at {head}.")
    return when


def _newest_ended(reading: Reading) -> RunSummary:
    before = None
    while runs := reading.runs_before(before, 20):
        ended = next((summary for summary in runs if summary.run.ended_at is not None), None)
        if ended is not None:
            return ended
        before = runs[-1].run.number
    raise UsageError("no run has ended yet. Run a job first, or name a position.")


_A_SECOND = timedelta(seconds=1)


def refuse_future(reading: Reading, when: When | None, now: datetime) -> None:
    """Refuses a time that is still to come: what will be true then is not known.

    A time in the present second is none: it may mean its end.

    :raises UsageError: if it is one.
    """
    if not isinstance(when, datetime) or when.tzinfo is None or when <= now + _A_SECOND:
        return
    head = reading.head()
    newest = reading.time_of(head) if head else None
    if newest is not None and when <= newest:  # the clock of who wrote it was ahead of this one
        return
    known = "the log is empty" if newest is None else f"the newest change is at {exactly(newest)}, position {head}"
    raise UsageError(f"{when.isoformat()} is in the future: it is {exactly(now)} now, and {known}.")


def _run(reading: Reading, number: int) -> RunSummary:
    summary = reading.run(number, with_rows=False)
    if summary is None:
        known = reading.runs(newest=1)
        raise RunNotFound(number, newest=known[0].run.number if known else None)
    return summary


def horizons_of(reading: Reading, configuration: Configuration, entity_type: str | None) -> list[Horizon]:
    """The horizons of an entity type and of its links.

    None means all. One of an association of which neither the configuration nor the store has anything is one of any.
    """
    horizons = reading.horizons()
    if entity_type is None or not horizons:
        return horizons
    ends: dict[str, set[str]] = {}
    for association in (*reading.stored_associations(), *configuration.associations):
        found = (association.property1.entity_type, association.property2.entity_type)
        ends.setdefault(association.identifier, set()).update(found)
    others = set(reading.stored_entity_types()) - {entity_type}
    return [
        horizon
        for horizon in horizons
        if horizon.subject == entity_type
        or (entity_type in ends[horizon.subject] if horizon.subject in ends else horizon.subject not in others)
    ]


def horizon_of(reading: Reading, configuration: Configuration, entity_type: str | None) -> Horizon | None:
    """The highest horizon of an entity type and of its links.

    None means of all.
    """
    horizons = horizons_of(reading, configuration, entity_type)
    return max(horizons, key=lambda horizon: horizon.position, default=None)


def moment(reading: Reading, configuration: Configuration, entity_type: str, at: When | None) -> Position | None:
    """The position of a moment at which an entity type is read, or None for the present.

    :raises HistoryDiscarded: if the moment lies below the horizon of the entity type.
    """
    if at is None:
        return None
    position = position_of(reading, at)
    refuse_below(horizon_of(reading, configuration, entity_type), position)
    return position


def positions_to_compare(
    reading: Reading, configuration: Configuration, entity_type: str, from_: When, to: When
) -> tuple[Position, Position]:
    """The positions of two moments between which resources of an entity type are compared.

    :raises HistoryDiscarded: if one of them lies below the horizon of the entity type.
    """
    start, end = position_of(reading, from_), position_of(reading, to)
    refuse_below(horizon_of(reading, configuration, entity_type), min(start, end))
    return start, end


def refuse_below(horizon: Horizon | None, position: Position) -> None:
    """Raises `HistoryDiscarded` for a position below the horizon."""
    if horizon is not None and position < horizon.position:
        refuse(horizon)


def refuse(horizon: Horizon | None) -> None:
    """Raises `HistoryDiscarded` if there is a horizon."""
    if horizon is not None:
        raise HistoryDiscarded(horizon.connector, horizon.position, horizon.run, horizon.task)


@frozen(kw_only=True)
class ChangeFilter:
    """Admits changes that are all that it names; None admits all.

    :param user: an account, or the person for whom a run was made.
    :param computed: only values that were computed of these properties, by entity type and name.
    :param fed: only changes of resources of these entity types and of links of these associations that no task
        computed: what a connector feeds.
    """

    entity_type: str | None = None
    key: str | None = None
    run: int | None = None
    task: str | None = None
    user: str | None = None
    property: str | None = None
    association: str | None = None
    computed: frozenset[tuple[str, str]] | None = None
    fed: frozenset[str] | None = None
    kind: ChangeKind | None = None

    def admits(self, event: AnyChange) -> bool:
        """Whether a change passes the filter as far as that does not depend on the record of its run.

        A change of a link passes by either end.
        """
        if self.run is not None and event.cause.run != self.run:
            return False
        if self.kind is not None and not self.kind.admits(event):
            return False
        if self.fed is not None and (isinstance(event, Computed) or subject_of(event) not in self.fed):
            return False
        if isinstance(event, ResourceEvent):
            return self.association is None and self._names(event.ref) and self._has_value(event)
        if self.property is not None or self.computed is not None:
            return False
        if self.association is not None and event.ref.association != self.association:
            return False
        return self._names(event.ref.source) or self._names(event.ref.target)

    def admits_origin(self, change: LoggedChange) -> bool:
        """Whether a change passes the filter as far as that depends on the record of its run."""
        if self.task is not None and change.task != self.task:
            return False
        return self.user is None or self.user in (change.user, change.by)

    def _names(self, ref: ResourceRef) -> bool:
        return self.entity_type in (None, ref.entity_type) and self.key in (None, ref.key)

    def _has_value(self, event: ResourceEvent) -> bool:
        if self.property is not None and self.property not in event.changes:
            return False
        if self.computed is None:
            return True
        return isinstance(event, Computed) and any(
            (event.ref.entity_type, name) in self.computed for name in event.changes if self.property in (None, name)
        )


class RunNames:
    """Adds the names of job, task, user and file to changes, from the records of their runs."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._runs: dict[int, JobRun] = {}
        self._names: dict[tuple[int, int, str], _TaskNames] = {}
        self._grounds = GroundsOfChanges(reading)

    def admitted(self, changes: Iterator[tuple[Position, AnyChange]], admitted: ChangeFilter) -> Iterator[LoggedChange]:
        """The changes that a filter admits, with their names."""
        if admitted == ChangeFilter():
            return starmap(self.named, changes)
        named = (self.named(position, event) for position, event in changes if admitted.admits(event))
        return (change for change in named if admitted.admits_origin(change))

    def named(self, position: Position, event: AnyChange) -> LoggedChange:
        """The change with its names."""
        cause, subject = event.cause, subject_of(event)
        names = self._names.get((cause.run, cause.task, subject)) or self._read(cause.run, cause.task, subject)
        file = names.file
        grounds = None
        if event.__class__ not in EXPLAINED_BY_ROW:
            grounds = self._grounds.of(position, event, names.run, file)
        caller, trigger = (names.caller, names.trigger) if names.caller else names.run.caller_at(event.at)
        return LoggedChange(
            position=position,
            event=event,
            run=cause.run,
            job=names.job,
            task=names.task,
            user=caller.user,
            trigger=trigger,
            file=None if cause.line is None else file,
            by=caller.by,
            reason=caller.reason,
            grounds=grounds,
        )

    def of(self, run: int, task: int, subject: str, at: datetime) -> OriginNames:
        """The names for the changes that a task made at a time to an entity type or association."""
        names = self._names.get((run, task, subject)) or self._read(run, task, subject)
        caller, trigger = (names.caller, names.trigger) if names.caller else names.run.caller_at(at)
        return OriginNames(
            job=names.job,
            task=names.task,
            user=caller.user,
            trigger=trigger.value,
            by=caller.by,
            reason=caller.reason,
            file=names.file,
        )

    def _read(self, number: int, ordinal: int, subject: str) -> _TaskNames:
        """The names of a task for changes of an entity type or association, read once."""
        if number not in self._runs:
            self._runs[number] = _run(self._reading, number).run
        run = self._runs[number]
        task = run.task(ordinal)
        names = _TaskNames(
            run=run,
            job=run.job,
            task=task.identifier,
            file=next((read.file for read in task.extracts if read.subject == subject), None),
            caller=None if run.resumed else run.starter,
            trigger=run.trigger.kind,
        )
        self._names[number, ordinal, subject] = names
        return names


class OriginNames(NamedTuple):
    """What the record of a run adds to changes, under the names of their columns."""

    job: str
    task: str
    user: str
    trigger: str
    by: str | None
    reason: str | None
    file: str | None


class _TaskNames(NamedTuple):
    """The names for the changes that one task made to one entity type or association.

    :param caller: None where the run was resumed, so that the time of a change decides.
    """

    run: JobRun
    job: str
    task: str
    file: str | None
    caller: Operator | None
    trigger: TriggerKind


def kept_changes(
    reading: Reading,
    configuration: Configuration,
    after: Position,
    until: When | None,
    admitted: ChangeFilter,
    *,
    kept_only: bool,
    newest_first: bool = False,
) -> Iterator[LoggedChange]:
    """The changes that a filter admits, oldest first or newest first.

    :param kept_only: leaves out what was discarded instead of raising `HistoryDiscarded`.
    :raises HistoryDiscarded: if `after` lies below the horizon of what the filter admits.
    :raises UsageError: for a position, moment or run that does not exist.
    """
    last = _kept_until(reading, configuration, after, until, admitted, kept_only=kept_only)
    narrowing = narrowed(reading, admitted)
    return changes(reading, after, last, admitted, narrowing=narrowing, newest_first=newest_first)


def kept_change_batches(
    reading: Reading,
    configuration: Configuration,
    after: Position,
    until: When | None,
    at_most: int,
    *,
    kept_only: bool,
) -> Iterator[tuple[ChangeBatch, list[OriginNames]]]:
    """All changes in columns, oldest first, each batch with the names for its origins (see `kept_changes`)."""
    last = _kept_until(reading, configuration, after, until, ChangeFilter(), kept_only=kept_only)
    run_names = RunNames(reading)
    for batch in reading.change_batches(after, last, at_most):
        yield batch, [run_names.of(*origin) for origin in batch.origins]


def _kept_until(
    reading: Reading,
    configuration: Configuration,
    after: Position,
    until: When | None,
    admitted: ChangeFilter,
    *,
    kept_only: bool,
) -> Position | None:
    """The position of the last moment, after a check that nothing beyond `after` was discarded."""
    last = None if until is None else position_of(reading, until)
    position_of(reading, after)
    if not kept_only:
        refuse(horizon_of_changes(reading, configuration, admitted, after))
    return last


def horizon_of_changes(
    reading: Reading, configuration: Configuration, admitted: ChangeFilter, after: Position
) -> Horizon | None:
    """The highest horizon of what a filter admits beyond a position, or None if nothing of it was discarded."""
    horizons = horizons_of(reading, configuration, admitted.entity_type)
    if admitted.association is not None:
        horizons = [horizon for horizon in horizons if horizon.subject == admitted.association]
    if admitted.fed is not None:
        horizons = [horizon for horizon in horizons if horizon.subject in admitted.fed]
    if admitted.run is not None and not after:
        summary = reading.run(admitted.run, with_rows=False)
        if summary is None:
            return None
        horizons = [horizon for horizon in horizons if _changed(summary.run, horizon.subject)]
        after = summary.first
    horizon = max(horizons, key=lambda horizon: horizon.position, default=None)
    return horizon if horizon is not None and horizon.position > after else None


def _changed(run: JobRun, subject: str) -> bool:
    return any(read.subject == subject and task.counts.changed for task in run.tasks for read in task.extracts)


_NEAR = 2_000
"""Spans of the log between which lie no more positions are read as one."""


def _narrowing(admitted: ChangeFilter) -> Narrowing:
    """What a filter says of changes beforehand."""
    properties = {name for _, name in admitted.computed or ()} if admitted.property is None else {admitted.property}
    return Narrowing(
        entity_type=admitted.entity_type,
        association=admitted.association,
        properties=tuple(sorted(properties)) if len(properties) <= _MOST_LOOKED_FOR else (),
        is_computed=admitted.computed is not None,
        fed=admitted.fed,
        kind=admitted.kind,
    )


_MOST_LOOKED_FOR = 20


def narrowed(reading: Reading, admitted: ChangeFilter) -> Narrowing:
    """What a filter says of changes beforehand, with the runs and tasks that it admits."""
    return _with_runs(reading, _narrowing(admitted), admitted)


def _with_runs(reading: Reading, narrowing: Narrowing, admitted: ChangeFilter) -> Narrowing:
    """Narrows to the runs and tasks that the filter admits."""
    if admitted.task is None and admitted.user is None:
        return narrowing
    adopted = {event.run for _, event in reading.adoptions()} if admitted.task == ADOPT else set()
    spans: list[tuple[Position, Position]] = []
    ordinals: set[int] = set()
    for summary in reading.run_starts():
        run = summary.run
        if admitted.user is not None and not any(admitted.user in names for names in callers_of(run)):
            continue
        if admitted.task is not None:
            called = {task.ordinal for task in run.calls_of(admitted.task)}
            called |= {ADOPTION} if run.number in adopted else set()
            if not called:
                continue
            ordinals |= called
        first = summary.first - 1
        if spans and first - spans[-1][1] <= _NEAR:
            spans[-1] = spans[-1][0], max(spans[-1][1], summary.last)
        else:
            spans.append((first, summary.last))
    return evolve(
        narrowing,
        spans=tuple(spans) or ((0, 0),),
        ordinals=tuple(sorted(ordinals)) if len(ordinals) <= _MOST_LOOKED_FOR else (),
    )


def callers_of(run: JobRun) -> Iterator[tuple[str, str | None]]:
    """The accounts that started and resumed a run, each with the person for whom they did."""
    for operator in (run.starter, *(resumption.operator for resumption in run.resumed)):
        yield operator.user, operator.by


def bounds(
    reading: Reading, after: Position, until: Position | None, admitted: ChangeFilter
) -> tuple[Position, Position]:
    """The positions between which changes that a filter admits may lie: exclusive, inclusive.

    :raises RunNotFound: if the filter names a run that does not exist.
    """
    last = reading.head() if until is None else until
    if admitted.run is None:
        return after, last
    summary = _run(reading, admitted.run)
    return max(after, summary.first), min(last, summary.last)


def changes(
    reading: Reading,
    after: Position,
    until: Position | None,
    admitted: ChangeFilter,
    narrowing: Narrowing | None = None,
    *,
    newest_first: bool = False,
) -> Iterator[LoggedChange]:
    """The changes that a filter admits, oldest first or newest first.

    :param narrowing: what is known of them beforehand.
    """
    first, last = bounds(reading, after, until, admitted)
    names = RunNames(reading)
    if admitted.key is not None:
        between = changes_of_key(reading, admitted, first, last, newest_first=newest_first)
    else:
        narrowing = None if admitted == ChangeFilter() else narrowing or _narrowing(admitted)
        between = reading.changes(first, last, narrowing, newest_first=newest_first)
    return names.admitted(between, admitted)


def changes_of_key(
    reading: Reading, admitted: ChangeFilter, after: Position, until: Position, *, newest_first: bool
) -> Iterator[tuple[Position, AnyChange]]:
    """The changes of the resources of a key, and of their links: of one entity type, or of all that have such a key."""
    key = admitted.key or ""
    types = reading.stored_entity_types() if admitted.entity_type is None else [admitted.entity_type]
    if len(types) == 1 and not newest_first:
        history = history_of(reading, ResourceRef(types[0], key))
        return ((position, event) for position, event in history if after < position <= until)
    found = (reading.stream_of(ResourceRef(entity_type, key)) for entity_type in types)
    streams = [stream for stream in found if stream is not None]
    return reading.changes_at(streams, after, until, newest_first=newest_first)


class Folded(NamedTuple, Generic[_State]):
    """What changes were folded to.

    :param position: the changes up to there are folded.
    """

    result: _State
    position: Position


def folded(
    reading: Reading,
    configuration: Configuration,
    initial: _State,
    function: Callable[[_State, LoggedChange], _State],
    after: Position,
    until: When | None,
    admitted: ChangeFilter,
    *,
    kept_only: bool,
) -> Folded[_State]:
    """The changes that a filter admits, folded with a function, oldest first (see `kept_changes`).

    :raises UsageError: if the last moment lies before the first.
    """
    last = reading.head() if until is None else position_of(reading, until)
    if last < after:
        raise UsageError(f"the changes up to position {last} lie before position {after}: there is nothing to fold.")
    changes = kept_changes(reading, configuration, after, last, admitted, kept_only=kept_only)
    return Folded(reduce(function, changes, initial), last)


def resource_history(
    reading: Reading,
    configuration: Configuration,
    ref: ResourceRef,
    *,
    after: Position,
    until: When | None,
    kept_only: bool,
) -> list[LoggedChange]:
    """The changes of one resource and of its links, oldest first (see `kept_changes`).

    :raises UsageError: if there never was such a resource.
    """
    own = ChangeFilter(entity_type=ref.entity_type, key=ref.key)
    changes = list(kept_changes(reading, configuration, after, until, own, kept_only=kept_only))
    if not changes and reading.resource(ref) is None:
        raise resource_not_found(reading, ref)
    return changes


def erased_changes(reading: Reading, after: When, until: When | None, run: int | None) -> dict[int, int]:
    """How many changes between two moments were erased: run of the erasure -> count.

    :raises UsageError: for a moment that does not exist.
    """
    first = position_of(reading, after)
    last = reading.head() if until is None else position_of(reading, until)
    return reading.erased_between(first, last, run)


def history_of(reading: Reading, ref: ResourceRef) -> Iterator[tuple[Position, AnyChange]]:
    """One resource's own changes and those of its links, oldest first."""
    own = ((position, fact) for position, fact in reading.facts(ref) if isinstance(fact, ResourceEvent))
    return heapq.merge(own, reading.link_changes_of(ref), key=itemgetter(0))


def resource_at_moment(
    reading: Reading, configuration: Configuration, ref: ResourceRef, at: When | None
) -> Resource | None:
    """A resource now or as it was, or None where it did not exist.

    :raises HistoryDiscarded: if the moment lies below the horizon.
    """
    resource = resource_at(reading, ref, moment(reading, configuration, ref.entity_type, at))
    return resource if resource is not None and resource.live else None


def resource_at(reading: Reading, ref: ResourceRef, position: Position | None) -> Resource | None:
    """A resource now or at a position, or None where there was none.

    A deleted one has `live` False.
    """
    if position is None:
        return reading.resource(ref)
    return fold(fact for _, fact in reading.facts(ref, position))


def links_at_moment(reading: Reading, configuration: Configuration, ref: ResourceRef, at: When | None) -> list[LinkRef]:
    """The links of a resource now or as they were, in both directions.

    :raises HistoryDiscarded: if the moment lies below the horizon.
    """
    return links_of(reading, ref, moment(reading, configuration, ref.entity_type, at))


def links_of(reading: Reading, ref: ResourceRef, position: Position | None) -> list[LinkRef]:
    """The links of a resource now or at a position, in both directions."""
    return reading.links_of(ref) if position is None else reading.links_of_at(ref, position)


@frozen(kw_only=True)
class ExportedResource:
    """A resource as an export gives it, with the keys of linked resources by association."""

    key: str
    values: Values
    links: dict[str, list[str]]


def exported(reading: Reading, model: TypeModel, position: Position | None) -> Iterator[ExportedResource]:
    """All resources of a type in key order, now or as they were at a position, with links that start there."""
    associations = [
        (association.identifier, _LinksByKey(_pairs(reading, association.identifier, position)))
        for association in model.associations
    ]
    for key, values in reading.states_at(model.entity_type, position):
        links = {name: ends for name, by_key in associations if (ends := by_key.of(key))}
        yield ExportedResource(key=key, values=values, links=links)


def _pairs(reading: Reading, association: str, position: Position | None) -> Iterator[tuple[str, str]]:
    return reading.links_from(association) if position is None else reading.links_at(association, position)


class _LinksByKey:
    """Links in key order, read along with resources in the same order."""

    def __init__(self, pairs: Iterator[tuple[str, str]]) -> None:
        self._groups = ((key, [target for _, target in group]) for key, group in groupby(pairs, key=itemgetter(0)))
        self._next = next(self._groups, None)

    def of(self, key: str) -> list[str]:
        """The other ends of the links of a key.

        Keys must be asked for in ascending order.
        """
        while self._next is not None and _utf8(self._next[0]) < _utf8(key):
            self._next = next(self._groups, None)
        return self._next[1] if self._next is not None and self._next[0] == key else []


def _utf8(text: str) -> bytes:
    """The order of the store: by the bytes of UTF-8."""
    return text.encode()
