"""Cycles in a graph of dependencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_Parents = Mapping[str, tuple[str, ...]]


def dependency_cycles(parents: _Parents) -> Iterator[tuple[str, ...]]:
    """Circles of dependencies, each from its alphabetically first task on; a task that names itself is none.

    At least one circle is found wherever there are any; those that share tasks may be told as one.
    """
    finished: set[str] = set()
    for start in parents:
        path: list[str] = []
        on_path: set[str] = set()
        waiting: list[tuple[str, bool]] = [(start, False)]
        while waiting:
            name, is_left = waiting.pop()
            if is_left:
                on_path.discard(path.pop())
                finished.add(name)
                continue
            if name in on_path:
                cycle = path[path.index(name) :]
                first = cycle.index(min(cycle))
                yield (*cycle[first:], *cycle[:first])
                continue
            if name in finished or name not in parents:
                continue
            path.append(name)
            on_path.add(name)
            waiting.append((name, True))
            waiting.extend((parent, False) for parent in parents[name] if parent != name)
