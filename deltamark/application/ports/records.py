"""What goes into a store and comes out of it, beside events."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.history.changes import ChangeKind, Position
from deltamark.domain.processes import ProcessState
from deltamark.domain.runs.run import JobRun

if TYPE_CHECKING:
    import pyarrow as pa

Pair: TypeAlias = tuple[str, str]
"""The values of the two columns by which an extract names a link."""


@frozen(kw_only=True)
class ResourceChanges:
    """Changes of the resources of one entity type, as Arrow tables.

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
        """The number of changes."""
        return int(self.created.num_rows + self.updated.num_rows + self.deleted.num_rows)


@frozen(kw_only=True)
class LinkChanges:
    """Changes of the links of one association.

    Both tables: ``source`` and ``target`` (int64, the streams of the two resources), ``source_key``,
    ``target_key``, ``line`` (null where the change comes from no line of an extract).
    """

    linked: pa.Table
    unlinked: pa.Table


@frozen(kw_only=True)
class ComputedChanges:
    """New values of computed properties of the resources of one entity type.

    :param rows: an Arrow table of ``stream``, ``computed`` (a JSON object of all computed properties that have a
        value, sorted, without white space) and ``changes`` (a JSON object: property -> [before, after], only those
        that differ, at least one). ``first`` and ``last`` (int64) may follow: the positions of the changes that made
        the resource dirty, null where none did; and ``whole`` (text): the reason in `WHOLE_REASONS` why these values
        were computed for all resources, null where they were not.
    :param whole: that reason where it is the same for all rows; then they have none of these columns.
    """

    entity_type: str
    rows: pa.Table
    whole: str | None = None


@frozen(kw_only=True)
class LinkEnds:
    """The entity types at the two ends of an association."""

    association: str
    source: str
    target: str


@frozen(kw_only=True)
class DerivedRule:
    """A derivation as the store knows it.

    :param digest: of its definition: values of another definition are not its values.
    """

    kind: DerivationKind
    name: str
    entity_type: str
    digest: str


@frozen(kw_only=True)
class Place:
    """The place of a consumer with one derivation.

    :param flag: the number of the newest flag that it has read.
    :param position: its values take account of every change up to there.
    """

    flag: int
    position: Position


@frozen(kw_only=True)
class Subjects:
    """The entity types and associations that a connector feeds."""

    connector: str
    task: str
    entity_types: tuple[str, ...]
    associations: tuple[str, ...]


@frozen(kw_only=True)
class Discarded:
    """Changes that were discarded: positions, number, and a digest.

    The digest is SHA-256 over the events in position order.

    :param ranges: the positions of all of them, each range with its first and last.
    """

    first: Position
    last: Position
    count: int
    ranges: tuple[tuple[Position, Position], ...]
    digest: str


@frozen(kw_only=True)
class RunSummary:
    """A run with the positions of its first and last event."""

    run: JobRun
    first: Position
    last: Position


@frozen(kw_only=True)
class ChangeBatch:
    """Some changes of the log in columns, in their order.

    :param columns: ``position``, ``at`` (timestamp), ``change``, ``entity_type``, ``key``, ``association``,
        ``other_entity_type``, ``other_key``, ``changes`` (a JSON object: property -> before and after), ``run``,
        ``line``.
    :param origins: run, place of the task in it, entity type or association, and time: each combination once.
    :param origin: for each change, the place of its combination in `origins` (int32).
    """

    columns: pa.RecordBatch
    origins: list[tuple[int, int, str, datetime]]
    origin: pa.Array


@frozen(kw_only=True)
class Narrowing:
    """What is known beforehand of the changes that a reader wants, so that a store can leave out others.

    A store leaves out what its indexes and the bytes of events show to be others, not all of them: the reader still
    decides. What is not named is not narrowed.

    :param spans: only in these spans of positions (exclusive, inclusive), ascending, none overlapping another.
    :param entity_type: only of resources of this type, and of links at either end.
    :param association: only of its links.
    :param properties: only of resources, with one of these among their values.
    :param is_computed: only of computed values.
    :param fed: only of resources of these entity types and of links of these associations, no computed values.
    :param ordinals: only by tasks with one of these places in their run.
    :param kind: only of this kind, see `ChangeKind`.
    """

    spans: tuple[tuple[Position, Position], ...] | None = None
    entity_type: str | None = None
    association: str | None = None
    properties: tuple[str, ...] = ()
    is_computed: bool = False
    fed: frozenset[str] | None = None
    ordinals: tuple[int, ...] = ()
    kind: ChangeKind | None = None


@frozen(kw_only=True)
class Lease:
    """The right of a run to a task: until it expires, no other run may start that task.

    :param heard_at: when the run last renewed it.
    :param is_live: whether it had not expired when it was read, and its process had not ended;
        others may be taken over.
    :param process: what is known about the process of the run.
    """

    task: str
    run: int
    taken_at: datetime
    heard_at: datetime
    is_live: bool
    process: ProcessState = ProcessState.UNKNOWN


@frozen(kw_only=True)
class Schedule:
    """The progress of the schedule of a job.

    :param timing: the expression and the time zone that this holds for; with others the job is new.
    :param handled_to: every due time up to there was handled, or lies before the job was first seen.
    :param run: the newest run that the schedule started; None before the first.
    """

    job: str
    timing: str
    handled_to: datetime
    run: int | None = None


@frozen(kw_only=True)
class Emptied:
    """How many changes were emptied, of which streams, and their positions.

    Positions are ranges, each with its first and last.
    """

    count: int
    streams: tuple[int, ...]
    ranges: tuple[tuple[Position, Position], ...]


@frozen(kw_only=True)
class Space:
    """The space that a store takes on its disk.

    :param free: how much of that is free inside and will be reused; None where only the database itself knows.
    """

    size: int
    free: int | None


@frozen(kw_only=True)
class ExportedView:
    """What a transaction sees, for other processes that read the same.

    :param epoch: identifies the store.
    :param head: the position of the newest event.
    :param token: by which a server of a database gives it to others; None where they see it as long as the transaction
        keeps others from writing.
    """

    epoch: str
    head: int
    token: str | None = None
