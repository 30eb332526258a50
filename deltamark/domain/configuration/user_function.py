"""A Python function that a user registered as a task, with what it declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

KEY = "key"
"""The column of keys, in the batch that a function gets and in what it returns."""

MOST_ROWS = 10_000
"""The default number of resources in a batch."""


@frozen(kw_only=True, eq=False, repr=False, slots=False)
class UserTask:
    """A function that computes properties, made by the decorator `deltamark.task`.

    It can still be called directly.

    :param name: `package.module:function`, by which a configuration names it.
    :param entity_types: the entity types whose resources it computes.
    :param reads: properties and dependency paths; None for every property of the resource itself.
    :param writes: the properties that it computes; None for all that nothing else fills or computes.
    :param dirty: whether a task computes only what is dirty, unless the task says otherwise.
    :param batch_size: the most resources in one call.
    :param version: part of its identity; a new version computes everything again.
    :param deterministic: whether it returns the same for the same resources whenever it is called.
    :param source: SHA-256 of its source code, hexadecimal; empty if the source cannot be read.
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
        """Calls the function itself, without any checks: for tests."""
        return self.function(batch)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @property
    def short_name(self) -> str:
        """The name of the function alone."""
        return self.name.rpartition(":")[2].rpartition(".")[2]

    @property
    def definition(self) -> tuple[str, ...]:
        """What its values depend on, besides what it reads."""
        return (self.name, self.version, self.source)


def function_name(function: str | UserTask) -> str:
    """The name of a function that is given by itself or by its name."""
    return function.name if isinstance(function, UserTask) else function
