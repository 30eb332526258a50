"""The plan of everything that is derived: what each value depends on, and in which order values are computed."""

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

    :param stage: values of one stage read no computed property of the same or a later stage over links, nor one that
        something else makes, a function instead of expressions; what they read of their own resource comes before
        them in the plan.
    :param definition: everything that its values depend on but the resources: two derivations with equal
        definitions give equal values.
    """

    derivation: Derivation
    reads: tuple[Read, ...]
    dependencies: tuple[Dependency, ...]
    stage: int
    definition: tuple[object, ...]


@frozen
class Plan:
    """Every derivation of a configuration, in the order in which their values are computed: stage by stage."""

    derived: tuple[Planned, ...] = ()

    def of(self, kinds: Iterable[DerivationKind], entity_types: Iterable[str] | None = None) -> tuple[Planned, ...]:
        """The derivations of some kinds, of some entity types or of all."""
        wanted, types = set(kinds), None if entity_types is None else set(entity_types)
        return tuple(
            planned
            for planned in self.derived
            if planned.derivation.kind in wanted and (types is None or planned.derivation.entity_type in types)
        )

    def of_task(self, task: ComputingTask) -> tuple[Planned, ...]:
        """The derivations that a task computes."""
        planned = self.of(task.derives, None if task.all_entity_type else task.entity_types)
        return tuple(one for one in planned if one.derivation.maker is task.maker)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """What any derived value depends on, each once."""
        return tuple(dict.fromkeys(found for planned in self.derived for found in planned.dependencies))


def plan(configuration: Configuration, reads: Mapping[Derivation, Sequence[Read]]) -> Plan:
    """Plans the derivations of a configuration.

    :param reads: what each reads; paths are checked already, and there are no circles (`circles`).
    """
    needed = {one: _needs(configuration, one, found) for one, found in reads.items()}
    computed = {_name(one): one for one in reads if one.kind is DerivationKind.PROPERTY}
    stages: dict[Derivation, int] = {}
    planned = []
    for one in _in_order(reads, needed, computed):
        stages[one] = max(
            (
                stages[computed[name]] + (over_links or computed[name].maker is not one.maker)
                for name, over_links in needed[one]
                if name in computed
            ),
            default=0,
        )
        planned.append(
            Planned(
                derivation=one,
                reads=tuple(reads[one]),
                dependencies=dependencies(configuration, one.entity_type, reads[one]),
                stage=stages[one],
                definition=(one.definition, _meaning(configuration, one, reads[one])),
            )
        )
    return Plan(tuple(sorted(planned, key=lambda one: one.stage)))


def circles(configuration: Configuration, reads: Mapping[Derivation, Sequence[Read]]) -> Iterator[Fault]:
    """The computed properties whose values would depend on themselves."""
    computed = {_name(one): one for one in reads if one.kind is DerivationKind.PROPERTY}
    graph: dict[str, tuple[str, ...]] = {}
    for name, one in computed.items():
        parents = {needed for needed, _ in _needs(configuration, one, reads[one]) if needed in computed}
        if name in parents:
            yield Fault(
                one.location, f"{one.described} reads the property that it computes; a value cannot need itself"
            )
        graph[":".join(name)] = tuple(sorted(":".join(parent) for parent in parents))
    by_text = {":".join(name): one for name, one in computed.items()}
    for cycle in dependency_cycles(graph):
        path = " -> ".join((*cycle, cycle[0]))
        yield Fault(
            by_text[cycle[0]].location,
            f"computed properties read each other in a cycle: {path}; let one of them read something else",
        )


def _name(one: Derivation) -> _Computed:
    return one.entity_type, one.name


def _needs(configuration: Configuration, one: Derivation, reads: Sequence[Read]) -> set[tuple[_Computed, bool]]:
    """The properties that a derivation reads, and whether over links."""
    return {
        ((route(configuration, one.entity_type, read.path).leads_to, read.property), bool(read.path)) for read in reads
    }


def _in_order(
    reads: Mapping[Derivation, Sequence[Read]],
    needed: Mapping[Derivation, set[tuple[_Computed, bool]]],
    computed: Mapping[_Computed, Derivation],
) -> Iterator[Derivation]:
    """Each derivation after those that it reads; among those that are ready, by priority, then as written.

    `graphlib` says which are ready, the heap which of them comes first: its order does not depend on hashes.
    """
    rank = {derivation: (derivation.priority, number) for number, derivation in enumerate(reads)}
    by_rank = {place: derivation for derivation, place in rank.items()}
    sorter = TopologicalSorter(
        {
            derivation: {computed[name] for name, _ in needed[derivation] if name in computed} - {derivation}
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


def _meaning(configuration: Configuration, one: Derivation, reads: Sequence[Read]) -> tuple[object, ...]:
    """What the reads stand for: the links that they go over, and the type of what they find."""
    found = []
    for read in sorted(reads):
        way = route(configuration, one.entity_type, read.path)
        entity_type = configuration.entity_type(way.leads_to)
        declared = entity_type.property(read.property) if entity_type else None
        hops = tuple((hop.association, hop.forward) for hop in way.hops)
        found.append((str(read), hops, way.leads_to, way.is_collection, declared.type.label if declared else ""))
    return tuple(found)
