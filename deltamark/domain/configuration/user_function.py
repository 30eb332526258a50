"""A function that a user wrote for a task, with what it is declared to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

KEY = "key"
"""The column of keys, in what a function is given and in what it gives."""

MOST_ROWS = 10_000
"""Resources in a batch, where nothing else is said."""


@frozen(kw_only=True, eq=False, repr=False, slots=False)
class UserTask:
    """A function that computes properties: made by the decorator `deltamark.task`, and still callable as it was.

    :param name: `package.module:function`, by which a configuration names it.
    :param entity_types: those whose resources it computes.
    :param reads: properties and dependency paths; None for every property of the resource itself.
    :param writes: the properties that it computes; None for all that nothing else gives a value.
    :param dirty: whether a task that does not say otherwise computes only what is dirty.
    :param batch_size: how many resources it is given at once, at most.
    :param version: part of its identity; another one computes everything again.
    :param deterministic: whether it gives the same for the same resources whenever it is called.
    :param source: SHA-256 of its source code, hexadecimal; empty where there is none to read.
    """

    function: Callable[[Any], Any]
    name: str
    entity_types: tuple[str, ...]
    reads: tuple[str, ...] | None
    writes: tuple[str, ...] | None
    dirty: bool = True
    batch_size: int = MOST_ROWS
    version: str = ""
    deterministic: bool = True
    source: str = ""

    def __call__(self, batch: Any) -> Any:
        """Calls the function itself, with nothing around it: for tests."""
        return self.function(batch)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @property
    def short_name(self) -> str:
        """The name of the function alone."""
        return self.name.rpartition(":")[2].rpartition(".")[2]

    @property
    def definition(self) -> tuple[str, ...]:
        """What its values depend on besides what it reads."""
        return (self.name, self.version, self.source)


def function_name(function: str | UserTask) -> str:
    """The name of a function, of itself or as a configuration writes it."""
    return function.name if isinstance(function, UserTask) else function
