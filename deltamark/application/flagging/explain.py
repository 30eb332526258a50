"""Explains flags: the changes for which a resource was flagged, and the paths to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.derivation.workload import Share, workload
from deltamark.application.history.history import RunNames
from deltamark.application.lookup import resource_not_found
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Place
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import Dependency, Hop
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.explanation import Explanation, FlagCause
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.history.changes import AnyChange, Position
from deltamark.domain.resources.resource import Created, Deleted, ResourceEvent, ResourceRef


def explanation(reading: Reading, plan: Plan, consumers: Sequence[ComputingTask], ref: ResourceRef) -> Explanation:
    """Why each task would compute a resource now, or since when its values are up to date.

    :raises UsageError: if the resource never existed.
    """
    stream, resource = reading.stream_of(ref), reading.resource(ref)
    if stream is None:
        raise resource_not_found(reading, ref)
    assert resource is not None, "a resource with a stream exists, or did"
    search = CauseSearch(reading, ref.entity_type, stream)
    flagged_to = reading.flagged_to()
    causes: list[FlagCause] = []
    shares: list[Share] = []
    for consumer in consumers:
        of_consumer = workload(reading, plan, consumer).of(ref.entity_type)
        causes += _causes(consumer, of_consumer, search)
        shares += of_consumer
    causes.sort(key=lambda cause: (cause.position, cause.task, cause.path, cause.property or ""))
    read = dict.fromkeys(dependency for share in shares for dependency in share.planned.dependencies)
    clean = min((max(share.place.position, flagged_to) for share in shares), default=None)
    return Explanation(
        ref=ref,
        live=resource.live,
        causes=causes,
        derives=bool(shares),
        clean_since=None if causes else clean,
        flagged_to=flagged_to,
        unflagged=len({position for dependency in read for position, _ in search.changes(dependency, flagged_to)}),
        all_flagged=not reading.changed_since(flagged_to),
    )


def _causes(consumer: ComputingTask, shares: Sequence[Share], search: CauseSearch) -> Iterator[FlagCause]:
    outdated: dict[str, list[Derivation]] = {}
    for share in shares:
        if share.outdated_reason is not None:
            outdated.setdefault(share.outdated_reason, []).append(share.planned.derivation)
    for reason, derivations in outdated.items():
        is_all = len(derivations) == len(shares)
        what = "everything is computed" if is_all else f"computes {_listed(derivations)} of all resources"
        yield FlagCause(
            task=consumer.identifier,
            path="",
            property=None,
            position=0,
            change=None,
            computes=_names(derivations),
            reason=f"{what}: {reason}",
        )
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
    """Finds the changes that one resource reaches over the paths of its dependencies."""

    def __init__(self, reading: Reading, entity_type: str, stream: int) -> None:
        self.entity_type = entity_type
        self.names = RunNames(reading)
        self._reading = reading
        self._stream = stream
        self._reached: dict[tuple[Hop, ...], pa.Array] = {(): pa.array([stream], pa.int64())}

    def flags(
        self, dependencies: Sequence[Dependency], after: int, beyond: Position
    ) -> Iterable[tuple[Dependency, Position]]:
        """The dependencies for which the resource is flagged, each with the position of its flag."""
        flags = self._reading.flagged(dependencies, after, beyond)
        own = flags.filter(pc.equal(flags.column("stream"), self._stream))
        return [(dependencies[row["dependency"]], row["since"]) for row in own.to_pylist()]

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
        """The streams to which hops lead from the resource, over the present links."""
        if hops not in self._reached:
            links = self._reading.ends(hops[-1], self.reached(hops[:-1]))
            self._reached[hops] = links.column("far").combine_chunks().unique()
        return self._reached[hops]


def _touches(event: ResourceEvent, name: str | None) -> bool:
    is_existence = isinstance(event, Created | Deleted)
    return is_existence if name is None else not is_existence and name in event.changes
