"""Explains flags: the changes for which a resource was flagged, and the paths to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.derivation.due import DueValues
from deltamark.application.derivation.workload import Share
from deltamark.application.history.history import RunNames
from deltamark.application.lookup import resource_not_found
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Place
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import Dependency, Hop
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.explanation import Explanation, FlagCause
from deltamark.domain.derivation.plan import Plan, Planned
from deltamark.domain.history.changes import AnyChange, Position
from deltamark.domain.resources.resource import Created, Deleted, ResourceEvent, ResourceRef


def explanation(
    reading: Reading, plan: Plan, tasks: Iterable[ComputingTask], consumers: Sequence[ComputingTask], ref: ResourceRef
) -> Explanation:
    """Why each task would compute a resource now, or since when its values are up to date.

    :param tasks: all computing tasks of the configuration.
    :param consumers: those that are asked about.
    :raises UsageError: if the resource never existed.
    """
    stream, resource = reading.stream_of(ref), reading.resource(ref)
    if stream is None:
        raise resource_not_found(reading, ref)
    assert resource is not None, "a resource with a stream exists, or did"
    streams = pa.array([stream], pa.int64())
    search = CauseSearch(reading, ref.entity_type, streams)
    values = DueValues(reading, plan, tasks)
    followed = _Following(values, reading)
    flagged_to = reading.flagged_to()
    causes: list[FlagCause] = []
    shares: list[Share] = []
    for consumer in consumers:
        of_consumer = [share for share, _ in values.due(consumer, ref.entity_type)]
        own = [*_causes(consumer, _outdated(values.due(consumer, ref.entity_type), stream), of_consumer, search)]
        causes += [*own, *_removals(consumer, values, ref.entity_type, stream)]
        causes += followed.causes(consumer, of_consumer, streams, {_what(cause) for cause in own})
        shares += of_consumer
    causes.sort(key=lambda cause: (cause.position, len(cause.through), cause.task, cause.path, cause.property or ""))
    clean = min((max(share.place.position, flagged_to) for share in shares), default=None)
    return Explanation(
        ref=ref,
        live=resource.live,
        causes=causes,
        derives=bool(shares),
        clean_since=None if causes else clean,
        flagged_to=flagged_to,
        unflagged=len(followed.unflagged([share.planned for share in shares], streams, flagged_to)),
        all_flagged=not reading.changed_since(flagged_to),
    )


def _outdated(due: Sequence[tuple[Share, pa.Table]], stream: int) -> list[Share]:
    """The shares that compute a resource because they compute all."""
    return [share for share, table in due if share.outdated_reason is not None and _holds(table, stream)]


def _holds(table: pa.Table, stream: int) -> bool:
    return bool(pc.any(pc.equal(table.column("stream"), stream)).as_py())


def _causes(
    consumer: ComputingTask, outdated: Sequence[Share], shares: Sequence[Share], search: CauseSearch
) -> Iterator[FlagCause]:
    reasons: dict[str, list[Derivation]] = {}
    for share in outdated:
        reasons.setdefault(share.outdated_reason or "", []).append(share.planned.derivation)
    for reason, derivations in reasons.items():
        is_all = len(derivations) == len(shares)
        what = "everything is computed" if is_all else f"computes {_listed(derivations)} of all resources"
        yield _without_change(consumer, _names(derivations), f"{what}: {reason}")
    for dependency, causes in _flags(shares, search).items():
        for position, (change, derivations) in causes.items():
            yield FlagCause(
                task=consumer.identifier,
                path=".".join(dependency.path),
                property=dependency.property,
                position=position,
                change=search.names.named(position, change) if change is not None else None,
                computes=_names(derivations),
                reason=_reason(dependency, change, derivations),
            )


def _removals(consumer: ComputingTask, values: DueValues, entity_type: str, stream: int) -> Iterator[FlagCause]:
    names = [rule.name for rule, table in values.obsolete(consumer, entity_type) if _holds(table, stream)]
    if names:
        yield _without_change(consumer, names, f"nothing computes {', '.join(names)} any more: the value is removed")


def _without_change(
    consumer: ComputingTask, computes: Iterable[str], reason: str, *, path: str = "", through: Iterable[str] = ()
) -> FlagCause:
    return FlagCause(
        task=consumer.identifier,
        path=path,
        property=None,
        position=0,
        change=None,
        computes=tuple(computes),
        reason=reason,
        through=tuple(through),
    )


_Causes: TypeAlias = dict[Position, tuple[AnyChange | None, list[Derivation]]]
"""The changes that a dependency reaches, each with the derivations that do not reflect it yet."""


def _flags(shares: Sequence[Share], search: CauseSearch) -> dict[Dependency, _Causes]:
    """The dependencies for which the resource is flagged, with the changes that caused it."""
    readers: dict[Place, dict[Dependency, list[Derivation]]] = {}
    for share in shares:
        if share.outdated_reason is None:
            for dependency in share.planned.dependencies:
                derivations = readers.setdefault(share.place, {}).setdefault(dependency, [])
                derivations.append(share.planned.derivation)
    flags: dict[Dependency, _Causes] = {}
    for place, readings in readers.items():
        for dependency, since in search.flags(list(readings), place.flag, place.position):
            causes = flags.setdefault(dependency, {})
            changes: dict[Position, AnyChange | None] = dict(search.changes(dependency, place.position, since))
            for position, change in ({since: None} | changes).items():
                causes.setdefault(position, (change, []))[1].extend(readings[dependency])
    return flags


def _reason(dependency: Dependency, change: AnyChange | None, derivations: Sequence[Derivation]) -> str:
    if change is None:
        return "the log no longer holds the change, or the change was reached over other links then"
    if dependency.property is not None:
        return f"{dependency} is read by {_listed(derivations)}"
    if dependency.hops:
        return f"the links of {dependency} are followed by {_listed(derivations)}"
    return "the resource was created or deleted"


def _names(derivations: Sequence[Derivation]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(derivation.name for derivation in derivations))


_MOST_LISTED = 3


def _listed(derivations: Sequence[Derivation]) -> str:
    names = list(
        dict.fromkeys(
            item.name if item.kind is DerivationKind.PROPERTY else f"rule {item.name}" for item in derivations
        )
    )
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(names[:_MOST_LISTED]) + more


class CauseSearch:
    """Finds the changes that some resources of one entity type reach over the paths of their dependencies."""

    def __init__(self, reading: Reading, entity_type: str, streams: pa.Array, names: RunNames | None = None) -> None:
        self.entity_type = entity_type
        self.names = names or RunNames(reading)
        self._reading = reading
        self._streams = streams
        self._reached: dict[tuple[Hop, ...], pa.Array] = {(): streams}

    def flags(
        self, dependencies: Sequence[Dependency], after: int, beyond: Position
    ) -> Iterable[tuple[Dependency, Position]]:
        """The dependencies for which one of the resources is flagged, each with the position of the first flag."""
        flags = self._reading.flagged(dependencies, after, beyond)
        own = flags.filter(pc.is_in(flags.column("stream"), self._streams))
        first = own.group_by(["dependency"]).aggregate([("since", "min")]).sort_by("dependency")
        return [(dependencies[row["dependency"]], row["since_min"]) for row in first.to_pylist()]

    def changes(
        self, dependency: Dependency, after: Position, since: Position | None = None
    ) -> Iterator[tuple[Position, AnyChange]]:
        """The changes that the dependency reaches now, after a position, as far as was flagged.

        :param since: a position that counts as flagged in any case; None for the whole log.
        """
        until = None if since is None else max(since, self._reading.flagged_to())
        if dependency.property is None and dependency.hops:
            near = self.reached(dependency.hops[:-1])
            changes: Iterable[tuple[Position, AnyChange]] = self._reading.link_changes_at(
                dependency.hops[-1], near, after
            )
        else:
            streams = self.reached(dependency.hops)
            changes = (
                (position, event)
                for position, event in self._reading.changes_of(streams, after)
                if _touches(event, dependency.property)
            )
        return ((position, event) for position, event in changes if until is None or position <= until)

    def reached(self, hops: tuple[Hop, ...]) -> pa.Array:
        """The streams to which hops lead from the resources, over the present links."""
        if hops not in self._reached:
            links = self._reading.ends(hops[-1], self.reached(hops[:-1]))
            self._reached[hops] = links.column("far").combine_chunks().unique()
        return self._reached[hops]


@frozen(kw_only=True)
class _Step:
    """A derivation of some resources on the way from the resource that is explained, over computed values.

    :param path: the way to them.
    :param through: the computed values on the way, nearest first.
    """

    planned: Planned
    streams: pa.Array
    path: tuple[str, ...] = ()
    through: tuple[str, ...] = ()


class _Following:
    """Finds the changes that reach a resource over computed values that are about to be computed.

    It goes from each value that follows to those that it reads, and visits each value once, over the shortest way.
    """

    def __init__(self, values: DueValues, reading: Reading) -> None:
        self._values = values
        self._reading = reading
        self._names = RunNames(reading)

    def causes(
        self, consumer: ComputingTask, shares: Sequence[Share], streams: pa.Array, known: Collection[tuple[object, ...]]
    ) -> Iterator[FlagCause]:
        """The causes for which values of a task may follow, each over the shortest way only.

        :param known: causes that are told already (`_what`).
        """
        found: dict[tuple[object, ...], list[tuple[FlagCause, Derivation, str]]] = {}
        for share in shares:
            if share.outdated_reason is None:
                for cause, what in self._of_share(consumer, share, streams):
                    if _what(cause) not in known:
                        found.setdefault(_what(cause), []).append((cause, share.planned.derivation, what))
        for ways in found.values():
            cause, _, what = min(ways, key=lambda way: len(way[0].through))
            nearest = [derivation for other, derivation, _ in ways if other.through == cause.through]
            follow = ", which may follow ".join(cause.through)
            yield evolve(
                cause,
                computes=_names([derivation for _, derivation, _ in ways]),
                reason=f"{what}; {_listed(nearest)} may follow {follow}",
            )

    def unflagged(self, start: Iterable[Planned], streams: pa.Array, flagged_to: Position) -> set[Position]:
        """The positions of changes beyond what was flagged that some derivations read, also over computed values."""
        positions: set[Position] = set()
        if self._reading.changed_since(flagged_to):
            for planned in start:
                for step in self._steps(_Step(planned=planned, streams=streams), is_due_only=False):
                    search = self._search(step)
                    for dependency in step.planned.dependencies:
                        positions |= {position for position, _ in search.changes(dependency, flagged_to)}
        return positions

    def _of_share(self, consumer: ComputingTask, share: Share, streams: pa.Array) -> Iterator[tuple[FlagCause, str]]:
        """The causes of one value, each with the beginning of its reason."""
        start = _Step(planned=share.planned, streams=streams)
        for step in self._steps(start, is_due_only=True):
            yield from self._of_removals(consumer, step)
            if step is start:
                continue
            read = step.through[-1]
            makers = self._makers(step.planned)
            for outdated in filter(None, dict.fromkeys(maker.outdated_reason for maker in makers)):
                what = f"{read} is computed of all resources: {outdated}"
                yield _without_change(consumer, (), "", path=".".join(step.path), through=step.through), what
            search = self._search(step)
            for dependency, causes in _flags(makers, search).items():
                for position, (change, _) in causes.items():
                    cause = FlagCause(
                        task=consumer.identifier,
                        path=".".join((*step.path, *dependency.path)),
                        property=dependency.property,
                        position=position,
                        change=search.names.named(position, change) if change is not None else None,
                        reason="",
                        through=step.through,
                    )
                    yield cause, _change_of(cause, dependency, read)

    def _makers(self, planned: Planned) -> Sequence[Share]:
        """The shares that will change a computed value.

        Of several tasks that compute it, those of the one that is furthest: what it has not seen, none has. Of all
        while it reads what changed and is not flagged: then each may find another value.
        """
        of_tasks = list(self._values.makers(planned))
        return [*chain(*of_tasks)] if self._values.reads_unflagged(planned) else max(of_tasks, key=_furthest)

    def _of_removals(self, consumer: ComputingTask, step: _Step) -> Iterator[tuple[FlagCause, str]]:
        """The causes that a value reads properties which are about to be removed."""
        search = self._search(step)
        for dependency in step.planned.dependencies:
            removed = self._values.removed(dependency.leads_to, dependency.property or "")
            if not removed.num_rows:
                continue
            reached = search.reached(dependency.hops)
            if pc.any(pc.is_in(reached, removed.column("stream").combine_chunks())).as_py():
                path = (*step.path, *dependency.path)
                name = ".".join((*path, dependency.property or ""))
                cause = _without_change(consumer, (), "", path=".".join(path), through=(*step.through, name))
                yield cause, f"nothing computes {name} any more: its value is removed"

    def _steps(self, start: _Step, *, is_due_only: bool) -> Iterator[_Step]:
        """A step, and all steps over computed values beyond it, each value once.

        :param is_due_only: whether only over values that may change when the tasks run.
        """
        visited: dict[tuple[str, str | None], pa.Array] = {}
        waiting = deque([start])
        while waiting:
            step = waiting.popleft()
            yield step
            for dependency in step.planned.dependencies:
                planned = self._values.computed_by(dependency)
                if planned is None:
                    continue
                reached = self._search(step).reached(dependency.hops)
                if is_due_only:
                    may_change = self._values.may_change(dependency.leads_to, dependency.property or "")
                    reached = reached.filter(pc.is_in(reached, may_change.column("stream").combine_chunks()))
                value = (dependency.leads_to, dependency.property)
                seen = visited.get(value, pa.array([], pa.int64()))
                new = reached.filter(pc.invert(pc.is_in(reached, seen)))
                if len(new):
                    visited[value] = pa.concat_arrays([seen, new])
                    path = (*step.path, *dependency.path)
                    name = ".".join((*path, dependency.property or ""))
                    waiting.append(_Step(planned=planned, streams=new, path=path, through=(*step.through, name)))

    def _search(self, step: _Step) -> CauseSearch:
        return CauseSearch(self._reading, step.planned.derivation.entity_type, step.streams, self._names)


def _what(cause: FlagCause) -> tuple[object, ...]:
    """What a cause tells of: a change at the end of a path, or that everything there is computed."""
    return cause.path, cause.property, cause.position


def _furthest(shares: Sequence[Share]) -> tuple[bool, Position]:
    return all(share.outdated_reason is None for share in shares), min(share.place.position for share in shares)


def _change_of(cause: FlagCause, dependency: Dependency, read: str) -> str:
    """The beginning of a reason: what changed, and how the computed value depends on it."""
    if cause.change is None:
        return f"the log no longer holds the change for which {read} is computed, or it was reached over other links"
    if dependency.property is not None:
        return f"{'.'.join(name for name in (cause.path, cause.property) if name)} is read by {read}"
    if dependency.hops:
        return f"the links of {cause.path} are followed by {read}"
    return f"the resource of {read} was created or deleted"


def _touches(event: ResourceEvent, name: str | None) -> bool:
    is_existence = isinstance(event, Created | Deleted)
    return is_existence if name is None else not is_existence and name in event.changes
