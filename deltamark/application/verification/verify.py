"""Verifying derived values in production: what differs from computing anew, why, and putting it right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
from attrs import evolve

from deltamark.application.derivation.workload import flagged, workload
from deltamark.application.flagging.explain import CauseSearch
from deltamark.application.flagging.flag import concerned_by
from deltamark.application.ports.reading import Reading
from deltamark.application.services import Services
from deltamark.application.verification.recompute import Found, recompute
from deltamark.domain.configuration.jobs import ComputingTask, Job
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.dependency_paths import Dependency, route
from deltamark.domain.derivation.differences import Difference, Verification
from deltamark.domain.derivation.plan import Planned
from deltamark.domain.history.changes import LoggedChange, Position
from deltamark.domain.resources.resource import ResourceRef

REPAIR = "*repair*"
"""The name under which a repair stands among the runs; no job can be called that."""

LONGEST_CHAIN = 10


def verify_derived(reading: Reading, services: Services, sample: int | None, seed: int) -> Verification:
    """Compares every derived value, or those of a sample of resources, with what computing it anew gives."""
    done = recompute(reading, services, sample, seed)
    explaining = _Explaining(reading, services, done.found)
    differences = sorted(
        (explaining.difference(found) for found in done.found),
        key=lambda found: (found.ref, found.derivation.kind.value, found.derivation.name),
    )
    return Verification(
        resources=done.resources, values=done.values, differences=differences, unverified=done.unverified
    )


class _Explaining:
    """Says where differences come from, and whether the next incremental run puts them right anyway."""

    def __init__(self, reading: Reading, services: Services, found: Sequence[Found]) -> None:
        self._reading = reading
        self._services = services
        self._refs = _refs(reading, found)
        self._differing = {(item.stream, item.planned.derivation.name): item for item in found}
        self._pending = _Pending(reading, services)
        self._searches: dict[int, CauseSearch] = {}

    def difference(self, found: Found) -> Difference:
        chain = list(self._chain(found))
        root = chain[-1]
        return Difference(
            derivation=found.planned.derivation,
            ref=self._refs[found.stream],
            stored=found.stored,
            recomputed=found.recomputed,
            is_pending=any(self._is_pending(link) for link in chain),
            chain=tuple(self._named(link) for link in chain[1:]),
            newest_change=self._newest_change(root),
        )

    def _named(self, found: Found) -> str:
        return f"{self._refs[found.stream]}: {found.planned.derivation.name}"

    def _chain(self, found: Found) -> Iterator[Found]:
        """The difference, one that it reads, one that this reads, and so on."""
        seen: set[int] = set()
        link: Found | None = found
        while link is not None and id(link) not in seen and len(seen) < LONGEST_CHAIN:
            yield link
            seen.add(id(link))
            link = self._differing_input(link)

    def _differing_input(self, found: Found) -> Found | None:
        search = self._search(found)
        for read in found.planned.reads:
            hops = route(self._services.configuration, found.planned.derivation.entity_type, read.path).hops
            for stream in search.reached(hops).to_pylist():
                item = self._differing.get((stream, read.property))
                if item is not None and item.planned.derivation.kind is DerivationKind.PROPERTY and item is not found:
                    return item
        return None

    def _search(self, found: Found) -> CauseSearch:
        if found.stream not in self._searches:
            entity_type = found.planned.derivation.entity_type
            self._searches[found.stream] = CauseSearch(self._reading, entity_type, found.stream)
        return self._searches[found.stream]

    def _is_pending(self, found: Found) -> bool:
        return self._pending.explains(found) or self._unflagged(found)

    def _unflagged(self, found: Found) -> bool:
        """Whether a change that was not flagged yet concerns the value."""
        after = self._reading.flagged_to()
        return self._reading.changed_since(after) and any(
            True for _ in self._changes(found, found.planned.dependencies, after)
        )

    def _changes(
        self, found: Found, dependencies: Sequence[Dependency], after: Position
    ) -> Iterator[tuple[Position, Callable[[], LoggedChange]]]:
        search = self._search(found)
        for dependency in dependencies:
            for position, change in search.changes(dependency, after):
                yield position, lambda p=position, c=change: search.names.named(p, c)  # type: ignore[misc]

    def _newest_change(self, found: Found) -> LoggedChange | None:
        changes = self._changes(found, found.planned.dependencies, 0)
        newest = max(changes, key=lambda item: item[0], default=None)
        return None if newest is None else newest[1]()


class _Pending:
    """Which values some dirty task will compute when it runs next."""

    def __init__(self, reading: Reading, services: Services) -> None:
        self._wholly: set[object] = set(services.plan.derived)
        self._flagged: set[tuple[object, int]] = set()
        computed = {(rule.kind, rule.entity_type, rule.name) for rule in reading.rules_computed()}
        for planned in services.plan.derived:
            one = planned.derivation
            if (one.kind, one.entity_type, one.name) in computed:
                self._wholly.discard(planned)
        for task in services.configuration.all_calls_of(ComputingTask):
            if task.dirty:
                self._add(reading, services, task)
        self._add_discarded(reading, services)

    def explains(self, found: Found) -> bool:
        """Whether a difference is one of those."""
        return found.planned in self._wholly or (found.planned, found.stream) in self._flagged

    def _add_discarded(self, reading: Reading, services: Services) -> None:
        """What depends on changes that were discarded before they were flagged: the next flag task flags all of it."""
        unread = [discarded for _, discarded in reading.discards(reading.flagged_to()) if discarded.unread]
        concerned = {dependency for discarded in unread for dependency in concerned_by(services, discarded)}
        self._wholly |= {found for found in services.plan.derived if concerned.intersection(found.dependencies)}

    def _add(self, reading: Reading, services: Services, task: ComputingTask) -> None:
        work = workload(reading, services.plan, task)
        for name in work.entity_types:
            shares = [share for share in work.of(name) if not share.everything]
            self._wholly |= {share.planned for share in work.of(name) if share.everything}
            flags = flagged(reading, shares)
            for stream, number in zip(flags["stream"].to_pylist(), flags["derivation"].to_pylist(), strict=True):
                self._flagged.add((shares[number].planned, stream))


def _refs(reading: Reading, found: Sequence[Found]) -> dict[int, ResourceRef]:
    streams = pa.array(sorted({item.stream for item in found}), pa.int64())
    names = reading.names(streams).to_pylist()
    return {row["stream"]: ResourceRef(row["entity_type"], row["key"]) for row in names}


def flag_for_repair(services: Services, faults: Sequence[Difference]) -> None:
    """Flags the resources of some differences for everything that is derived of them."""
    with services.store.transaction() as tx:
        tx.watch(services.plan.dependencies)
        for entity_type in dict.fromkeys(fault.ref.entity_type for fault in faults):
            keys = {fault.ref.key for fault in faults if fault.ref.entity_type == entity_type}
            streams = [tx.stream_of(ResourceRef(entity_type, key)) for key in sorted(keys)]
            existence = Dependency(entity_type, (), (), None, entity_type)
            tx.flag(pa.array(streams, pa.int64()), existence, tx.head())


def repair_job(services: Services, faults: Sequence[Difference]) -> Job:
    """A job of the tasks that compute what differs, each for what is flagged; properties before what reads them."""
    wanted = {(fault.derivation.kind, fault.derivation.entity_type, fault.derivation.name) for fault in faults}
    chosen: dict[str, ComputingTask] = {}
    for task in services.configuration.all_calls_of(ComputingTask):
        names = {
            (one.derivation.kind, one.derivation.entity_type, one.derivation.name)
            for one in services.plan.of_task(task)
        }
        if names & wanted:
            chosen.setdefault(task.identifier, evolve(task, dirty=True, parents=(), level=-1))
    return Job(REPAIR, tasks=(*_properties(services, chosen.values()), *_rules(chosen.values())))


def _properties(services: Services, tasks: Iterable[ComputingTask]) -> Iterator[ComputingTask]:
    """The tasks that compute properties; one that reads what another gives after it, and once more if need be."""
    stages: dict[tuple[int, UserTask | None], list[Planned]] = {}
    for one in services.plan.of([DerivationKind.PROPERTY]):
        stages.setdefault((one.stage, one.derivation.maker), []).append(one)
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
