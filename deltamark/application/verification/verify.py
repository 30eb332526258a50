"""Verifies derived values against recomputed ones, and prepares their repair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
from attrs import evolve

from deltamark.application.derivation.workload import unread_flags, workload
from deltamark.application.flagging.explain import CauseSearch
from deltamark.application.flagging.flag import dependencies_on
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.application.verification.recompute import Mismatch, recompute
from deltamark.domain.configuration.jobs import ComputingTask, Job
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.dependency_paths import Dependency, route
from deltamark.domain.derivation.differences import Difference, Verification
from deltamark.domain.derivation.plan import Planned
from deltamark.domain.history.changes import LoggedChange, Position
from deltamark.domain.resources.resource import ResourceRef

REPAIR = "*repair*"
"""The job name of the runs of repairs; no job can have that name."""

LONGEST_CHAIN = 10


def verify_derived(reading: Reading, services: Services, sample: int | None, seed: int) -> Verification:
    """Compares every derived value, or those of a sample, with the value computed anew."""
    recomputed = recompute(reading, services, sample, seed)
    explainer = _Explainer(reading, services, recomputed.mismatches)
    differences = sorted(
        (explainer.difference(mismatch) for mismatch in recomputed.mismatches),
        key=lambda difference: (difference.ref, difference.derivation.kind.value, difference.derivation.name),
    )
    return Verification(
        head=reading.head(),
        sample=sample,
        resources=recomputed.resources,
        values=recomputed.values,
        differences=differences,
        unverified=recomputed.unverified,
    )


class _Explainer:
    """Explains differences, and whether the next incremental run corrects them anyway."""

    def __init__(self, reading: Reading, services: Services, mismatches: Sequence[Mismatch]) -> None:
        self._reading = reading
        self._services = services
        self._refs = _refs(reading, mismatches)
        self._differing = {(item.stream, item.planned.derivation.name): item for item in mismatches}
        self._pending = _PendingWork(reading, services)
        self._searches: dict[int, CauseSearch] = {}

    def difference(self, mismatch: Mismatch) -> Difference:
        if mismatch.stream not in self._refs:
            return _of_no_resource(mismatch)
        chain = list(self._chain(mismatch))
        root = chain[-1]
        return Difference(
            derivation=mismatch.planned.derivation,
            ref=self._refs[mismatch.stream],
            stored=mismatch.stored,
            recomputed=mismatch.recomputed,
            is_pending=any(self._is_pending(link) for link in chain),
            chain=tuple(self._named(link) for link in chain[1:]),
            newest_change=self._newest_change(root),
        )

    def _named(self, mismatch: Mismatch) -> str:
        return f"{self._refs[mismatch.stream]}: {mismatch.planned.derivation.name}"

    def _chain(self, mismatch: Mismatch) -> Iterator[Mismatch]:
        """The mismatch, one that it reads, one that this one reads, and so on."""
        seen: set[int] = set()
        link: Mismatch | None = mismatch
        while link is not None and id(link) not in seen and len(seen) < LONGEST_CHAIN:
            yield link
            seen.add(id(link))
            link = self._differing_input(link)

    def _differing_input(self, mismatch: Mismatch) -> Mismatch | None:
        search = self._search(mismatch)
        for read in mismatch.planned.reads:
            hops = route(self._services.configuration, mismatch.planned.derivation.entity_type, read.path).hops
            for stream in search.reached(hops).to_pylist():
                item = self._differing.get((stream, read.property))
                if (
                    item is not None
                    and item.planned.derivation.kind is DerivationKind.PROPERTY
                    and item is not mismatch
                ):
                    return item
        return None

    def _search(self, mismatch: Mismatch) -> CauseSearch:
        if mismatch.stream not in self._searches:
            entity_type = mismatch.planned.derivation.entity_type
            self._searches[mismatch.stream] = CauseSearch(
                self._reading, entity_type, pa.array([mismatch.stream], pa.int64())
            )
        return self._searches[mismatch.stream]

    def _is_pending(self, mismatch: Mismatch) -> bool:
        return self._pending.explains(mismatch) or self._unflagged(mismatch)

    def _unflagged(self, mismatch: Mismatch) -> bool:
        """Whether the value depends on a change that is not flagged yet."""
        after = self._reading.flagged_to()
        return self._reading.changed_since(after) and any(
            True for _ in self._changes(mismatch, mismatch.planned.dependencies, after)
        )

    def _changes(
        self, mismatch: Mismatch, dependencies: Sequence[Dependency], after: Position
    ) -> Iterator[tuple[Position, Callable[[], LoggedChange]]]:
        search = self._search(mismatch)
        for dependency in dependencies:
            for position, change in search.changes(dependency, after):
                yield position, lambda p=position, c=change: search.names.named(p, c)  # type: ignore[misc]

    def _newest_change(self, mismatch: Mismatch) -> LoggedChange | None:
        changes = self._changes(mismatch, mismatch.planned.dependencies, 0)
        newest = max(changes, key=lambda item: item[0], default=None)
        return None if newest is None else newest[1]()


def _of_no_resource(mismatch: Mismatch) -> Difference:
    """The difference for a stored value of a resource that does not exist: only its stream is known."""
    derivation = mismatch.planned.derivation
    return Difference(
        derivation=derivation,
        ref=ResourceRef(derivation.entity_type, f"(no resource: stream {mismatch.stream})"),
        stored=mismatch.stored,
        recomputed=None,
        is_pending=False,
    )


class _PendingWork:
    """The values that dirty tasks will compute when they run next."""

    def __init__(self, reading: Reading, services: Services) -> None:
        self._wholly: set[object] = set(services.plan.derived)
        self._flagged: set[tuple[object, int]] = set()
        computed = {(rule.kind, rule.entity_type, rule.name) for rule in reading.rules_computed()}
        for planned in services.plan.derived:
            derivation = planned.derivation
            if (derivation.kind, derivation.entity_type, derivation.name) in computed:
                self._wholly.discard(planned)
        for task in services.configuration.all_calls_of(ComputingTask):
            if task.dirty:
                self._add(reading, services, task)
        self._add_discarded(reading, services)

    def explains(self, mismatch: Mismatch) -> bool:
        """Whether a mismatch is one of these values."""
        return mismatch.planned in self._wholly or (mismatch.planned, mismatch.stream) in self._flagged

    def _add_discarded(self, reading: Reading, services: Services) -> None:
        """Adds what depends on changes that were discarded unflagged.

        The next flag task flags all of it.
        """
        unread = [discarded for _, discarded in reading.discards(reading.flagged_to()) if discarded.unread]
        concerned = {dependency for discarded in unread for dependency in dependencies_on(services, discarded)}
        self._wholly |= {item for item in services.plan.derived if concerned.intersection(item.dependencies)}

    def _add(self, reading: Reading, services: Services, task: ComputingTask) -> None:
        work = workload(reading, services.plan, task)
        for name in work.entity_types:
            shares = [share for share in work.of(name) if not share.is_full]
            self._wholly |= {share.planned for share in work.of(name) if share.is_full}
            flags = unread_flags(reading, shares)
            for stream, number in zip(flags["stream"].to_pylist(), flags["derivation"].to_pylist(), strict=True):
                self._flagged.add((shares[number].planned, stream))


def _refs(reading: Reading, mismatches: Sequence[Mismatch]) -> dict[int, ResourceRef]:
    streams = pa.array(sorted({item.stream for item in mismatches}), pa.int64())
    names = reading.names(streams).to_pylist()
    return {row["stream"]: ResourceRef(row["entity_type"], row["key"]) for row in names}


def flag_for_repair(services: Services, faults: Sequence[Difference]) -> None:
    """Flags the resources of these differences for all of their derived values."""
    with services.store.transaction() as tx:
        tx.remove_ownerless_rows()
        tx.watch(services.plan.dependencies)
        for entity_type in dict.fromkeys(fault.ref.entity_type for fault in faults):
            keys = {fault.ref.key for fault in faults if fault.ref.entity_type == entity_type}
            found = (tx.stream_of(ResourceRef(entity_type, key)) for key in sorted(keys))
            streams = [stream for stream in found if stream is not None]
            existence = Dependency(entity_type, (), (), None, entity_type)
            tx.flag(pa.array(streams, pa.int64()), existence, tx.head())


def repair_job(services: Services, faults: Sequence[Difference]) -> Job:
    """A job of the tasks that compute what differs, each for flagged resources.

    Tasks that compute properties come before those that read them.
    """
    differing = {(fault.derivation.kind, fault.derivation.entity_type, fault.derivation.name) for fault in faults}
    chosen: dict[str, ComputingTask] = {}
    for task in services.configuration.all_calls_of(ComputingTask):
        names = {
            (item.derivation.kind, item.derivation.entity_type, item.derivation.name)
            for item in services.plan.of_task(task)
        }
        if names & differing:
            chosen.setdefault(task.identifier, evolve(task, dirty=True, parents=(), level=-1))
    return Job(REPAIR, tasks=(*_properties(services, chosen.values()), *_rules(chosen.values())))


def _properties(services: Services, tasks: Iterable[ComputingTask]) -> Iterator[ComputingTask]:
    """The tasks that compute properties, in order and repeated where needed.

    Each comes after those whose values it reads.
    """
    stages: dict[tuple[int, UserTask | None], list[Planned]] = {}
    for item in services.plan.of([DerivationKind.PROPERTY]):
        stages.setdefault((item.stage, item.derivation.maker), []).append(item)
    last: list[ComputingTask] = []
    for _, stage in sorted(stages.items(), key=lambda item: (item[0][0], item[0][1] is not None)):
        running = [task for task in tasks if set(services.plan.of_task(task)).intersection(stage)]
        yield from (task for task in running if task not in last)
        last = running or last


def _rules(tasks: Iterable[ComputingTask]) -> list[ComputingTask]:
    """The tasks that compute nothing which other values read, keys before classifications."""
    order = list(DerivationKind)
    rules = [task for task in tasks if DerivationKind.PROPERTY not in task.derives]
    return sorted(rules, key=lambda task: min(order.index(kind) for kind in task.derives))
