"""Modules that are imported when they are used first."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module that takes long to import, until something of it is used.

    Type checkers are shown the import itself, in an `if TYPE_CHECKING` block beside.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self._name), name)
        setattr(self, name, value)  # found at once the next time
        return value
