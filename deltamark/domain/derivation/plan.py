"""The plan of all derivations: what each value depends on, and the order of computation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from heapq import heappop, heappush

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import Dependency, Read, dependencies, route
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.errors import Fault
from deltamark.domain.graph import dependency_cycles

_Computed = tuple[str, str]
"""A computed property: its entity type and its name."""


@frozen(kw_only=True)
class Planned:
    """A derivation with what it reads and when it is computed.

    :param stage: values read computed properties of earlier stages; of their own stage only those of their own
        resource that have the same maker, which come before them in the plan.
    :param definition: everything that its values depend on except the resources: derivations with equal definitions
        give equal values.
    """

    derivation: Derivation
    reads: tuple[Read, ...]
    dependencies: tuple[Dependency, ...]
    stage: int
    definition: tuple[object, ...]


@frozen
class Plan:
    """Every derivation of a configuration, stage by stage in the order of computation."""

    derived: tuple[Planned, ...] = ()

    def of(self, kinds: Iterable[DerivationKind], entity_types: Iterable[str] | None = None) -> tuple[Planned, ...]:
        """The derivations of some kinds, of some entity types or of all."""
        chosen, types = set(kinds), None if entity_types is None else set(entity_types)
        return tuple(
            planned
            for planned in self.derived
            if planned.derivation.kind in chosen and (types is None or planned.derivation.entity_type in types)
        )

    def of_task(self, task: ComputingTask) -> tuple[Planned, ...]:
        """The derivations that a task computes."""
        candidates = self.of(task.derives, None if task.all_entity_type else task.entity_types)
        return tuple(planned for planned in candidates if planned.derivation.maker is task.maker)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The dependencies of all derivations, each once."""
        return tuple(dict.fromkeys(dependency for planned in self.derived for dependency in planned.dependencies))


def plan(configuration: Configuration, reads: Mapping[Derivation, Sequence[Read]]) -> Plan:
    """Plans the derivations of a configuration.

    :param reads: what each reads; the paths exist, and there are no cycles (`cycles`).
    """
    needs = {derivation: _needs(configuration, derivation, its_reads) for derivation, its_reads in reads.items()}
    computed = _computed(reads)
    stages: dict[Derivation, int] = {}
    planned = []
    for derivation in _in_order(reads, needs, computed):
        stages[derivation] = max(
            (
                stages[computed[name]] + (over_links or computed[name].maker is not derivation.maker)
                for name, over_links in needs[derivation]
                if name in computed
            ),
            default=0,
        )
        planned.append(
            Planned(
                derivation=derivation,
                reads=tuple(reads[derivation]),
                dependencies=dependencies(configuration, derivation.entity_type, reads[derivation]),
                stage=stages[derivation],
                definition=(derivation.definition, _meaning(configuration, derivation, reads[derivation])),
            )
        )
    return Plan(tuple(sorted(planned, key=lambda item: item.stage)))


def cycles(configuration: Configuration, reads: Mapping[Derivation, Sequence[Read]]) -> Iterator[Fault]:
    """Faults of computed properties whose values would depend on themselves."""
    computed = _computed(reads)
    graph: dict[str, tuple[str, ...]] = {}
    for name, derivation in computed.items():
        needed = _needed(configuration, derivation, reads, computed)
        if name in needed:
            yield Fault(
                derivation.location,
                f"{derivation.described} reads the property that it computes; a value cannot depend on itself",
            )
        graph[":".join(name)] = tuple(sorted(":".join(need) for need in needed))
    by_text = {":".join(name): derivation for name, derivation in computed.items()}
    for cycle in dependency_cycles(graph):
        path = " -> ".join((*cycle, cycle[0]))
        yield Fault(
            by_text[cycle[0]].location,
            f"computed properties read each other in a cycle: {path}; let one of them read something else",
        )


def in_cycles(configuration: Configuration, reads: Mapping[Derivation, Sequence[Read]]) -> set[Derivation]:
    """The derivations whose values would depend on themselves, and those that read them."""
    computed = _computed(reads)
    needs = {name: _needed(configuration, computed[name], reads, computed) for name in computed}
    left = dict(needs)
    while True:
        ready = [name for name, needed in left.items() if not any(need in left for need in needed)]
        if not ready:
            break
        for name in ready:
            del left[name]
    return {
        derivation
        for derivation in reads
        if _name(derivation) in left
        or any(need in left for need in _needed(configuration, derivation, reads, computed))
    }


def _computed(reads: Mapping[Derivation, object]) -> dict[_Computed, Derivation]:
    return {_name(derivation): derivation for derivation in reads if derivation.kind is DerivationKind.PROPERTY}


def _needed(
    configuration: Configuration,
    derivation: Derivation,
    reads: Mapping[Derivation, Sequence[Read]],
    computed: Mapping[_Computed, object],
) -> set[_Computed]:
    """The computed properties that a derivation reads."""
    return {need for need, _ in _needs(configuration, derivation, reads[derivation]) if need in computed}


def _name(derivation: Derivation) -> _Computed:
    return derivation.entity_type, derivation.name


def _needs(configuration: Configuration, derivation: Derivation, reads: Sequence[Read]) -> set[tuple[_Computed, bool]]:
    """The properties that a derivation reads, and whether over links."""
    return {
        ((route(configuration, derivation.entity_type, read.path).leads_to, read.property), bool(read.path))
        for read in reads
    }


def _in_order(
    reads: Mapping[Derivation, Sequence[Read]],
    needs: Mapping[Derivation, set[tuple[_Computed, bool]]],
    computed: Mapping[_Computed, Derivation],
) -> Iterator[Derivation]:
    """Each derivation after those that it reads.

    Among those that are ready, by priority, then as written.

    `graphlib` says which are ready, the heap which of them comes first: its order does not depend on hashes.
    """
    rank = {derivation: (derivation.priority, number) for number, derivation in enumerate(reads)}
    by_rank = {place: derivation for derivation, place in rank.items()}
    sorter = TopologicalSorter(
        {
            derivation: {computed[name] for name, _ in needs[derivation] if name in computed} - {derivation}
            for derivation in reads
        }
    )
    sorter.prepare()
    ready: list[tuple[int, int]] = []
    while sorter.is_active():
        for derivation in sorter.get_ready():
            heappush(ready, rank[derivation])
        derivation = by_rank[heappop(ready)]
        yield derivation
        sorter.done(derivation)


def _meaning(configuration: Configuration, derivation: Derivation, reads: Sequence[Read]) -> tuple[object, ...]:
    """The meaning of the reads: the links that they follow, and the type of the property read."""
    meanings = []
    for read in sorted(reads):
        way = route(configuration, derivation.entity_type, read.path)
        entity_type = configuration.entity_type(way.leads_to)
        declared = entity_type.property(read.property) if entity_type else None
        hops = tuple((hop.association, hop.forward) for hop in way.hops)
        label = declared.type.label if declared else ""
        meanings.append((str(read), hops, way.leads_to, way.is_collection, label))
    return tuple(meanings)
