"""Complete computations by workers: what is sent, what they do with it, and the order of what comes back.

A part is the resources of an entity type between two streams. A worker reads them itself, in the view of the
transaction that writes. That view lacks what the transaction wrote: values of earlier stages are sent with a part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, field, frozen

from deltamark.application.derivation import inputs
from deltamark.application.derivation.inputs import InputReader, with_computed
from deltamark.application.ports.evaluator import Computation
from deltamark.application.ports.records import ExportedView
from deltamark.application.ports.workers import Worker, Workers
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import Read, route
from deltamark.domain.derivation.derivations import Derivation

MOST_SENT = 20_000
"""Values of earlier stages that are sent with every part; of more, only those that the part reads."""

Packed: TypeAlias = bytes
"""A table as it is sent."""


def packed(table: pa.Table) -> Packed:
    """A table as it is sent."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_COMPRESSED) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpacked(data: Packed) -> pa.Table:
    """The table that was sent."""
    return pa.ipc.open_stream(pa.py_buffer(data)).read_all()


_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")


@frozen(kw_only=True)
class Part:
    """Some resources, and what is computed of them.

    :param configuration: in the form in which stores keep it.
    :param first: the first stream.
    :param last: the last stream.
    :param own: values of these resources that the transaction wrote: ``stream`` and ``computed`` by stream; later
        ones last.
    :param reached: entity type -> such values of resources that paths lead to.
    """

    view: ExportedView
    configuration: str
    entity_type: str
    derivations: tuple[Derivation, ...]
    reads: tuple[Read, ...]
    first: int
    last: int
    own: tuple[Packed, ...] = ()
    reached: Mapping[str, tuple[Packed, ...]] = field(factory=dict)


@frozen(kw_only=True)
class PartResult:
    """What a worker computed of a part: the fields of each `Computation`."""

    computations: tuple[tuple[Packed, int, int, Packed | None], ...]


def compute_part(worker: Worker, part: Part) -> PartResult:
    """Computes a part; runs on a worker."""
    configuration, evaluator = worker.configured(part.configuration)
    with worker.store.reading(part.view) as reading:
        resources = reading.states_between(part.entity_type, part.first, part.last)
        streams = resources.column("stream").combine_chunks()
        reader = InputReader(reading, configuration)
        read = reader.some(part.entity_type, streams, part.reads, None, resources=resources)
    ends = {path: route(configuration, part.entity_type, path).leads_to for path in read.reached}
    read = evolve(
        read,
        resources=_refreshed(read.resources, part.own),
        reached={path: _refreshed(states, part.reached.get(ends[path], ())) for path, states in read.reached.items()},
    )
    return PartResult(
        computations=tuple(
            (packed(one.rows), one.executed, one.necessary, None if one.refused is None else packed(one.refused))
            for one in evaluator.portions(part.derivations, read)
        )
    )


def reached_streams(worker: Worker, part: Part) -> dict[str, Packed]:
    """The streams of what a part reads over paths, by entity type; runs on a worker."""
    configuration, _ = worker.configured(part.configuration)
    with worker.store.reading(part.view) as reading:
        streams = reading.states_between(part.entity_type, part.first, part.last).column("stream").combine_chunks()
        found = InputReader(reading, configuration).reached(part.entity_type, streams, part.reads)
    return {name: packed(pa.table({"stream": reached})) for name, reached in found.items()}


def _refreshed(states: pa.Table, written: Iterable[Packed]) -> pa.Table:
    for rows in written:
        states = with_computed(states, unpacked(rows))
    return states


def in_stream_order(rows: pa.Table) -> pa.Table:
    """The rows in the order of their streams, which they mostly have: sorting copies all texts."""
    streams = rows.column("stream").to_numpy()
    return rows if bool((streams[1:] > streams[:-1]).all()) else rows.sort_by("stream")


_Result = TypeVar("_Result")


def in_order(
    workers: Workers, function: Callable[[Worker, Part], _Result], parts: Iterable[Part]
) -> Iterator[tuple[Part, _Result]]:
    """The results of parts in the order of the parts, whichever worker is done first.

    So the log is the same with any number of workers, and the first resource that fails is the one that is named. As
    many results wait as workers compute at one time.

    :raises WorkersLost: if no worker is there to compute a part.
    """
    waiting: deque[tuple[Part, Any]] = deque()
    try:
        for part in parts:
            waiting.append((part, workers.submit(function, part)))
            if len(waiting) > 2 * workers.parallel:
                yield _first_of(waiting)
        while waiting:
            yield _first_of(waiting)
    finally:
        for _, future in waiting:
            future.cancel()


