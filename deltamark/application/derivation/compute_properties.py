"""Computes properties by expressions or a function, stage by stage.

Each stage reads the values of earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from deltamark.application.derivation.batch import (
    Tally,
    count_distinct,
    due_batch,
    evaluation_errors,
    messages,
    move_places,
    refusals,
)
from deltamark.application.derivation.inputs import InputReader
from deltamark.application.derivation.mapped_to_computed import newly_computed, remove_synchronized
from deltamark.application.derivation.user_functions.batches import function_portions
from deltamark.application.derivation.workload import Share, is_all_flagged, needed_dependencies, workload
from deltamark.application.ports.arrow_schemas import REFUSED
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.evaluator import Computation, Inputs
from deltamark.application.ports.records import ComputedChanges, DerivedRule
from deltamark.application.services import Apply, Scope, Services, TaskResult
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.messages import how_many
from deltamark.domain.resources.events import Origin


def compute_properties(services: Services, task: ComputingTask) -> Apply:
    """Plans to compute the properties of the task's entity types, and to move the task's place.

    Those that have an expression, or that the task's function writes.
    """

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        work = workload(tx, services.plan, task)
        all_flagged = is_all_flagged(tx)
        tx.watch(services.plan.dependencies)
        writer = _ComputedWriter(services, tx, Origin(scope.run, scope.ordinal))
        writer.remove_source_values(work.shares)
        tally = writer.clear(work.obsolete)
        for shares in _stages(work.shares):
            tally += writer.compute(shares, task.function_batch_size)
        if all_flagged:
            tx.move_flags(tx.head())
        move_places(tx, task, work)
        tally += Tally(computed=writer.resources)
        return tally.result(messages(task, work))

    return apply


def clear_mapped_properties(services: Services, tx: Writing, origin: Origin, entity_types: Iterable[str]) -> list[str]:
    """Removes the computed values of properties that a mapping feeds now.

    Returns messages about it.

    To be called before the extracts are applied: the values are theirs from then on.
    """
    rules = [rule for rule in tx.rules_computed() if rule.kind is DerivationKind.PROPERTY]
    mapped = set()
    for name in entity_types:
        mapping = services.configuration.mapping_of(name)
        mapped |= {(name, item.identifier) for item in (mapping.properties if mapping else ())}
    obsolete = [rule for rule in rules if (rule.entity_type, rule.name) in mapped]
    if not obsolete:
        return []
    tx.watch(services.plan.dependencies)
    return list(_ComputedWriter(services, tx, origin).clear(obsolete).messages)


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

    def __init__(self, services: Services, tx: Writing, origin: Origin) -> None:
        self._services = services
        self._tx = tx
        self._origin = origin
        self._input_reader = InputReader(tx, services.configuration)
        self._needed = needed_dependencies(tx, services.plan)
        self._computed: list[pa.Array] = []

    @property
    def resources(self) -> int:
        """The number of resources of which something was computed."""
        return count_distinct(self._computed)

    def remove_source_values(self, shares: Sequence[Share]) -> None:
        """Removes the values that sources gave to properties which are computed for the first time."""
        for entity_type, names in newly_computed(self._tx, shares).items():
            before = self._tx.head()
            if remove_synchronized(self._tx, self._input_reader, entity_type, names, self._origin):
                self._tx.flag_changes(before, only=self._needed)

    def compute(self, shares: Sequence[Share], batch_size: int) -> Tally:
        """Computes the values of one stage that are due.

        :param batch_size: of a function; 0 as it declares.
        """
        batch = due_batch(self._tx, self._input_reader, shares)
        if batch is None:
            return Tally()
        self._computed += batch.inputs.resources.column("stream").chunks
        if shares[0].planned.derivation.maker is None:
            return self._evaluate([share.planned.derivation for share in batch.shares], batch.inputs)
        derivations = [share.planned.derivation for share in shares]
        portions = function_portions(self._tx, self._services, derivations, batch.inputs, batch_size)
        return self._write(batch.inputs.entity_type, derivations, portions)

    def _evaluate(self, derivations: Sequence[Derivation], inputs: Inputs) -> Tally:
        with evaluation_errors(self._tx):
            portions = _ahead(self._services.evaluator.portions(derivations, inputs))
            return self._write(inputs.entity_type, derivations, portions)

    def _write(self, entity_type: str, derivations: Sequence[Derivation], portions: Iterable[Computation]) -> Tally:
        """Writes portion by portion, because a million changes do not fit into memory at once."""
        before, executed, necessary, computed = self._tx.head(), 0, 0, []
        refused = [REFUSED.empty_table()]
        for portion in portions:
            refused += [portion.refused] if portion.refused is not None else []
            executed, necessary = executed + portion.executed, necessary + portion.necessary
            if portion.rows.num_rows:
                # Sorted, so that SQLite and PostgreSQL write the same log.
                rows = portion.rows.sort_by("stream")
                self._tx.put_computed(ComputedChanges(entity_type=entity_type, rows=rows), self._origin)
                computed.append(rows.select(["stream", "computed"]))
        if computed:
            self._input_reader.note_computed(entity_type, pa.concat_tables(computed))
            self._tx.flag_changes(before, only=self._needed)
        too_long = refusals(self._tx, derivations, pa.concat_tables(refused))
        return Tally(executed=executed, necessary=necessary, written=necessary, refused=too_long)

    def clear(self, obsolete: Sequence[DerivedRule]) -> Tally:
        """Removes the values of derivations that are no longer configured."""
        tally = Tally()
        for entity_type in dict.fromkeys(rule.entity_type for rule in obsolete):
            names = sorted(rule.name for rule in obsolete if rule.entity_type == entity_type)
            removals = [Derivation(kind=DerivationKind.PROPERTY, name=name, entity_type=entity_type) for name in names]
            done = self._evaluate(removals, self._input_reader.all(entity_type, ()))
            message = (
                f"removed {how_many(done.written, 'value')} of {', '.join(f'{entity_type}:{name}' for name in names)}: "
                f"nothing computes {'it' if len(names) == 1 else 'them'} any more"
            )
            tally += Tally(written=done.written, messages=(message,))
        self._tx.remove_rules(obsolete)
        return tally
