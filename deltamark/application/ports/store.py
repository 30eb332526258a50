"""The port to a store: the log and everything that is projected from it, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

import pyarrow as pa

from deltamark.application.ports.derived import DerivedReading, DerivedWriting
from deltamark.application.ports.erasure import ErasureReading, ErasureWriting
from deltamark.application.ports.flags import FlagReading, FlagWriting
from deltamark.application.ports.history import PastReading
from deltamark.application.ports.leases import LeaseReading, LeaseWriting
from deltamark.application.ports.pending_changes import PendingReading, PendingWriting
from deltamark.application.ports.records import Discarded, LinkChanges, LinkEnds, ResourceChanges, RunSummary, Subjects
from deltamark.application.ports.retention import RetentionReading, Space
from deltamark.application.ports.schedules import ScheduleReading, ScheduleWriting
from deltamark.application.ports.waiting_links import AwaitingReading, AwaitingWriting
from deltamark.domain.derivation.dependency_paths import Hop
from deltamark.domain.history.changes import AnyChange, Horizon, Position
from deltamark.domain.integrity.checkpoint import Checkpoint
from deltamark.domain.integrity.verification import LogVerification, Replayed
from deltamark.domain.resources.events import Cause
from deltamark.domain.resources.link import LinkEvent, LinkRef
from deltamark.domain.resources.resource import Resource, ResourceEvent, ResourceFact, ResourceRef
from deltamark.domain.runs.run import ChangesDiscarded, RunEvent
from deltamark.domain.values import Values

Clock = Callable[[], datetime]
"""Gives the present time, UTC."""

Told = Callable[[int, int], None]
"""Is given how much of the whole was done, again and again."""


class Reading(
    PendingReading,
    ScheduleReading,
    AwaitingReading,
    PastReading,
    RetentionReading,
    ErasureReading,
    FlagReading,
    DerivedReading,
    LeaseReading,
    Protocol,
):
    """One consistent view of a store."""

    def head(self) -> Position:
        """The position of the newest event, 0 in an empty store."""
        ...

    def changed_since(self, position: Position) -> bool:
        """Whether any resource or link was changed, or a change discarded, beyond a position."""
        ...

    def entity_types_changed_since(self, position: Position) -> set[str] | None:
        """The entity types of which some resource was changed beyond a position; None where that cannot be told, for
        changes were discarded since.
        """
        ...

    def held(self, entity_type: str) -> pa.Table:
        """The live resources of an entity type: ``key``, ``state``."""
        ...

    def held_among(self, entity_type: str, keys: pa.Array) -> pa.Table:
        """Those live resources of an entity type whose key is among `keys`: ``key``, ``state``."""
        ...

    def held_count(self, entity_type: str, at_most: int | None = None) -> int:
        """How many live resources of an entity type there are; beyond `at_most` they are not counted."""
        ...

    def identities(self, entity_type: str, property_name: str | None, among: pa.Array | None) -> pa.Table:
        """The streams of live resources by a property: ``value``, ``stream``, ``key``.

        :param property_name: None for the key itself.
        :param among: only these values; None for all.
        """
        ...

    def links_held(
        self, association: str, sources: pa.Array | None = None, targets: pa.Array | None = None
    ) -> pa.Table:
        """The live links: ``source``, ``target``, ``source_key``, ``target_key``.

        :param sources: only links that start at one of these streams (int64), or end at one of `targets`; all where
            neither is given.
        """
        ...

    def links_held_count(self, association: str, at_most: int | None = None) -> int:
        """How many live links an association has; beyond `at_most` they are not counted."""
        ...

    def resource(self, ref: ResourceRef) -> Resource | None:
        """A resource as it is now, also a deleted one; None if there never was one."""
        ...

    def links_from(self, association: str) -> Iterator[tuple[str, str]]:
        """The live links of an association as pairs of keys, ordered by source and target."""
        ...

    def links_of(self, ref: ResourceRef) -> list[LinkRef]:
        """The live links of one resource, in both directions."""
        ...

    def facts(self, ref: ResourceRef, until: Position | None = None) -> Iterator[tuple[Position, ResourceFact]]:
        """One resource's snapshots and events, oldest first."""
        ...

    def stream_of(self, ref: ResourceRef) -> int | None:
        """The stream of a resource, also of a deleted one; None if there never was one."""
        ...

    def changes_of(self, streams: pa.Array, after: Position) -> Iterator[tuple[Position, ResourceEvent]]:
        """The changes of the resources of these streams (int64) beyond a position, oldest first."""
        ...

    def link_changes_at(self, hop: Hop, near: pa.Array, after: Position) -> Iterator[tuple[Position, LinkEvent]]:
        """The changes beyond a position of links of a hop's association that start, in the direction of the hop, at
        these streams (int64), oldest first.
        """
        ...

    def link_changes_of(self, ref: ResourceRef) -> Iterator[tuple[Position, AnyChange]]:
        """The changes of one resource's links, oldest first."""
        ...

    def changes(self, after: Position, until: Position | None) -> Iterator[tuple[Position, AnyChange]]:
        """The changes of resources and links in `after` < position <= `until`, oldest first, in chunks."""
        ...

    def states_at(self, entity_type: str, until: Position | None) -> Iterator[tuple[str, Values]]:
        """The live resources of an entity type, now or as they were at a position: key and values, by key."""
        ...

    def links_at(self, association: str, until: Position) -> Iterator[tuple[str, str]]:
        """The links that stood at a position, as pairs of keys, ordered by source and target."""
        ...

    def links_of_at(self, ref: ResourceRef, until: Position) -> list[LinkRef]:
        """The links of one resource that stood at a position, in both directions."""
        ...

    def position_at(self, moment: datetime) -> Position:
        """The position of the newest event that is not younger than a time; 0 before the first."""
        ...

    def run(self, number: int, *, with_rows: bool = True) -> RunSummary | None:
        """One run, with the rows it set aside unless told otherwise; None if there is none of that number."""
        ...

    def runs(self, newest: int | None = None) -> list[RunSummary]:
        """The runs, oldest first, without the rows set aside; only the `newest` ones if given."""
        ...

    def horizons(self) -> list[Horizon]:
        """How far changes were discarded, by entity type and association."""
        ...

    def discards(self, after: Position) -> list[tuple[Position, ChangesDiscarded]]:
        """The discards on record beyond a position."""
        ...

    def verify(self, told: Told, *, checkpoint: Checkpoint | None = None) -> LogVerification:
        """Reads the whole log, looks whether it is what was written, and compares what it gives with what is stored.

        Memory does not grow with the log.

        :param checkpoint: what the log must begin with.
        """
        ...

    def checkpoint(self) -> Checkpoint | None:
        """What the log is now; None where it is empty."""
        ...