def _first_of(waiting: deque[tuple[Part, Any]]) -> tuple[Part, Any]:
    part, future = waiting[0]
    result = future.result()
    waiting.popleft()
    return part, result


class Distribution:
    """One task whose complete computations are done by workers.

    :param view: what its transaction saw before it wrote anything.
    :param configuration_text: the configuration in the form in which stores keep it.
    :param keeps: the entity types of which parts read values that the transaction writes.
    """

    def __init__(
        self,
        workers: Workers,
        view: ExportedView,
        configuration: Configuration,
        configuration_text: str,
        *,
        keeps: Collection[str],
    ) -> None:
        self._workers = workers
        self._view = view
        self._configuration = configuration
        self._text = configuration_text
        self._keeps = frozenset(keeps)
        self._fresh: dict[str, list[pa.Table]] = {}

    def keeps(self, entity_type: str) -> bool:
        """Whether parts read values of an entity type that the transaction wrote."""
        return entity_type in self._keeps

    def note_computed(self, entity_type: str, rows: pa.Table) -> None:
        """Takes account of computed properties that were written.

        :param rows: ``stream`` and ``computed``.
        """
        self._fresh.setdefault(entity_type, []).append(in_stream_order(rows))

    def computations(
        self, entity_type: str, derivations: Sequence[Derivation], reads: Sequence[Read], streams: pa.Array
    ) -> Iterator[Computation]:
        """Computes the values of all live resources of an entity type, in the order of their streams."""
        parts = self._parts(entity_type, derivations, reads, streams)
        for _, result in in_order(self._workers, compute_part, self._with_reached(entity_type, reads, parts)):
            for rows, executed, necessary, refused in result.computations:
                yield Computation(
                    rows=unpacked(rows),
                    executed=executed,
                    necessary=necessary,
                    refused=None if refused is None else unpacked(refused),
                )

    def _parts(
        self, entity_type: str, derivations: Sequence[Derivation], reads: Sequence[Read], streams: pa.Array
    ) -> Iterator[Part]:
        own = self._fresh.get(entity_type, ())
        for start in range(0, len(streams), inputs.AT_ONCE):
            some = streams.slice(start, inputs.AT_ONCE)
            first, last = some[0].as_py(), some[-1].as_py()
            yield Part(
                view=self._view,
                configuration=self._text,
                entity_type=entity_type,
                derivations=tuple(derivations),
                reads=tuple(reads),
                first=first,
                last=last,
                own=_sent(_between(rows, first, last) for rows in own),
            )

    def _with_reached(self, entity_type: str, reads: Sequence[Read], parts: Iterator[Part]) -> Iterator[Part]:
        """The parts with what they read over paths of what the transaction wrote."""
        written = {name: self._fresh[name] for name in _reached_types(self._configuration, entity_type, reads)
                   if name in self._fresh}  # fmt: skip
        if sum(rows.num_rows for tables in written.values() for rows in tables) <= MOST_SENT:
            every = {name: _sent(tables) for name, tables in written.items()}
            yield from (evolve(part, reached=every) for part in parts)
            return
        for part, found in in_order(self._workers, reached_streams, parts):
            reached = {name: unpacked(streams).column("stream").combine_chunks() for name, streams in found.items()}
            yield evolve(
                part,
                reached={
                    name: _sent(rows.filter(pc.is_in(rows.column("stream"), reached[name])) for rows in tables)
                    for name, tables in written.items()
                },
            )


def types_read(configuration: Configuration, entity_type: str, reads: Iterable[Read]) -> set[str]:
    """The entity types whose values are read by expressions over one of them, with itself."""
    return {entity_type, *_reached_types(configuration, entity_type, reads)}


def _reached_types(configuration: Configuration, entity_type: str, reads: Iterable[Read]) -> set[str]:
    return {route(configuration, entity_type, read.path).leads_to for read in reads if read.path}


def _sent(tables: Iterable[pa.Table]) -> tuple[Packed, ...]:
    return tuple(packed(rows) for rows in tables if rows.num_rows)


def _between(rows: pa.Table, first: int, last: int) -> pa.Table:
    """The rows of these streams, of some that are sorted by them."""
    streams = rows.column("stream").to_numpy()
    start, end = streams.searchsorted(first, "left"), streams.searchsorted(last, "right")
    return rows.slice(start, end - start)
