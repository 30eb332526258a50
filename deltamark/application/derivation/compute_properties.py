"""Computes properties by expressions or a function, stage by stage.

Each stage reads the values of earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from attrs import evolve

from deltamark.application.derivation import inputs
from deltamark.application.derivation.batch import (
    Tally,
    count_distinct,
    due_batch,
    messages,
    move_places,
    refusals,
)
from deltamark.application.derivation.grounds import Grounds
from deltamark.application.derivation.inputs import InputReader, each_ahead
from deltamark.application.derivation.parts import Distribution, in_stream_order, types_read
from deltamark.application.derivation.user_functions.answers import Answers, Questions
from deltamark.application.derivation.user_functions.batches import Calls
from deltamark.application.derivation.user_functions.cancellation import ReasonToEnd
from deltamark.application.derivation.workload import Share, View, is_all_flagged, workload
from deltamark.application.digests import needed_dependencies
from deltamark.application.ports.arrow_schemas import REFUSED
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.evaluator import Computation, Inputs
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import ComputedChanges, DerivedRule
from deltamark.application.services import Apply, Scope, Services, TaskResult
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.messages import how_many
from deltamark.domain.resources.events import Origin


def call_function(services: Services, task: ComputingTask, reason_to_end: ReasonToEnd) -> Apply:
    """Calls the task's function for what is due, and plans to write its answers.

    The function is called while no transaction is open: others write meanwhile. What it was given is read in
    transactions that end before.

    :param reason_to_end: why to end the function, while it is called.
    :raises UserTaskFailed: if the function fails, or returns what cannot be written.
    :raises UserTaskCancelled: if the run was cancelled meanwhile.
    """
    assert isinstance(task.maker, UserTask), "a task runs only if its function was loaded"
    answers = Answers(services, task.maker, task.function_batch_size, reason_to_end)
    while questions := _questions(services, task, answers):
        answers.answer(questions)
    return compute_properties(services, task, answers)


def _questions(services: Services, task: ComputingTask, answers: Answers) -> list[Questions]:
    """What the function of a task was not asked yet.

    Without what depends on its own values: that is known when they are written.
    """
    questions = []
    with services.store.reading() as reading:
        input_reader = InputReader(reading, services.configuration)
        work = workload(reading, services.plan, task)
        written = {(share.entity_type, share.planned.derivation.name) for share in work.shares}
        for shares in _stages(work.shares):
            dependencies = (dependency for share in shares for dependency in share.planned.dependencies)
            if any((dependency.leads_to, dependency.property) in written for dependency in dependencies):
                break
            batch = due_batch(reading, input_reader, shares)
            if batch is not None:
                questions.append(answers.unasked(reading, batch.inputs))
    return [question for question in questions if question.rows.num_rows]


def compute_properties(services: Services, task: ComputingTask, calls: Calls | None = None) -> Apply:
    """Plans to compute the properties of the task's entity types, and to move the task's place.

    Those that have an expression, or that the task's function writes.

    :param calls: of the function; None calls it in the transaction, as in a dry run, which is one transaction.
    :raises Unanswered: in the transaction, if the function was not called for what is due.
    """
    chosen = calls or Calls(services, task.function_batch_size)

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        chosen.begin(View.of(tx))
        work = workload(tx, services.plan, task)
        all_flagged = is_all_flagged(tx)
        tx.watch(services.plan.dependencies)
        stages = [*_stages(work.shares)]
        distribution = _distribution(services, tx, stages, has_removals=bool(work.obsolete))
        writer = _ComputedWriter(services, tx, Origin(scope.run, scope.ordinal), distribution)
        tally = writer.clear(work.obsolete)
        for shares in stages:
            tally += writer.compute(shares, chosen)
        if all_flagged:
            tx.move_flags(tx.head())
        move_places(tx, task, work, chosen.views)
        tally += Tally(computed=writer.resources)
        return tally.result([*messages(task, work), *chosen.messages])

    return apply


def _distribution(
    services: Services, tx: Writing, stages: Sequence[Sequence[Share]], *, has_removals: bool
) -> Distribution | None:
    """What workers do of a task; None where this process does everything."""
    if services.workers is None:
        return None
    ours = [shares for shares in stages if _is_evaluated_whole(shares)]
    if not any(_fills_parts(tx, shares[0].entity_type) for shares in ours):
        return None
    view = tx.exported_view()
    if view is None:
        return None
    read = set[str]()
    for shares in ours:
        reads = [read for share in shares for read in share.planned.reads]
        read |= types_read(services.configuration, shares[0].entity_type, reads)
    text = services.configuration_format.write(services.configuration)
    return Distribution(
        services.workers, view, services.configuration, text, keeps=read if len(stages) > 1 or has_removals else ()
    )


def _is_evaluated_whole(shares: Sequence[Share]) -> bool:
    return shares[0].planned.derivation.maker is None and all(share.is_full for share in shares)


def _fills_parts(reading: Reading, entity_type: str) -> bool:
    """Whether an entity type has so many resources that several workers have something to do."""
    return reading.live_resource_count(entity_type, inputs.AT_ONCE + 1) > inputs.AT_ONCE


def _stages(shares: Sequence[Share]) -> Iterator[list[Share]]:
    """The derivations that can be computed together: of one stage and one entity type."""
    groups: dict[tuple[int, str], list[Share]] = {}
    for share in shares:
        groups.setdefault((share.planned.stage, share.entity_type), []).append(share)
    for _, group in sorted(groups.items(), key=lambda item: item[0][0]):
        yield group


def _ahead(portions: Iterator[Computation]) -> Iterator[Computation]:
    """The same portions, each computed in a thread while the caller writes the one before.

    The caller alone uses the store.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, portions, None)
        while (portion := coming.result()) is not None:
            coming = pool.submit(next, portions, None)
            yield portion


