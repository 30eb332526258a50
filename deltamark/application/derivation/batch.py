"""The steps that all computing tasks share: the batch that is due, counts, the new place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import field, frozen

from deltamark.application.derivation.grounds import Grounds
from deltamark.application.derivation.inputs import InputReader
from deltamark.application.derivation.workload import Share, View, Workload, unread_flags
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.evaluator import Inputs
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule, Place
from deltamark.application.services import TaskResult
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import Counts
from deltamark.domain.values import shown


@frozen(kw_only=True)
class Batch:
    """Derivations of one entity type computed together, and the inputs of their resources.

    :param inputs: its `due` numbers the derivations by their place in `shares`.
    :param causes: the flags for which they are due, as `Grounds` has them; None where none was read.
    """

    shares: tuple[Share, ...]
    inputs: Inputs
    causes: pa.Table | None = None

    @property
    def grounds(self) -> Grounds:
        """Why the values are computed."""
        return Grounds(shares=self.shares, causes=self.causes)


def due_batch(reading: Reading, input_reader: InputReader, shares: Sequence[Share]) -> Batch | None:
    """The batch of some derivations of one entity type that is due, or None where nothing is."""
    entity_type = shares[0].entity_type
    reads = [read for share in shares for read in share.planned.reads]
    if all(share.is_full for share in shares):
        return Batch(shares=tuple(shares), inputs=input_reader.all(entity_type, reads))
    partly = [number for number, share in enumerate(shares) if not share.is_full]
    due = unread_flags(reading, [shares[number] for number in partly])
    numbers = pc.take(pa.array(partly, pa.int64()), due.column("derivation"))
    causes = due.set_column(due.schema.get_field_index("derivation"), "derivation", numbers)
    due = causes.select(["stream", "derivation"])
    wholly = [number for number, share in enumerate(shares) if share.is_full]
    if wholly:
        inputs = input_reader.all(entity_type, reads)
        streams = inputs.resources.column("stream")
        for number in wholly:
            every = pa.table({"stream": streams, "derivation": pa.repeat(pa.scalar(number, pa.int64()), len(streams))})
            due = pa.concat_tables([due, every])
        # A deleted resource has no values; its properties went with it.
        due = due.filter(pc.is_in(due.column("stream"), streams.combine_chunks()))
        return Batch(shares=tuple(shares), inputs=input_reader.all(entity_type, reads, due), causes=causes)
    if not due.num_rows:
        return None
    chosen = sorted(set(due.column("derivation").to_pylist()))
    return _partial(input_reader, shares, chosen, causes)


def _partial(input_reader: InputReader, shares: Sequence[Share], chosen: Sequence[int], flags: pa.Table) -> Batch:
    """A batch of flagged resources, with the derivations that are or may become due for them."""
    taken = _with_readers(shares, chosen)
    place = {number: position for position, number in enumerate(taken)}
    renumbered = pa.array([place[number] for number in flags.column("derivation").to_pylist()], pa.int64())
    causes = flags.set_column(flags.schema.get_field_index("derivation"), "derivation", renumbered)
    due = causes.select(["stream", "derivation"])
    streams = due.column("stream").combine_chunks().unique()
    some = tuple(shares[number] for number in taken)
    reads = [read for share in some for read in share.planned.reads]
    inputs = input_reader.some(shares[0].entity_type, streams, reads, due)
    return Batch(shares=some, inputs=inputs, causes=causes)


def _with_readers(shares: Sequence[Share], chosen: Sequence[int]) -> list[int]:
    """The chosen shares, and those that read a property of the same resource computed by them."""
    if shares[0].planned.derivation.kind is not DerivationKind.PROPERTY:
        return list(chosen)
    names: set[str] = set()
    taken = []
    for number, share in enumerate(shares):
        own = {read.property for read in share.planned.reads if not read.path}
        if number in chosen or own & names:
            taken.append(number)
            names.add(share.planned.derivation.name)
    return taken


@frozen(kw_only=True)
class Tally:
    """The counts and messages of a task so far.

    :param refused: messages about values that are not stored, which a user must look at.
    """

    computed: int = 0
    executed: int = 0
    necessary: int = 0
    written: int = 0
    messages: tuple[str, ...] = field(default=())
    refused: tuple[str, ...] = field(default=())

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            computed=self.computed + other.computed,
            executed=self.executed + other.executed,
            necessary=self.necessary + other.necessary,
            written=self.written + other.written,
            messages=(*self.messages, *other.messages),
            refused=(*self.refused, *other.refused),
        )

    @property
    def counts(self) -> Counts:
        """The counts for the record of the run."""
        return Counts(computed=self.computed, executed=self.executed, necessary=self.necessary, written=self.written)

    def result(self, messages: Sequence[str]) -> TaskResult:
        """What the task did.

        :param messages: further ones, after those of the tally.
        """
        return TaskResult(
            counts=self.counts,
            effect=self.written > 0,
            messages=(*self.messages, *messages, *self.refused),
            warned=bool(self.refused),
        )


def refusals(reading: Reading, derivations: Sequence[Derivation], refused: pa.Table) -> tuple[str, ...]:
    """A message for each derivation with values that are too long to be stored, and for each whose expression failed.

    :param refused: as in `Computation`.
    """
    said = []
    for number, derivation in enumerate(derivations):
        of_it = refused.filter(pc.equal(refused.column("derivation"), number))
        has_failed = pc.is_valid(of_it.column("reason"))
        too_long, failed = of_it.filter(pc.invert(has_failed)), of_it.filter(has_failed).sort_by("stream")
        if too_long.num_rows:
            said.append(
                f"{_lacks(reading, derivation, too_long)}: the text is longer than 1 MiB, or may be longer than 16 MiB "
                "on the way. Shorten what the expression reads or makes."
            )
        if failed.num_rows:
            reason = failed.column("reason")[0].as_py()
            said.append(
                f"{_lacks(reading, derivation, failed)}: {reason}. Correct the values that it reads, or the expression "
                "so that it holds for every value."
            )
    return tuple(said)


def _lacks(reading: Reading, derivation: Derivation, refused: pa.Table) -> str:
    streams = refused.column("stream").sort()
    names = reading.names(streams.slice(0, _MOST_LISTED).combine_chunks()).to_pylist()
    keys = ", ".join(shown(name["key"]) for name in names)
    more = f" and {len(streams) - _MOST_LISTED:,} more" if len(streams) > _MOST_LISTED else ""
    resources = f"{how_many(len(streams), 'resource')} of {derivation.entity_type}"
    return f"{derivation.described} has no value for {resources} ({keys}{more})"


def move_places(
    tx: Writing, task: ComputingTask, work: Workload, views: Mapping[DerivedRule, View | None] | None = None
) -> None:
    """Moves the place of a task for each derivation, and drops flags that every task has read.

    To the end of the log where it computed everything, otherwise to the position up to which changes were flagged.

    :param views: of derivations with resources that were left out: their places move only to this view, in which all
        that was due is computed now; None leaves them where they are.
    """
    now = View.of(tx)
    places: dict[Place, list[DerivedRule]] = {}
    for share in work.shares:
        view = (views or {}).get(share.rule, now)
        if view is not None:
            position = view.head if share.is_full else max(share.place.position, view.flagged_to)
            places.setdefault(Place(flag=view.flag, position=position), []).append(share.rule)
    for place, rules in places.items():
        tx.move_place(task.identifier, rules, place)
    moved = {rule for rules in places.values() for rule in rules}
    tx.mark_complete([share.rule for share in work.shares if share.is_full and share.rule in moved])
    tx.drop_read_flags()


def messages(task: ComputingTask, work: Workload) -> list[str]:
    """Messages for people about how much was computed, and why."""
    if not work.shares:
        return [f"there are no {task.computes} of the entity types of this task"]
    if not task.dirty:
        return []
    reasons: dict[str, list[Share]] = {}
    for share in work.shares:
        if share.outdated_reason:
            reasons.setdefault(share.outdated_reason, []).append(share)
    if len(reasons) == 1 and len(next(iter(reasons.values()))) == len(work.shares):
        return [f"computed everything: {next(iter(reasons))}"]
    return [f"computed {_listed(shares)} of all resources: {reason}" for reason, shares in reasons.items()]


_MOST_LISTED = 8


def _listed(shares: Sequence[Share]) -> str:
    names = list(dict.fromkeys(f"{share.entity_type}:{share.planned.derivation.name}" for share in shares))
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(names[:_MOST_LISTED]) + more


def count_distinct(streams: Iterable[pa.Array]) -> int:
    """The number of different streams."""
    return len(pa.chunked_array(list(streams), type=pa.int64()).unique())
