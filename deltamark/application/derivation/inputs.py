"""Reads the inputs of expressions: resources, and those at the end of dependency paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.ports.evaluator import Inputs
from deltamark.application.ports.queries import Reading
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import Hop, Read, route

AT_ONCE = 50_000
"""Resources in one portion."""

FEW = 100_000
"""Resources of an entity type that are kept in memory, because several computations read them."""


class InputReader:
    """Reads inputs in one view of a store.

    Keeps what it read of all resources of an entity type.
    """

    def __init__(self, reading: Reading, configuration: Configuration) -> None:
        self._reading = reading
        self._configuration = configuration
        self._states: dict[str, pa.Table] = {}
        self._ends: dict[Hop, pa.Table] = {}
        self._fresh: dict[str, list[pa.Table]] = {}
        self._few: dict[str, bool] = {}

    def all(self, entity_type: str, reads: Iterable[Read], due: pa.Table | None = None) -> Inputs:
        """All live resources of an entity type, with all that is read over paths."""
        paths = _paths(reads)
        links, reached = {}, {}
        for path in _with_prefixes(paths):
            way = route(self._configuration, entity_type, path)
            links[path] = self._all_ends(way.hops[-1])
            if path in paths:
                reached[path] = self._all_states(way.leads_to)
        return Inputs(
            entity_type=entity_type, resources=self._all_states(entity_type), links=links, reached=reached, due=due
        )

    def portions(self, entity_type: str, reads: Sequence[Read]) -> Iterator[Inputs]:
        """All live resources of an entity type in the order of their streams, with what is read over paths from them.

        At least one portion. Of large entity types, only what a portion reads is in memory at one time.
        """
        ways = [route(self._configuration, entity_type, path) for path in _paths(reads)]
        if all(self._is_kept(name) for name in {entity_type, *(way.leads_to for way in ways)}):
            inputs = self.all(entity_type, reads)
            for start in range(0, max(inputs.resources.num_rows, 1), AT_ONCE):
                yield evolve(inputs, resources=inputs.resources.slice(start, AT_ONCE))
            return
        streams = self._reading.live_streams(entity_type)
        for start in range(0, max(len(streams), 1), AT_ONCE):
            yield self.some(entity_type, streams.slice(start, AT_ONCE), reads, None, ends=self._ends_from)

    def _is_kept(self, entity_type: str) -> bool:
        if entity_type in self._states:
            return True
        if entity_type not in self._few:
            self._few[entity_type] = self._reading.live_resource_count(entity_type, FEW + 1) <= FEW
        return self._few[entity_type]

    def _ends_from(self, hop: Hop, near: pa.Array) -> pa.Table:
        """The ends that are linked with some, taken from all: there are many portions, and links are small."""
        links = self._all_ends(hop)
        return links.filter(pc.is_in(links.column("near"), near))

    def some(
        self,
        entity_type: str,
        streams: pa.Array,
        reads: Iterable[Read],
        due: pa.Table | None,
        *,
        ends: Callable[[Hop, pa.Array], pa.Table] | None = None,
        resources: pa.Table | None = None,
    ) -> Inputs:
        """Some resources, by their streams, with only what is read over paths from them.

        :param ends: gives the links of a hop from some resources; None asks the store.
        :param resources: these resources, where they were read already.
        """
        paths = _paths(reads)
        links: dict[tuple[str, ...], pa.Table] = {}
        reached = {}
        for path in _with_prefixes(paths):
            way = route(self._configuration, entity_type, path)
            near = streams if len(path) == 1 else _far(links[path[:-1]])
            links[path] = (ends or self._reading.ends)(way.hops[-1], near)
            if path in paths:
                reached[path] = self._reading.states(way.leads_to, _far(links[path]))
        return Inputs(
            entity_type=entity_type,
            resources=self._reading.states(entity_type, streams) if resources is None else resources,
            links=links,
            reached=reached,
            due=due,
        )

    def reached(self, entity_type: str, streams: pa.Array, reads: Iterable[Read]) -> dict[str, pa.Array]:
        """The streams that paths lead to from some resources, by entity type."""
        paths = _paths(reads)
        ends: dict[tuple[str, ...], pa.Array] = {}
        found: dict[str, list[pa.Array]] = {}
        for path in _with_prefixes(paths):
            way = route(self._configuration, entity_type, path)
            near = streams if len(path) == 1 else ends[path[:-1]]
            ends[path] = _far(self._reading.ends(way.hops[-1], near))
            if path in paths:
                found.setdefault(way.leads_to, []).append(ends[path])
        return {name: pa.concat_arrays(some).unique() for name, some in found.items()}

    def keeps(self, entity_type: str) -> bool:
        """Whether it has read all resources of an entity type, and needs to know what is computed of them."""
        return entity_type in self._states

    def note_computed(self, entity_type: str, rows: pa.Table) -> None:
        """Takes account of computed properties of an entity type that were written.

        :param rows: ``stream`` and ``computed``.
        """
        if entity_type in self._states:
            self._fresh.setdefault(entity_type, []).append(rows)

    def _all_states(self, entity_type: str) -> pa.Table:
        if entity_type not in self._states:
            self._states[entity_type] = self._reading.states(entity_type)
        for rows in self._fresh.pop(entity_type, ()):
            self._states[entity_type] = with_computed(self._states[entity_type], rows)
        return self._states[entity_type]

    def _all_ends(self, hop: Hop) -> pa.Table:
        if hop not in self._ends:
            self._ends[hop] = self._reading.ends(hop)
        return self._ends[hop]


_Result = TypeVar("_Result")


def each_ahead(given: Iterable[Inputs], evaluated: Callable[[Inputs], list[_Result]]) -> Iterator[_Result]:
    """The results of inputs, each evaluated in a thread while the caller uses the results of those before.

    The caller alone uses the store, also to read inputs.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming: Future[list[_Result]] | None = None
        for inputs in given:
            following = pool.submit(evaluated, inputs)
            if coming is not None:
                yield from coming.result()
            coming = following
        if coming is not None:
            yield from coming.result()


def with_computed(states: pa.Table, rows: pa.Table) -> pa.Table:
    """States with other computed properties where `rows` has some.

    It is fastest with both in the order of their streams.

    Works on portions: taking from all rows at once would need them three times in memory.
    """
    positions = pc.index_in(states.column("stream"), rows.column("stream").combine_chunks())
    computed: list[pa.Array] = []
    for start in range(0, states.num_rows, AT_ONCE):
        position, before = (column.slice(start, AT_ONCE) for column in (positions, states.column("computed")))
        first, last = (pc.min_max(position)[end].as_py() for end in ("min", "max"))
        if first is not None:
            fresh = rows.column("computed").slice(first, last - first + 1).combine_chunks()
            before = pc.coalesce(fresh.take(pc.subtract(position, first).combine_chunks()), before.combine_chunks())
        computed += before.chunks if isinstance(before, pa.ChunkedArray) else [before]
    return states.set_column(2, "computed", pa.chunked_array(computed, pa.string()))


def _far(links: pa.Table) -> pa.Array:
    return links.column("far").combine_chunks().unique()


def _paths(reads: Iterable[Read]) -> set[tuple[str, ...]]:
    return {read.path for read in reads if read.path}


def _with_prefixes(paths: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """All paths and their prefixes, the shorter first."""
    prefixes = {path[:length] for path in paths for length in range(1, len(path) + 1)}
    return sorted(prefixes, key=lambda path: (len(path), path))
