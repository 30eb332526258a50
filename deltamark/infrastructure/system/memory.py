"""How a process starts quickly and keeps small."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def load_arrow_alone() -> None:
    """Loads Arrow without pandas, for processes in which no function of a user runs.

    Where pandas is installed, Arrow loads it to see whether a list is perhaps one of its objects, which takes 40 MB of
    memory and a quarter of a second. It asks at the first list, and remembers the answer.
    """
    with _hidden("pandas"):
        import pyarrow as pa

        pa.array([0])


class _Hiding:
    """Says of a module that it is not installed, before others are asked where it is."""

    def __init__(self, hidden: str) -> None:
        self._hidden = hidden

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raises for the module.

        :raises ModuleNotFoundError: as if it were not installed.
        """
        if name == self._hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Makes a module that is not loaded yet look as if it were not installed."""
    hiding = _Hiding(name)
    sys.meta_path.insert(0, hiding)
    try:
        yield
    finally:
        sys.meta_path.remove(hiding)
