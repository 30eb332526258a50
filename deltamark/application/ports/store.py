"""The port to a store: the log and everything that is projected from it, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

import pyarrow as pa
from attrs import frozen

from deltamark.domain.changes import AnyChange, CorrelationKey, Horizon, Position
from deltamark.domain.events import Cause
from deltamark.domain.link import LinkRef
from deltamark.domain.resource import Resource, ResourceFact, ResourceRef
from deltamark.domain.run import ChangesDiscarded, JobRun, RunEvent
from deltamark.domain.values import Values

Clock = Callable[[], datetime]
"""Gives the present time, UTC."""


@frozen(kw_only=True)
class ResourceChanges:
    """What must happen to the resources of one entity type, as Arrow tables.

    :param created: ``key``, ``line``, ``state``.
    :param updated: ``key``, ``line``, ``state`` (all values after), ``changes`` (a JSON object: property ->
        [before, after], only those that differ).
    :param deleted: ``key``, ``line``, ``state`` (all values before).

    ``state`` is a JSON object of the properties that have a value, sorted, without white space.
    """

    created: pa.Table
    updated: pa.Table
    deleted: pa.Table

    @property
    def total(self) -> int:
        """How many changes these are."""
        return int(self.created.num_rows + self.updated.num_rows + self.deleted.num_rows)


@frozen(kw_only=True)
class LinkChanges:
    """What must happen to the links of one association.

    Both tables: ``source`` and ``target`` (int64, the streams of the two resources), ``source_key``,
    ``target_key``, ``line`` (null where no line of an extract says it).
    """

    linked: pa.Table
    unlinked: pa.Table


@frozen(kw_only=True)
class Place:
    """How far a consumer has read, and the digest of the rules that it computed with."""

    position: Position
    digest: str


@frozen(kw_only=True)
class LinkEnds:
    """The entity types at the two ends of an association."""

    association: str
    source: str
    target: str


@frozen(kw_only=True)
class KeyRule:
    """One side (source or target) of a correlation rule, and the entity type that it reads.

    :param digest: of its definition: keys that another definition gave are not its keys.
    """

    name: str
    side: str
    entity_type: str
    digest: str


@frozen(kw_only=True)
class Subjects:
    """What a connector feeds."""

    connector: str
    task: str
    entity_types: tuple[str, ...]
    associations: tuple[str, ...]


@frozen(kw_only=True)
class Discarded:
    """Changes that were discarded: positions, number, and SHA-256 over the events in position order."""

    first: Position
    last: Position
    count: int
    digest: str


@frozen(kw_only=True)
class RunSummary:
    """A run with the positions of its first and last event."""

    run: JobRun
    first: Position
    last: Position


@frozen(kw_only=True)
class Lease:
    """A run's right to a task: as long as it holds, no other run may start that task.

    :param heard_at: when the run renewed it last.
    :param is_live: whether it held when it was read; one that has expired may be taken over.
    """

    task: str
    run: int
    taken_at: datetime
    heard_at: datetime
    is_live: bool


class Reading(Protocol):
    """One consistent view of a store."""

    def head(self) -> Position:
        """The position of the newest event, 0 in an empty store."""
        ...

    def changed_since(self, position: Position) -> bool:
        """Whether any resource or link was changed, or a change discarded, beyond a position."""
        ...

    def held(self, entity_type: str) -> pa.Table:
        """The live resources of an entity type: ``key``, ``state``."""
        ...

    def held_among(self, entity_type: str, keys: pa.Array) -> pa.Table:
        """Those live resources of an entity type whose key is among `keys`: ``key``, ``state``."""
        ...

    def held_count(self, entity_type: str) -> int:
        """How many live resources of an entity type there are."""
        ...

    def identities(self, entity_type: str, property_name: str | None, among: pa.Array | None) -> pa.Table:
        """The streams of live resources by a property: ``value``, ``stream``, ``key``.

        :param property_name: None for the key itself.
        :param among: only these values; None for all.
        """
        ...

    def links_held(self, association: str, touching: pa.Array | None = None) -> pa.Table:
        """The live links: ``source``, ``target``, ``source_key``, ``target_key``.

        :param touching: only links with an end among these streams (int64); None for all.
        """
        ...

    def links_held_count(self, association: str) -> int:
        """How many live links an association has."""
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

    def place(self, consumer: str) -> Place | None:
        """Where a consumer stands, or None if it never ran."""
        ...

    def flagged(self, entity_type: str, after: Position) -> pa.Table:
        """Resources with flags beyond a position: ``key``, ``since``, ``live``, in key order."""
        ...

    def rules_computed(self) -> set[KeyRule]:
        """The rules that the keys of all resources were computed with, the last time that all were."""
        ...

    def correlation_keys(self, rules: Sequence[str] | None) -> Iterator[CorrelationKey]:
        """The keys of some rules, or of all, ordered by rule, side and resource."""
        ...

    def matching_keys(self, rules: Sequence[str]) -> Iterator[CorrelationKey]:
        """The keys whose value both sides of a rule have, ordered by rule, value, side and resource."""
        ...

    def discards(self, after: Position) -> list[tuple[Position, ChangesDiscarded]]:
        """The discards on record beyond a position."""
        ...

    def leases(self, tasks: Sequence[str]) -> list[Lease]:
        """The leases of some tasks, also those that have expired, by task."""
        ...


class Writing(Reading, Protocol):
    """One transaction: everything in it happens, or nothing."""

    def now(self) -> datetime:
        """The time of this transaction; never before that of an earlier one."""
        ...

    def append_resources(self, entity_type: str, changes: ResourceChanges, cause: Cause) -> int:
        """Writes the changes to log and state; returns how many links of deleted resources it removed.

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

    def drop_expired_leases(self, tasks: Sequence[str]) -> list[Lease]:
        """Drops the expired leases of some tasks with all others of the same runs; gives one for each such run."""
        ...

    def take_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> None:
        """Takes the leases of some tasks, which nobody holds; they expire so long after this transaction."""
        ...

    def keeps_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> bool:
        """Whether a run still holds the leases of its tasks; if it does, this transaction renews them at its end."""
        ...

    def release_leases(self, run: int) -> None:
        """Gives back the leases of a run."""
        ...

    def flag_changes(self, after: Position) -> int:
        """Flags every resource that a change beyond `after` touched, with both ends of changed links.

        Returns how many resources now carry a flag beyond `after`.
        """
        ...

    def flag_all(self, entity_types: Iterable[str], position: Position) -> int:
        """Flags every resource of some entity types at a position; returns how many."""
        ...

    def forget_flags(self) -> None:
        """Drops the flags that every consumer has read."""
        ...

    def move_place(self, consumer: str, place: Place) -> None:
        """Moves a consumer's place."""
        ...

    def flagged_states(self, entity_type: str, after: Position) -> pa.Table:
        """The flagged resources: ``stream``, ``state`` (null where deleted)."""
        ...

    def all_states(self, entity_type: str) -> pa.Table:
        """All live resources: ``stream``, ``state``."""
        ...

    def put_keys(self, rule: KeyRule, values: pa.Table, *, everything: bool) -> int:
        """Sets the keys of a rule for the resources in `values` (``stream``, ``value``; null: none).

        Only values that differ are written; returns how many. With `everything`, `values` are those of all
        resources, and the rule is from now on among `rules_computed`.
        """
        ...

    def keep_rules(self, rules: Iterable[KeyRule]) -> int:
        """Removes the keys of all other rules, whatever their definition; returns how many."""
        ...

    def drop_keys_of_deleted(self) -> int:
        """Removes the keys of resources that were deleted; returns how many."""
        ...

    def discard(
        self, subjects: Subjects, build: Callable[[str, int, datetime, Discarded], ChangesDiscarded], run: int
    ) -> Discarded | None:
        """Discards all changes of these subjects: snapshots take their place and a horizon is set.

        `build` makes the event for the record from stream, version, time and what was discarded. Returns
        None where there was nothing to discard.
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

    def close(self) -> None:
        """Closes every connection."""
        ...
