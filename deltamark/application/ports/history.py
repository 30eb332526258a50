"""The port to the past: what lies between two moments, and all that a resource or link went through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from deltamark.domain.history.changes import Position
from deltamark.domain.resources.link import LinkEvent, LinkFact
from deltamark.domain.resources.resource import Resource, ResourceFact, ResourceRef


class PastReading(Protocol):
    """What can be asked about former times."""

    def epoch(self) -> str:
        """Which store this is: a text that no other store has, the same for ever."""
        ...

    def resources_between(
        self, entity_type: str, first: Position, last: Position
    ) -> Iterator[tuple[ResourceRef, Resource | None, Resource | None]]:
        """The resources of an entity type that were changed in `first` < position <= `last`, by key: each as it was at
        `first` and at `last`. Others cost nothing.
        """
        ...

    def link_changes(self, after: Position, until: Position) -> Iterator[tuple[Position, LinkEvent]]:
        """The changes of links in `after` < position <= `until`, oldest first."""
        ...

    def facts_of_all(self, entity_type: str) -> Iterator[list[tuple[Position, ResourceFact]]]:
        """The snapshots and events of each resource of an entity type that there ever was, by key."""
        ...

    def link_facts(
        self, association: str, ends: tuple[int | None, int | None] | None
    ) -> Iterator[list[tuple[Position, LinkFact]]]:
        """The snapshots and events of each link of an association that there ever was, by source and target.

        :param ends: only of those that start at the stream of the first, or end at that of the second; None for all.
        """
        ...
