"""The port to a store: the log and everything that is projected from it, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

import pyarrow as pa
from attrs import frozen

from deltamark.application.ports.awaiting import AwaitingReading, AwaitingWriting
from deltamark.application.ports.past import PastReading
from deltamark.application.ports.pending import PendingReading, PendingWriting
from deltamark.application.ports.retaining import RetentionReading, Space
from deltamark.application.ports.schedules import ScheduleReading, ScheduleWriting
from deltamark.domain.changes import AnyChange, CorrelationKey, Horizon, Position
from deltamark.domain.derivations import Kind
from deltamark.domain.events import Cause
from deltamark.domain.link import LinkEvent, LinkRef
from deltamark.domain.paths import Dependency, Hop
from deltamark.domain.replaying import LogVerification, Replayed
from deltamark.domain.resource import Resource, ResourceEvent, ResourceFact, ResourceRef
from deltamark.domain.run import ChangesDiscarded, JobRun, RunEvent
from deltamark.domain.values import Values

Clock = Callable[[], datetime]
"""Gives the present time, UTC."""

Told = Callable[[int, int], None]
"""Is given how much of the whole was done, again and again."""


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
class ComputedChanges:
    """New values of computed properties of the resources of one entity type.

    :param rows: an Arrow table of ``stream``, ``computed`` (a JSON object of all computed properties that have a
        value, sorted, without white space) and ``changes`` (a JSON object: property -> [before, after], only those
        that differ, at least one).
    """

    entity_type: str
    rows: pa.Table


@frozen(kw_only=True)
class Place:
    """How far a consumer stands with one derivation.

    :param flag: the number of the newest flag that it has read.
    :param position: what it computed holds for every change up to there.
    """

    flag: int
    position: Position


@frozen(kw_only=True)
class LinkEnds:
    """The entity types at the two ends of an association."""

    association: str
    source: str
    target: str


@frozen(kw_only=True)
class DerivedRule:
    """A derivation as the store knows it.

    :param digest: of its definition: values that another definition gave are not its values.
    """

    kind: Kind
    name: str
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


class Reading(PendingReading, ScheduleReading, AwaitingReading, PastReading, RetentionReading, Protocol):
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

    def keys_held(self, rule: DerivedRule) -> pa.Table:
        """The keys that a rule gave, whatever its definition: ``stream``, ``value``."""
        ...

    def classified(self, rule: DerivedRule) -> pa.Array:
        """The streams of the resources that a classification rule holds for (int64), whatever its definition."""
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

    def states(self, entity_type: str, among: pa.Array | None = None) -> pa.Table:
        """Resources: ``stream``, ``state`` (what was synchronized), ``computed`` (what was computed); by stream.

        :param among: of any entity type: only these streams (int64); a deleted one has a null ``state``. None for
            all live resources of the entity type, in the order of their streams.
        """
        ...

    def names(self, streams: pa.Array) -> pa.Table:
        """The resources of some streams: ``stream``, ``entity_type``, ``key``, ``live``; in order of type and key."""
        ...

    def ends(self, hop: Hop, near: pa.Array | None = None) -> pa.Table:
        """The live links of a hop's association: ``near`` and ``far``, streams in the direction of the hop.

        :param near: only links from these streams (int64); None for all.
        """
        ...

    def rules_computed(self) -> set[DerivedRule]:
        """The derivations, each with the definition that the values of all resources were last computed with."""
        ...

    def classifications(self, entity_type: str) -> Iterator[tuple[str, list[str]]]:
        """The resources of an entity type that some classification rule holds for: key and names of the rules, by
        key.
        """
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

    def live_runs(self) -> set[int]:
        """The runs that hold a lease which has not expired: their processes were heard from."""
        ...

    def verify(self, told: Told) -> LogVerification:
        """Reads the whole log, looks whether it is whole, and compares what it gives with what is stored.

        Memory does not grow with the log.
        """
        ...


class Writing(Reading, PendingWriting, ScheduleWriting, AwaitingWriting, Protocol):
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

    def put_computed(self, changes: ComputedChanges, cause: Cause) -> None:
        """Writes new values of computed properties to log and state."""
        ...

    def put_keys(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        """Sets the keys of a rule for the resources in `values` (``stream``, ``value``; null: none).

        Only values that differ are written; returns how many. With `everything`, `values` are those of all live
        resources of the entity type, others lose theirs, and the rule is from now on among `rules_computed`.
        """
        ...

    def put_classifications(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        """Sets whether a classification rule holds for the resources in `values` (``stream``, ``value``: a Boolean;
        null is no); otherwise like `put_keys`.
        """
        ...

    def computed_all(self, rules: Iterable[DerivedRule]) -> None:
        """Says that the values of these derivations were computed for all resources."""
        ...

    def remove_rules(self, rules: Iterable[DerivedRule]) -> int:
        """Forgets some derivations, whatever their definition, with the keys and classifications that they gave
        (computed properties are set to nothing before); returns how many keys and classifications that were.
        """
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
