"""The port to flags: what is flagged for, what is flagged, and where the consumers of flags stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from deltamark.application.ports.records import DerivedRule, Place
from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.domain.history.changes import Position


class FlagReading(Protocol):
    """What is flagged."""

    def flagged_to(self) -> Position:
        """How far in the log changes were flagged; 0 before the first time."""
        ...

    def newest_flag(self) -> int:
        """The number of the newest flag that was ever set; 0 before the first."""
        ...

    def watched(self) -> dict[Dependency, Position]:
        """The dependencies that are flagged for, each with the position from which on: every change of it beyond
        that position, and up to `flagged_to`, was flagged.
        """
        ...

    def places(self, consumer: str) -> dict[DerivedRule, Place]:
        """Where a consumer stands with each derivation that it computed; the digests are those it computed with."""
        ...

    def flagged(self, dependencies: Sequence[Dependency], after: int, beyond: Position) -> pa.Table:
        """Flags with a number greater than `after`, set by changes of which the newest is beyond a position.

        :returns: ``stream`` and ``dependency`` (the place in the sequence that was given, from 0), each pair once,
            with ``since``, a position beyond that: of the first change of the flagging, or, where that one is not
            beyond it, of the newest.
        """
        ...


class FlagWriting(Protocol):
    """Flagging, and moving on."""

    def watch(self, dependencies: Iterable[Dependency]) -> None:
        """From now on these dependencies are flagged for, and no others.

        One that was not so far begins at `flagged_to`. The flags of those that are dropped are dropped with them.
        """
        ...

    def flag_changes(self, after: Position, *, only: Iterable[Dependency] | None = None) -> int:
        """Flags every resource with a watched dependency on something that a change beyond `after` touched.

        Links are followed as they are now. A resource is flagged once for a dependency, with the first and the newest
        of those changes. Returns how many resources were flagged.

        :param only: of the watched dependencies; None for all.
        """
        ...

    def flag_all(self, dependencies: Iterable[Dependency], position: Position) -> int:
        """Flags every resource that there is for these (watched) dependencies, at a position; returns how many."""
        ...

    def flag(self, streams: pa.Array, dependency: Dependency, position: Position) -> None:
        """Flags these resources for a watched dependency."""
        ...

    def move_flags(self, position: Position) -> None:
        """Says that changes up to a position were flagged."""
        ...

    def forget_flags(self) -> None:
        """Drops the flags that every consumer has read."""
        ...

    def move_place(self, consumer: str, rules: Iterable[DerivedRule], place: Place) -> None:
        """Moves a consumer's place with some derivations; with others it stays where it was."""
        ...

    def keep_consumers(self, kept: Mapping[str, Iterable[DerivedRule]]) -> list[str]:
        """Drops the places of all other consumers, and of these with all other derivations (digests do not count).

        :returns: the names of the consumers that have no place any more.
        """
        ...