class Writing(
    Reading,
    PendingWriting,
    ScheduleWriting,
    AwaitingWriting,
    FlagWriting,
    DerivedWriting,
    ErasureWriting,
    LeaseWriting,
    Protocol,
):
    """One transaction: everything in it happens, or nothing."""

    @property
    def is_rehearsed(self) -> bool:
        """Whether it is part of a rehearsal: what happens in it is undone in the end."""
        ...

    def now(self) -> datetime:
        """The time of this transaction; never before that of an earlier one."""
        ...

    def append_resources(self, entity_type: str, changes: ResourceChanges, cause: Cause) -> Mapping[str, int]:
        """Writes the changes to log and state; returns how many links of deleted resources it removed, by association.

        :raises ConcurrentRun: if a resource to create is there already, or one to update or delete is not. Whether
            anything else changed since it was compared is for the caller to ask: `changed_since`.
        """
        ...

    def append_links(self, ends: LinkEnds, changes: LinkChanges, cause: Cause) -> None:
        """Writes link changes to log and state."""
        ...

    def start_run(self, build: Callable[[str, int, datetime], RunEvent]) -> int:
        """Starts a run with the event that `build` makes of stream, number and time; returns its number."""
        ...

    def append_to_run(self, build: Callable[[str, int, datetime], RunEvent], run: int) -> None:
        """Appends to a run the event that `build` makes of stream, next version and time."""
        ...

    def discard(
        self,
        subjects: Subjects,
        build: Callable[[str, int, datetime, Discarded], ChangesDiscarded],
        run: int,
        *,
        up_to: Position | None = None,
        at_most: int | None = None,
    ) -> Discarded | None:
        """Discards all changes of these subjects, or the oldest: snapshots take their place and a horizon is set.

        `build` makes the event for the record from stream, version, time and what was discarded. Returns
        None where there was nothing to discard.

        :param up_to: those beyond that position stay.
        :param at_most: discards no more than so many.
        """
        ...

    def replay(self, told: Told) -> Replayed:
        """Makes the stored state what the log gives: resources, links, runs, horizons and pairs that wait.

        Rows that are as the log says are not written. Where resources or links were not, the places of all consumers
        are forgotten: what is derived may have been computed out of wrong values, and is computed anew.

        :raises StoreError: if the log is not whole.
        """
        ...

    def fill_from(self, source: Reading, told: Told) -> Replayed:
        """Fills this store, which is new, with the log of another one and what the log gives, and carries over what
        stands beside the log, except leases.

        :raises UsageError: if this store holds anything.
        :raises StoreError: if the log of the other is not whole.
        """
        ...


