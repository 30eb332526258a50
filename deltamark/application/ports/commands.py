"""The port through which use cases change a store, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from deltamark.application.ports.applied_rows import RowDigests
from deltamark.application.ports.pending_changes import Block, PendingChanges
from deltamark.application.ports.progress import Progress
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import (
    ComputedChanges,
    DerivedRule,
    Discarded,
    Emptied,
    ExportedView,
    Lease,
    LinkChanges,
    LinkEnds,
    Pair,
    Place,
    ResourceChanges,
    Schedule,
    Subjects,
)
from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted
from deltamark.domain.adoption.decommission import Decommissioned, FedAgain
from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.domain.history.changes import Horizon, Position
from deltamark.domain.history.consumer import ConsumerPlace
from deltamark.domain.integrity.verification import LogVerification, Replayed, VerificationRecord
from deltamark.domain.notifications.record import ChannelPlace, NotificationRecord
from deltamark.domain.resources.events import Origin
from deltamark.domain.runs.run import ChangesDiscarded, ResourceErased, RunEvent
from deltamark.domain.sinks.dead_letters import DeadLetter
from deltamark.domain.sources.places import PlaceForgotten, PlaceMoved

if TYPE_CHECKING:
    import pyarrow as pa


class Writing(Reading, Protocol):
    """One transaction: all of it is stored, or nothing.

    In this order: the transaction, configurations, places in sources, resources and links, waiting links, pending
    changes, flags, derived values, runs and leases, schedules, consumers, retention and erasure, integrity, the store
    as it was.
    """

    # The transaction

    def exported_view(self) -> ExportedView | None:
        """What this transaction sees, for other processes to read as long as it lasts.

        None where they cannot: in a dry run, after an event was written, and from a store that only this process has.
        """
        ...

    @property
    def is_dry_run(self) -> bool:
        """Whether it is part of a dry run and will be undone."""
        ...

    def now(self) -> datetime:
        """The time of this transaction.

        It is never before that of an earlier one.
        """
        ...

    # Configurations

    def append_adoption(self, build: Callable[[str, int, datetime], ConfigurationAdopted], xml: str) -> Position:
        """Appends the adoption that `build` makes of stream, next version and time; returns its position.

        :param xml: the canonical XML of the configuration, which is stored once for all adoptions of it.
        """
        ...

    def append_decision(self, build: Callable[[str, int, datetime], Decommissioned | FedAgain]) -> Position:
        """Appends what `build` makes of stream, next version and time; returns its position."""
        ...

    # Places in sources

    def append_place(
        self, build: Callable[[str, int, datetime, Mapping[str, int]], PlaceMoved | PlaceForgotten]
    ) -> Position:
        """Appends the event that `build` makes of stream, version, time and the newest events of all connections.

        :returns: its position.
        """
        ...

    # Resources and links

    def append_resources(self, entity_type: str, changes: ResourceChanges, origin: Origin) -> Mapping[str, int]:
        """Writes changes of resources to log and state, and unlinks deleted resources.

        :returns: how many links of deleted resources were removed, by association.
        :raises ConcurrentRun: if a resource to create exists, or one to update or delete does not. Whether anything
            else changed since the comparison is for the caller to ask: `changed_since`.
        """
        ...

    def append_links(self, ends: LinkEnds, changes: LinkChanges, origin: Origin) -> None:
        """Writes changes of links to log and state."""
        ...

    def keep_applied_rows(self, entity_type: str, basis: str, digests: RowDigests) -> None:
        """Keeps what the resources of an entity type are now, for `applied_rows`.

        :param digests: without rows if nothing is to be known. Of rows that `applied_rows` gave, `KeptRows` says where
            they are: only what differs is written.
        """
        ...

    def confirm_applied_rows(self, entity_type: str, basis: str) -> None:
        """Notes that the resources are what `applied_rows` says: no row differed."""
        ...

    # Waiting links

    def put_waiting_links(self, association: str, awaited: Iterable[Pair], settled: Iterable[Pair]) -> None:
        """Adds waiting links to an association, and removes those that are settled."""
        ...

    # Pending changes

    def keep_pending(self, run: int, task: int, pending: PendingChanges) -> None:
        """Keeps the pending changes of a task, in place of any that it had in this run."""
        ...

    def drop_pending(self, run: int, task: int) -> None:
        """Drops the pending changes of a task, if there are any."""
        ...

    def block(self, block: Block) -> None:
        """Blocks a connector, in place of any earlier block."""
        ...

    def unblock(self, connector: str) -> None:
        """Unblocks a connector, if it is blocked."""
        ...

    # Flags

    def watch(self, dependencies: Iterable[Dependency]) -> None:
        """Sets the watched dependencies.

        A new one begins at `flagged_to`. The flags of those no longer watched are dropped.
        """
        ...

    def flag_changes(self, after: Position, *, only: Iterable[Dependency] | None = None) -> int:
        """Flags every resource with a watched dependency on a change beyond `after`.

        Follows links as they are now. Flags a resource once for a dependency, with the first and the newest of those
        changes.

        :param only: of the watched dependencies; None for all.
        :returns: how many resources were flagged.
        """
        ...

    def flag_all(self, dependencies: Iterable[Dependency], position: Position) -> int:
        """Flags every resource that these (watched) dependencies concern, at a position.

        Returns how many.
        """
        ...

    def flag(self, streams: pa.Array, dependency: Dependency, position: Position) -> None:
        """Flags these resources for a watched dependency."""
        ...

    def move_flags(self, position: Position) -> None:
        """Moves `flagged_to` to a position."""
        ...

    def drop_read_flags(self) -> None:
        """Drops the flags that every consumer has read."""
        ...

    def move_place(self, consumer: str, rules: Iterable[DerivedRule], place: Place) -> None:
        """Moves a consumer's place with these derivations only."""
        ...

    def keep_consumers(self, kept: Mapping[str, Iterable[DerivedRule]]) -> list[str]:
        """Drops the places of all other consumers, and of these with other derivations.

        Digests do not count.

        :returns: the names of the consumers that have no place any more.
        """
        ...

    # Derived values

    def put_computed(self, changes: ComputedChanges, origin: Origin) -> None:
        """Writes new values of computed properties to log and state."""
        ...

    def put_keys(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        """Sets the keys of a rule for the resources in `values`.

        Columns are ``stream`` and ``value``, which is null for no key.

        :param everything: `values` are those of all live resources of the entity type. Other resources lose their
            keys, and the rule is from now on among `rules_computed`.
        :returns: how many values differed; only those are written.
        """
        ...

    def put_classifications(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        """Sets whether a classification rule holds for the resources in `values`.

        Otherwise like `put_keys`.

        :param values: ``stream``, ``value`` (a Boolean; null is no).
        """
        ...

    def mark_complete(self, rules: Iterable[DerivedRule]) -> None:
        """Marks these derivations as computed for every resource."""
        ...

    def remove_rules(self, rules: Iterable[DerivedRule]) -> int:
        """Removes derivations under any definition, with their keys and classifications.

        Their computed properties must have been set to nothing before.

        :returns: how many keys and classifications were removed.
        """
        ...

    # Runs and leases

    def start_run(self, build: Callable[[str, int, datetime], RunEvent]) -> int:
        """Starts a run with the event that `build` makes of stream, number and time.

        Returns its number.
        """
        ...

    def append_to_run(self, build: Callable[[str, int, datetime], RunEvent], run: int) -> None:
        """Appends to a run the event that `build` makes of stream, next version and time."""
        ...

    def drop_expired_leases(self, tasks: Sequence[str]) -> list[Lease]:
        """Drops the expired leases of some tasks and all other leases of the same runs.

        Returns one for each run.
        """
        ...

    def take_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> None:
        """Takes the free leases of some tasks.

        They expire so long after this transaction.
        """
        ...

    def extend_leases(self, run: int, tasks: Sequence[str], time_to_live_s: float) -> bool:
        """Whether a run still holds the leases of its tasks.

        If it does, this transaction renews them at its end.
        """
        ...

    def release_leases(self, run: int) -> None:
        """Releases the leases of a run."""
        ...

    # Schedules

    def put_schedule(self, schedule: Schedule) -> None:
        """Stores the progress of a job's schedule, in place of any earlier one."""
        ...

    def drop_schedules(self, jobs: Sequence[str]) -> None:
        """Drops the progress of these jobs' schedules: if they come back, they are new."""
        ...

    # Consumers

    def put_consumer(self, place: ConsumerPlace) -> None:
        """Stores the place of a program, instead of any earlier one of that name."""
        ...

    def drop_consumer(self, name: str) -> None:
        """Drops the place of a program."""
        ...

    def put_dead_letter(self, letter: DeadLetter) -> None:
        """Stores a change that a sink refused, instead of an earlier record of the same."""
        ...

    # Notifications

    def put_channel_place(self, place: ChannelPlace) -> None:
        """Stores how far the log was read for a channel, instead of an earlier place."""
        ...

    def put_notification(self, record: NotificationRecord) -> None:
        """Stores a notification for a channel, instead of an earlier record of the same."""
        ...

    def put_verification(self, record: VerificationRecord) -> None:
        """Stores what came of a verification; the oldest of more than a hundred is forgotten."""
        ...

    def drop_notifications(self, before: datetime) -> None:
        """Forgets notifications that were sent and put on record before a time."""
        ...

    # Retention and erasure

    def discard(
        self,
        subjects: Subjects,
        build: Callable[[str, int, datetime, Discarded], ChangesDiscarded],
        run: int,
        *,
        up_to: Position | None = None,
        at_most: int | None = None,
    ) -> Discarded | None:
        """Discards all changes of these subjects, or the oldest.

        Snapshots take their place and a horizon is set.

        :param build: makes the event for the record from stream, version, time and what was discarded.
        :param up_to: only changes up to this position.
        :param at_most: only so many changes.
        :returns: None where there was nothing to discard.
        """
        ...

    def erase(
        self,
        stream: int,
        build: Callable[[str, int, datetime, Emptied], ResourceErased],
        run: int,
        records: Collection[Position] = (),
    ) -> Emptied:
        """Empties all changes of a resource and its links, and drops all else stored of them.

        The resource must be deleted, and every change flagged.

        :param build: makes the event for the record from stream, version, time and what was emptied.
        :param records: positions of `Reading.records_of_rows` that are emptied too.
        """
        ...

    # Integrity

    def remove_ownerless_rows(self) -> None:
        """Deletes keys, classifications, flags and places that belong to no resource or rule."""
        ...

    def replay(self, progress: Progress) -> Replayed:
        """Makes the stored state what the log gives.

        That is resources, links, runs, horizons and waiting links.

        Writes only rows that differ. Where resources or links differed, the places of all consumers are dropped:
        derived values may have been computed from wrong values, and are computed anew.

        :raises StoreError: if the log is not whole.
        """
        ...

    def fill_from(self, source: Reading, progress: Progress) -> Replayed:
        """Fills this new store with the log of another one, and with all else but leases.

        The state is what the log gives.

        :raises UsageError: if this store holds anything.
        :raises StoreError: if the log of the other is not whole.
        """
        ...

    # The store as it was

    def begin_copy(self, source: Reading, until: Position, progress: Progress) -> None:
        """Prepares this new store for the log of another one up to a position, which ends a transaction.

        :raises UsageError: if this store holds anything.
        :raises StoreError: if the log of the other is not whole, or its tables were altered.
        """
        ...

    def copy_log(self, source: Reading, up_to: Position) -> None:
        """Copies the log up to a position; resources, links and runs are what they were there."""
        ...

    def continue_copy(self) -> None:
        """Lets this transaction append to what was copied."""
        ...

    def copy_pending(self, source: Reading, run: int, task: int) -> bool:
        """Copies what a task holds back, and returns whether the other store still has it."""
        ...

    def copy_horizons(self, horizons: Sequence[Horizon]) -> None:
        """Sets horizons."""
        ...

    def end_copy(self, progress: Progress) -> LogVerification:
        """Seals what was written, and verifies it.

        :raises StoreError: if it is not sound.
        """
        ...
