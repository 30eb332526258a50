"""Whether a stream that was read is whole: folding one that lacks an event would give a state that never was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from deltamark.domain.errors import store_damaged
from deltamark.domain.resources.link import Linked, LinkFact, LinkSnapshot
from deltamark.domain.resources.resource import Created, ResourceFact, ResourceSnapshot

_Fact = TypeVar("_Fact", bound=ResourceFact | LinkFact)

_BEGINNINGS = (Created, Linked, ResourceSnapshot, LinkSnapshot)


def whole(stream: int, facts: Iterable[tuple[int, _Fact]]) -> Iterator[tuple[int, _Fact]]:
    """The facts of one stream as they come, a snapshot first if there is one, then every event after it.

    :raises StoreError: where an event is missing.
    """
    wanted = 1
    for position, fact in facts:
        version = fact.originator_version
        if isinstance(fact, ResourceSnapshot | LinkSnapshot):
            wanted = version
        if version != wanted:
            raise store_damaged(f"stream {stream} lacks event {wanted}: event {version} stands in its place")
        if wanted == 1 and not isinstance(fact, _BEGINNINGS):
            raise store_damaged(f"stream {stream} begins with an event that cannot be first ({type(fact).__name__})")
        yield position, fact
        wanted = version + 1
