"""Cycles in a graph of dependencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter


def dependency_cycles(parents: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The cycles, each from its alphabetically first node.

    A node that names itself is not one.

    Yields at least one cycle wherever there is any. Cycles that share nodes may be reported as one.
    """
    graph = {name: dict.fromkeys(parent for parent in names if parent != name) for name, names in parents.items()}
    while cycle := _any_cycle(graph):
        first = cycle.index(min(cycle))
        yield (*cycle[first:], *cycle[:first])
        del graph[cycle[0]][cycle[1 % len(cycle)]]


def _any_cycle(graph: Mapping[str, Mapping[str, None]]) -> tuple[str, ...]:
    """A cycle, each node before its parent, or empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        child_last: list[str] = error.args[1]
        return tuple(child_last[:0:-1])
    return ()
