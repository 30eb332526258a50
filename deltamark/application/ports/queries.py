"""The port through which use cases read a store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from deltamark.application.ports.applied_rows import RowDigests
from deltamark.application.ports.pending_changes import Block, PartSummary, PendingChanges
from deltamark.application.ports.progress import Progress
from deltamark.application.ports.records import (
    ChangeBatch,
    DerivedRule,
    Lease,
    Narrowing,
    Pair,
    Place,
    RunSummary,
    Schedule,
)
from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted
from deltamark.domain.adoption.decommission import Decommissioned, FedAgain
from deltamark.domain.configuration.entity_model import EntityAssociation
from deltamark.domain.derivation.dependency_paths import Dependency, Hop
from deltamark.domain.history.changes import AnyChange, CorrelationKey, Horizon, Position
from deltamark.domain.history.consumer import ConsumerPlace
from deltamark.domain.integrity.verification import Checkpoint, LogVerification, VerificationRecord
from deltamark.domain.notifications.record import ChannelPlace, NotificationRecord
from deltamark.domain.resources.events import Event
from deltamark.domain.resources.link import LinkEvent, LinkFact, LinkRef
from deltamark.domain.resources.resource import Resource, ResourceEvent, ResourceFact, ResourceRef
from deltamark.domain.retention.retention import Outgoing
from deltamark.domain.runs.run import ChangesDiscarded, PairsAwaited, ResourceErased, RowsSetAside, RunEvent
from deltamark.domain.sinks.dead_letters import DeadLetter
from deltamark.domain.sources.places import PlaceMoved
from deltamark.domain.values import Values

if TYPE_CHECKING:
    import pyarrow as pa


class Reading(Protocol):
    """One consistent view of a store.

    In this order: resources, links, the log, configurations, past states, synchronization, pending changes, flags,
    derived values, runs and leases, schedules, consumers, retention and erasure, the store as it was, integrity.
    """

    # Resources

    def live_resources(self, entity_type: str) -> pa.Table:
        """The live resources of an entity type: ``key``, ``state``."""
        ...

    def live_resource_portions(self, entity_type: str) -> Iterator[pa.Table]:
        """The live resources of an entity type, some at a time: ``key``, ``state``."""
        ...

    def live_resources_among(self, entity_type: str, keys: pa.Array) -> pa.Table:
        """The live resources of an entity type whose key is among `keys`: ``key``, ``state``."""
        ...

    def live_resource_count(self, entity_type: str, at_most: int | None = None) -> int:
        """The number of live resources of an entity type, counted up to `at_most`."""
        ...

    def live_resource_counts(self) -> dict[str, int]:
        """The number of existing resources by entity type, of those that ever had one."""
        ...

    def resources_from(
        self, entity_type: str, after: str | None, least: str, at_most: int, parts: Sequence[str] = ()
    ) -> tuple[list[Resource], str | None]:
        """Some existing resources of an entity type in key order, and the last key that was looked at.

        That is None where `at_most` keys were not there to be looked at.

        :param after: only with keys beyond it.
        :param least: only with keys from it on.
        :param at_most: how many keys are looked at, also those of deleted resources.
        :param parts: only with one of these texts in their values as they are stored.
        """
        ...

    def identities(self, entity_type: str, property_name: str | None, among: pa.Array | None) -> pa.Table:
        """The streams of live resources by a property: ``value``, ``stream``, ``key``.

        :param property_name: None for the key itself.
        :param among: only these values; None for all.
        """
        ...

    def states(self, entity_type: str, among: pa.Array | None = None) -> pa.Table:
        """Resources in the order of their streams: ``stream``, ``state``, ``computed``.

        ``state`` holds the synchronized values, ``computed`` the computed ones.

        :param among: these streams (int64) of any entity type; a deleted resource has a null ``state``. None for all
            live resources of the entity type.
        """
        ...

    def states_between(self, entity_type: str, first: int, last: int) -> pa.Table:
        """The live resources of an entity type with these streams and those between them, as `states` gives them."""
        ...

    def live_streams(self, entity_type: str) -> pa.Array:
        """The streams of all live resources of an entity type, in order."""
        ...

    def names(self, streams: pa.Array) -> pa.Table:
        """These resources by type and key: ``stream``, ``entity_type``, ``key``, ``live``."""
        ...

    def resource(self, ref: ResourceRef) -> Resource | None:
        """A resource as it is now, also a deleted one, or None if it never existed."""
        ...

    def stream_of(self, ref: ResourceRef) -> int | None:
        """The stream of a resource, also of a deleted one, or None if it never existed."""
        ...

    # Links

    def live_links(
        self, association: str, sources: pa.Array | None = None, targets: pa.Array | None = None
    ) -> pa.Table:
        """The live links: ``source``, ``target``, ``source_key``, ``target_key``.

        :param sources: only links that start at one of these streams (int64), or end at one of `targets`; all where
            neither is given.
        """
        ...

    def live_link_count(self, association: str, at_most: int | None = None) -> int:
        """The number of live links of an association, counted up to `at_most`."""
        ...

    def links_from(self, association: str) -> Iterator[tuple[str, str]]:
        """The live links of an association as pairs of keys, ordered by source and target."""
        ...

    def links_of(self, ref: ResourceRef) -> list[LinkRef]:
        """The live links of one resource, in both directions."""
        ...

    def ends(self, hop: Hop, near: pa.Array | None = None) -> pa.Table:
        """The live links of a hop's association.

        ``near`` and ``far`` are streams in the direction of the hop.

        :param near: only links from these streams (int64); None for all.
        """
        ...

    # The log

    def epoch(self) -> str:
        """The identifier of this store: unique, and the same for ever."""
        ...

    def head(self) -> Position:
        """The position of the newest event, 0 in an empty store."""
        ...

    def changed_since(self, position: Position) -> bool:
        """Whether any resource or link was changed, or a change discarded, beyond a position."""
        ...

    def entity_types_changed_since(self, position: Position) -> set[str] | None:
        """The entity types with a resource changed beyond a position.

        None if changes were discarded since.
        """
        ...

    def applied_before(
        self, basis: str, entity_types: Collection[str], associations: Collection[str]
    ) -> tuple[int, int] | None:
        """The newest synchronization with a basis: its run, and its place there. None if none is known.

        Nor is it if these entity types or associations were changed since, or if that is in doubt: after an adoption,
        an erasure, a change of waiting links, a discard of changes made since, or a replay that corrected anything, and
        where more was written than a look-up may read.
        """
        ...

    def applied_rows(self, entity_type: str, basis: str) -> RowDigests | None:
        """The rows of the newest complete extract of an entity type that say what its resources are now.

        Without those of resources that were changed since. None where that is in doubt, as `applied_before` says, or
        where they were written with another basis.
        """
        ...

    def is_touched_since(
        self, position: Position, entity_types: Collection[str], associations: Collection[str]
    ) -> bool:
        """Whether these entity types or associations may have been changed beyond a position, see `applied_before`."""
        ...

    def changes(
        self,
        after: Position,
        until: Position | None,
        narrowing: Narrowing | None = None,
        *,
        newest_first: bool = False,
    ) -> Iterator[tuple[Position, AnyChange]]:
        """The changes in `after` < position <= `until`, in chunks.

        They are changes of resources and of links.

        :param narrowing: which others may be left out.
        """
        ...

    def changes_at(
        self, streams: Sequence[int], after: Position, until: Position, *, newest_first: bool
    ) -> Iterator[tuple[Position, AnyChange]]:
        """The changes in `after` < position <= `until` of resources, by their streams, and of their links.

        The positions are read first, the changes in chunks, as far as they are asked for.
        """
        ...

    def few_streams(self, narrowing: Narrowing, *, at_most: int) -> list[int] | None:
        """The streams of an association, or of an entity type with its links, that a narrowing names.

        None if there are more than `at_most`, or if it names neither.
        """
        ...

    def change_batches(self, after: Position, until: Position | None, at_most: int) -> Iterator[ChangeBatch]:
        """All changes in `after` < position <= `until` in columns, `at_most` in a batch: no object is made of each."""
        ...

    def changes_of(self, streams: pa.Array, after: Position) -> Iterator[tuple[Position, ResourceEvent]]:
        """The changes of the resources of these streams (int64) beyond a position, oldest first."""
        ...

    def facts(self, ref: ResourceRef, until: Position | None = None) -> Iterator[tuple[Position, ResourceFact]]:
        """One resource's snapshots and events, oldest first."""
        ...

    def facts_of_all(self, entity_type: str) -> Iterator[list[tuple[Position, ResourceFact]]]:
        """The snapshots and events of each resource of an entity type, also of deleted ones, by key."""
        ...

    def links_between(
        self, entity_type: str, first: Position, last: Position, beyond: LinkRef | None = None
    ) -> Iterator[tuple[LinkRef, bool]]:
        """The links of resources of an entity type that existed at only one of two positions, the first the earlier.

        Each is given with whether it existed at `last`; in the order of associations and of the keys of source and
        target.

        :param beyond: only those that come after this one.
        """
        ...

    def link_changes_at(self, hop: Hop, near: pa.Array, after: Position) -> Iterator[tuple[Position, LinkEvent]]:
        """The changes beyond a position of a hop's links from these streams (int64), oldest first."""
        ...

    def link_changes_of(self, ref: ResourceRef) -> Iterator[tuple[Position, AnyChange]]:
        """The changes of one resource's links, oldest first."""
        ...

    def link_facts(
        self, association: str, ends: tuple[int | None, int | None] | None
    ) -> Iterator[list[tuple[Position, LinkFact]]]:
        """The snapshots and events of the links of an association, by source and target.

        Removed links are included.

        :param ends: only links that start at the stream of the first, or end at that of the second; None for all.
        """
        ...

    # Configurations

    def stored_entity_types(self) -> list[str]:
        """The names of the entity types that the store ever held resources of, in the order of their first ones."""
        ...

    def stored_associations(self) -> list[EntityAssociation]:
        """The associations that the store holds links of, also links that were deleted, by name.

        Each leads from an entity type to another, through properties that have no names, to any number of resources.
        """
        ...

    def adoptions(self) -> list[tuple[Position, ConfigurationAdopted]]:
        """The adoptions of configurations, oldest first."""
        ...

    def adoption_at(self, until: Position | None) -> tuple[Position, ConfigurationAdopted] | None:
        """The newest adoption at or before a position, or of all; None where there is none."""
        ...

    def decisions(self) -> list[tuple[Position, Decommissioned | FedAgain]]:
        """What was decided about what nothing feeds any more, oldest first."""
        ...

    def adopted_xml(self, digest: str) -> str:
        """The canonical XML of an adopted configuration.

        :raises StoreError: if it is missing, or was altered.
        """
        ...

    # Places in sources

    def source_place(self, connection: str) -> tuple[Position, PlaceMoved] | None:
        """How far the source of a connection was applied, with the position of that event.

        None where nothing was, or where the place was forgotten.
        """
        ...

    def source_places(self) -> list[tuple[Position, PlaceMoved]]:
        """How far the source of each connection was applied, by connection."""
        ...

    # Past states

    def position_at(self, moment: datetime) -> Position:
        """The position of the newest event that is not younger than a time, or 0 before the first."""
        ...

    def time_of(self, position: Position) -> datetime:
        """The time of the event at a position that is or was in the log."""
        ...

    def states_at(self, entity_type: str, until: Position | None) -> Iterator[tuple[str, Values]]:
        """The live resources of an entity type, now or at a position: key and values, by key."""
        ...

    def resources_at(self, entity_type: str, until: Position | None) -> pa.Table:
        """The live resources of an entity type, now or at a position: ``stream``, ``key``, ``state``, ``computed``.

        ``state`` holds the synchronized values, ``computed`` the computed ones. The order is any.
        """
        ...

    def linked_at(self, association: str, until: Position | None) -> pa.Table:
        """The links of an association, now or at a position: ``source``, ``target``, ``source_key``, ``target_key``.

        The first two are the streams of the resources at their ends.
        """
        ...

    def links_at(self, association: str, until: Position) -> Iterator[tuple[str, str]]:
        """The links that existed at a position, as pairs of keys, ordered by source and target."""
        ...

    def links_of_at(self, ref: ResourceRef, until: Position) -> list[LinkRef]:
        """The links of one resource that existed at a position, in both directions."""
        ...

    def resources_between(
        self, entity_type: str, first: Position, last: Position, beyond: str | None = None
    ) -> Iterator[tuple[ResourceRef, Resource | None, Resource | None]]:
        """The resources changed in `first` < position <= `last`, by key.

        Each is given as it was at `first` and at `last`.

        :param beyond: only those whose keys come after this one.

        The cost depends on the changes between the two positions, not on the size of the store.
        """
        ...

    # Synchronization: links that wait for a resource

    def waiting_links(
        self, association: str, first: Iterable[str] | None = None, second: Iterable[str] | None = None
    ) -> set[Pair]:
        """The waiting links of an association.

        :param first: only pairs whose first value is one of these, or whose second is one of `second`; all where
            neither is given.
        """
        ...

    # Pending changes

    def block_of(self, connector: str) -> Block | None:
        """The block of a connector, or None where it is not blocked."""
        ...

    def blocks(self) -> list[Block]:
        """The blocks of all connectors, by connector."""
        ...

    def pending_tasks(self, run: int) -> list[int]:
        """The ordinals of the tasks of a run that have pending changes."""
        ...

    def pending_parts(self, run: int) -> list[PartSummary]:
        """The parts of the changes that a run held back, in the order in which they are applied."""
        ...

    def pending_part(self, run: int, task: int, number: int) -> PendingChanges | None:
        """One part of what a task held back, with the head of all; None if it was dropped."""
        ...

    def pending(self, run: int, task: int) -> PendingChanges | None:
        """The pending changes of a task of a run, by its ordinal, or None where there are none.

        :raises StoreError: if they are not what was written.
        """
        ...

    # Flags

    def flagged_to(self) -> Position:
        """The position up to which changes were flagged, or 0 before the first time."""
        ...

    def newest_flag(self) -> int:
        """The number of the newest flag that was ever set, or 0 before the first."""
        ...

    def watched(self) -> dict[Dependency, Position]:
        """The watched dependencies, each with its first position.

        Every change of the dependency beyond that position, and up to `flagged_to`, was flagged.
        """
        ...

    def places(self, consumer: str) -> dict[DerivedRule, Place]:
        """The places of a consumer with its derivations, under the digests it computed with."""
        ...

    def flagged(self, dependencies: Sequence[Dependency], after: int, beyond: Position) -> pa.Table:
        """Flags with a number greater than `after`.

        Only those count whose newest change is beyond a position.

        :returns: ``stream`` and ``dependency`` (its index in `dependencies`), each pair once, with ``since``, a
            position beyond `beyond`: of the first change that set the flag, or, where that is not beyond, of the
            newest; and ``newest``, the position of the newest change.
        """
        ...

    # Derived values

    def rules_computed(self) -> set[DerivedRule]:
        """The derivations, each with the definition that all resources were last computed with."""
        ...

    def stored_keys(self, rule: DerivedRule) -> pa.Table:
        """The keys that a rule gave under any definition: ``stream``, ``value``."""
        ...

    def classified(self, rule: DerivedRule) -> pa.Array:
        """The streams (int64) of the resources for which a rule holds, under any definition."""
        ...

    def classifications(self, entity_type: str) -> Iterator[tuple[str, list[str]]]:
        """The classified resources of an entity type, by key: key and names of the rules."""
        ...

    def key_rules(self, rule: str | None = None) -> list[tuple[int, DerivedRule]]:
        """The correlation rules that have keys, or the sides of one, with their numbers, by name, side and type."""
        ...

    def keys_after(self, rule: int, after: str | None, at_most: int) -> list[tuple[str, str]]:
        """Some keys of a side of a rule in the order of the keys of its resources: key of the resource, value."""
        ...

    def key_values(
        self, rule: int, first: str, at_most: int, *, inclusive: bool = False, others: Sequence[int] = ()
    ) -> list[tuple[str, int]]:
        """Values of a side of a rule beyond a text, ascending, each with how many resources have it.

        :param inclusive: whether that text may be one of them.
        :param others: other sides. With them, only values that one of them has too; without, only those that several
            resources have.
        """
        ...

    def keys_with_values(self, rules: Sequence[int], values: Sequence[str]) -> Iterator[CorrelationKey]:
        """The keys of some sides of rules that have one of some values, by rule, value, side and resource."""
        ...

    def classifications_after(
        self, entity_type: str, after: str | None, at_most: int
    ) -> tuple[list[tuple[str, list[str]]], str | None]:
        """The rules that hold for some resources by key, and the last key that was looked at.

        That is None where `at_most` keys were not there to be looked at.
        """
        ...

    def correlation_keys(self, rules: Sequence[str] | None) -> Iterator[CorrelationKey]:
        """The keys of some rules, or of all, ordered by rule, side and resource."""
        ...

    def matching_keys(self, rules: Sequence[str]) -> Iterator[CorrelationKey]:
        """The keys whose value both sides of a rule have, ordered by rule, value, side and resource."""
        ...

    def keys_of(self, stream: int) -> list[CorrelationKey]:
        """The keys of one resource, by rule and side."""
        ...

    def keys_equal_to_those_of(self, stream: int) -> list[CorrelationKey]:
        """The keys on the other side of a rule that equal one of a resource, by rule, side and resource."""
        ...

    def rules_that_hold(self, stream: int) -> list[str]:
        """The names of the classification rules that hold for one resource."""
        ...

    # Runs and leases

    def run(self, number: int, *, with_rows: bool = True) -> RunSummary | None:
        """A run, by default with the rows that it set aside.

        None if there is none of that number.
        """
        ...

    def runs(self, newest: int | None = None) -> list[RunSummary]:
        """The runs, oldest first, without the rows set aside.

        Only the `newest` ones if given.
        """
        ...

    def runs_before(self, before: int | None, at_most: int) -> list[RunSummary]:
        """The newest runs below a number, newest first, without the rows they set aside."""
        ...

    def rows_set_aside(self, number: int, after: int) -> Iterator[RowsSetAside]:
        """The records of rows set aside in a run, as far as they are still valid and beyond an event of it."""
        ...

    def run_starts(self) -> Iterator[RunSummary]:
        """All runs, oldest first, as their beginnings have them: their tasks, who started and who resumed them.

        What became of the runs and their tasks is not in it.
        """
        ...

    def run_events(self, number: int, after: int = 0) -> list[Event]:
        """The events of a run above a number in its stream, oldest first, without the rows set aside."""
        ...

    def leases(self, tasks: Sequence[str]) -> list[Lease]:
        """The leases of some tasks, also expired ones, by task."""
        ...

    def live_runs(self) -> set[int]:
        """The runs that hold a lease which has not expired: their processes were heard from."""
        ...

    # Schedules

    def schedules(self) -> list[Schedule]:
        """The progress of all schedules that a scheduler has seen, by job."""
        ...

    # Consumers

    def consumers(self) -> list[ConsumerPlace]:
        """The places of all programs that read the log, by name."""
        ...

    def consumer(self, name: str) -> ConsumerPlace | None:
        """The place of a program, or None where there is none of that name."""
        ...

    def changes_beyond(self, position: Position, until: Position | None = None) -> tuple[int, Position | None]:
        """How many changes lie beyond a position, up to another one or the end, and where the first is."""
        ...

    def dead_letters(self, sink: str | None = None) -> list[DeadLetter]:
        """The changes that sinks refused for good, or one sink did, by sink and position; also those decided on."""
        ...

    # Notifications

    def channel_places(self) -> list[ChannelPlace]:
        """The channels that are known, by name, also those that the settings name no more."""
        ...

    def notifications(self, channel: str | None = None) -> list[NotificationRecord]:
        """What channels, or one of them, were told of or are to be told of, by channel and identifier."""
        ...

    def verifications(self) -> list[VerificationRecord]:
        """What came of verifications whose results were to be kept, the newest first, at most a hundred."""
        ...

    def run_ends(self, after: Position) -> Iterator[tuple[Position, RunEvent]]:
        """The records of runs that started or ended beyond a position, oldest first."""
        ...

    # Retention and erasure

    def horizons(self) -> list[Horizon]:
        """The horizons, by entity type and association."""
        ...

    def discards(self, after: Position) -> list[tuple[Position, ChangesDiscarded]]:
        """The recorded discards beyond a position."""
        ...

    def changes_between(self, subjects: Sequence[str], after: Position, until: Position) -> list[Outgoing]:
        """The numbers of changes in `after` < position <= `until`, by subject and kind."""
        ...

    def oldest_of_newest(self, subjects: Sequence[str], count: int) -> Position | None:
        """The position of the oldest of the newest `count` changes, or None where there are fewer."""
        ...

    def erasures(self) -> list[ResourceErased]:
        """The recorded erasures, oldest first."""
        ...

    def erased_between(self, after: Position, until: Position, run: int | None = None) -> dict[int, int]:
        """The runs whose erasures emptied changes in `after` < position <= `until`.

        :param run: only changes that this run had made.
        :returns: run of the erasure -> how many of these changes the log still holds.
        """
        ...

    def erasable_counts(self, stream: int) -> tuple[int, int]:
        """The numbers of changes in the log of a resource and its links, and of links it ever had."""
        ...

    def records_of_rows(self) -> Iterator[tuple[Position, RowsSetAside | PairsAwaited]]:
        """The records of runs that hold what rows of extracts say, oldest first, with their positions.

        What was erased of them is not there.
        """
        ...

    def runs_that_name(self, key: str, besides: Collection[Position] = ()) -> list[int]:
        """The runs whose records hold a key as a whole text, or quoted in a message.

        :param besides: positions of records that do not count.
        """
        ...

    # The store as it was

    def transaction_of(self, position: Position) -> tuple[Position, Position]:
        """The first and the last position of the transaction that wrote a position."""
        ...

    def unknown_at(self, position: Position) -> Horizon | None:
        """The horizon beyond which histories begin that are needed to know the state at a position, or None."""
        ...

    def newest_snapshot(self, until: Position) -> Position:
        """The highest position up to `until` where the history of some resource or link begins; 0 where all is kept.

        Between it and `until`, the whole state is known at any position.
        """
        ...

    def run_records(self, until: Position) -> list[tuple[Position, RunEvent]]:
        """The records of runs and tasks that started, resumed and ended up to a position, and of erasures, in order."""
        ...

    def removals_beyond(self, position: Position) -> list[tuple[Position, ChangesDiscarded | ResourceErased]]:
        """The records of discards and erasures beyond a position, oldest first."""
        ...

    # Integrity

    def verify(self, progress: Progress, *, checkpoint: Checkpoint | None = None) -> LogVerification:
        """Reads the whole log, checks its digests, and compares what it gives with the stored state.

        Memory does not grow with the log.

        :param checkpoint: what the log must begin with.
        """
        ...

    def checkpoint(self) -> Checkpoint | None:
        """A checkpoint of the log as it is now, or None where it is empty."""
        ...
