"""The port to pairs that wait: links that a source names to resources that are not there (yet)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias

Pair: TypeAlias = tuple[str, str]
"""The values of the two columns by which an extract names a link."""


class AwaitingReading(Protocol):
    """What waits."""

    def awaited(
        self, association: str, first: Iterable[str] | None = None, second: Iterable[str] | None = None
    ) -> set[Pair]:
        """The pairs of an association that wait.

        :param first: only pairs whose first value is one of these, or whose second one is of `second`; all where
            neither is given.
        """
        ...


class AwaitingWriting(Protocol):
    """Beginning and ceasing to wait, in the transaction that puts it on record."""

    def put_awaited(self, association: str, awaited: Iterable[Pair], settled: Iterable[Pair]) -> None:
        """From now on the pairs `awaited` wait, and those that are `settled` wait no more."""
        ...