class Watch(Protocol):
    """Tells when the log may have grown."""

    def wait(self, timeout_s: float, stop: Event) -> None:
        """Returns when something was committed since the last call, when the time is over or `stop` is set.

        It may return sooner; after a lost connection it does, for something may have been missed.

        :raises StoreUnreachable: if the connection was lost and there is no other to be had.
        """
        ...


class Store(Protocol):
    """Where Deltamark keeps its log and the projections of it."""

    def reading(self) -> AbstractContextManager[Reading]:
        """A consistent view for the time of the `with` block."""
        ...

    def transaction(self) -> AbstractContextManager[Writing]:
        """A transaction: committed when the block ends, rolled back when it raises.

        :raises StoreError: if the store cannot be written.
        """
        ...

    def rehearsal(self) -> AbstractContextManager[None]:
        """All transactions inside the block see one another and are undone at its end."""
        ...

    def renew_leases(self, run: int, time_to_live_s: float) -> bool:
        """Renews the leases of a run in a transaction of its own; returns whether it could.

        Never waits longer than about a second, whoever is writing meanwhile. With 0 they expire at once.

        :raises StoreError: if the store cannot be written.
        """
        ...

    def watching(self) -> AbstractContextManager[Watch]:
        """A watch on the log for the time of the `with` block. What is committed from its beginning on is told."""
        ...

    def backup(self, target: Path, *, overwrite: bool, told: Callable[[int, int], None]) -> Position:
        """Copies the store to a file while others write to it; gives the newest position in the log of the copy.

        The copy is the store at one instant: it holds everything that was committed before the call. It gets its name
        when it is complete, checked and on the disk.

        :param overwrite: whether a file of that name is replaced.
        :param told: is given how much of the whole was copied, again and again.
        :raises UsageError: if no copy may stand in that place, or if the store is copied by other means; says which.
        :raises StoreError: if the copy cannot be written; then nothing is left of it.
        """
        ...

    def space(self) -> Space:
        """What the store takes on its disk."""
        ...

    def check_shrinkable(self) -> None:
        """Checks that `shrink` can give space back.

        :raises UsageError: if that is done by other means; says which.
        """
        ...

    def scrub(self) -> str | None:
        """Overwrites what was deleted and may still lie on the disk; gives the statements for it where only an
        administrator of the database can.
        """
        ...

    def shrink(self) -> None:
        """Gives space that is free inside back to the disk. Takes as much again as the store holds, for a while, and
        keeps others from writing.

        :raises UsageError: as `check_shrinkable`.
        :raises StoreError: if it cannot be done; then the store is as it was.
        """
        ...

    def close(self) -> None:
        """Closes every connection."""
        ...