class _ComputedWriter:
    """Computes and writes properties inside one transaction, and flags what depends on them."""

    def __init__(self, services: Services, tx: Writing, origin: Origin, distribution: Distribution | None) -> None:
        self._services = services
        self._distribution = distribution
        self._tx = tx
        self._origin = origin
        self._input_reader = InputReader(tx, services.configuration)
        self._needed = needed_dependencies(tx, services.plan)
        self._computed: list[pa.Array] = []

    @property
    def resources(self) -> int:
        """The number of resources of which something was computed."""
        return count_distinct(self._computed)

    def compute(self, shares: Sequence[Share], calls: Calls) -> Tally:
        """Computes the values of one stage that are due."""
        is_evaluated = shares[0].planned.derivation.maker is None
        if _is_evaluated_whole(shares):
            reads = [read for share in shares for read in share.planned.reads]
            derivations = [share.planned.derivation for share in shares]
            grounds = Grounds(shares=tuple(shares), causes=None)
            entity_type = shares[0].entity_type
            if self._distribution is not None and _fills_parts(self._tx, entity_type):
                streams = self._tx.live_streams(entity_type)
                self._computed.append(streams)
                portions = self._distribution.computations(entity_type, derivations, reads, streams)
                return self._write(entity_type, derivations, portions, grounds)
            noted = self._noted(self._input_reader.portions(entity_type, reads))
            return self._evaluate_all(entity_type, derivations, noted, grounds)
        batch = due_batch(self._tx, self._input_reader, shares)
        if batch is None:
            return Tally()
        self._computed += batch.inputs.resources.column("stream").chunks
        if is_evaluated:
            some = [share.planned.derivation for share in batch.shares]
            evaluated = self._services.evaluator.portions(some, batch.inputs)
            return self._write(batch.inputs.entity_type, some, _ahead(evaluated), batch.grounds)
        derivations = [share.planned.derivation for share in shares]
        portions = calls.portions(self._tx, shares, batch.inputs)
        return self._write(batch.inputs.entity_type, derivations, portions, batch.grounds)

    def _noted(self, portions: Iterable[Inputs]) -> Iterator[Inputs]:
        """The same portions, whose resources count as computed."""
        for portion in portions:
            self._computed += portion.resources.column("stream").chunks
            yield portion

    def _evaluate_all(
        self, entity_type: str, derivations: Sequence[Derivation], portions: Iterable[Inputs], grounds: Grounds | str
    ) -> Tally:
        """Computes the values of all live resources of an entity type."""

        def evaluated(inputs: Inputs) -> list[Computation]:
            return list(self._services.evaluator.portions(derivations, inputs))

        return self._write(entity_type, derivations, each_ahead(portions, evaluated), grounds)

    def _write(
        self,
        entity_type: str,
        derivations: Sequence[Derivation],
        portions: Iterable[Computation],
        grounds: Grounds | str,
    ) -> Tally:
        """Writes portion by portion, because a million changes do not fit into memory at once.

        :param grounds: why the values are written, or the word for why those of all resources are (`WHOLE_REASONS`).
        """
        before, executed, necessary, computed, is_written = self._tx.head(), 0, 0, list[pa.Table](), False
        refused, distribution = [REFUSED.empty_table()], self._distribution
        for portion in portions:
            refused += [portion.refused] if portion.refused is not None else []
            executed, necessary = executed + portion.executed, necessary + portion.necessary
            if portion.rows.num_rows:
                # Sorted, so that SQLite and PostgreSQL write the same log.
                rows = in_stream_order(portion.rows)
                changes = ComputedChanges(entity_type=entity_type, rows=rows)
                changes = evolve(changes, whole=grounds) if isinstance(grounds, str) else grounds.added_to(changes)
                self._tx.put_computed(changes, self._origin)
                is_written = True
                if self._input_reader.keeps(entity_type) or (distribution and distribution.keeps(entity_type)):
                    computed.append(rows.select(["stream", "computed"]))
        if computed:
            self._input_reader.note_computed(entity_type, pa.concat_tables(computed))
            if distribution is not None:
                distribution.note_computed(entity_type, pa.concat_tables(computed))
        if is_written:
            self._tx.flag_changes(before, only=self._needed)
        said = refusals(self._tx, derivations, pa.concat_tables(refused))
        return Tally(executed=executed, necessary=necessary, written=necessary, refused=said)

    def clear(self, obsolete: Sequence[DerivedRule]) -> Tally:
        """Removes the values of derivations that are no longer configured."""
        tally = Tally()
        for entity_type in dict.fromkeys(rule.entity_type for rule in obsolete):
            names = sorted(rule.name for rule in obsolete if rule.entity_type == entity_type)
            removals = [Derivation(kind=DerivationKind.PROPERTY, name=name, entity_type=entity_type) for name in names]
            done = self._evaluate_all(entity_type, removals, self._input_reader.portions(entity_type, ()), "removed")
            message = (
                f"removed {how_many(done.written, 'value')} of {', '.join(f'{entity_type}:{name}' for name in names)}: "
                f"nothing computes {'it' if len(names) == 1 else 'them'} any more"
            )
            tally += Tally(written=done.written, messages=(message,))
        self._tx.remove_rules(obsolete)
        return tally
