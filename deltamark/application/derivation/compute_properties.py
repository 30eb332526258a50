"""Computing properties, by expressions or a function: stage by stage, so that each reads what those before it gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from deltamark.application.derivation.batch import (
    Tally,
    distinct,
    messages,
    move_places,
    naming_the_resource,
    turn,
)
from deltamark.application.derivation.inputs import Gathering
from deltamark.application.derivation.mapped_to_computed import computed_for_the_first_time, remove_synchronized
from deltamark.application.derivation.user_functions.batches import function_portions
from deltamark.application.derivation.workload import Share, awaited, is_all_flagged, workload
from deltamark.application.ports.evaluator import Computation, Inputs
from deltamark.application.ports.records import ComputedChanges, DerivedRule
from deltamark.application.ports.writing import Writing
from deltamark.application.services import Apply, Done, Scope, Services
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.messages import how_many
from deltamark.domain.resources.events import Origin


def compute_properties(services: Services, task: ComputingTask) -> Apply:
    """Computes the properties of the task's entity types that have an expression, or that its function writes; moves
    the task's place.
    """

    def apply(tx: Writing, scope: Scope) -> Done:
        work = workload(tx, services.plan, task)
        all_flagged = is_all_flagged(tx)
        tx.watch(services.plan.dependencies)
        writing = _ComputedWriting(services, tx, Origin(scope.run, scope.ordinal))
        writing.hand_over(work.shares)
        tally = writing.clear(work.gone)
        for shares in _stages(work.shares):
            tally += writing.compute(shares, task.function_batch_size)
        if all_flagged:
            tx.move_flags(tx.head())
        move_places(tx, task, work)
        tally += Tally(computed=writing.resources, messages=tuple(messages(task, work)))
        return Done(counts=tally.counts, effect=tally.written > 0, messages=tally.messages)

    return apply


def clear_mapped_properties(services: Services, tx: Writing, cause: Origin, entity_types: Iterable[str]) -> list[str]:
    """Removes what expressions made of properties that a mapping feeds now; says so.

    To be called before the extracts are applied: from then on the values are theirs.
    """
    rules = [rule for rule in tx.rules_computed() if rule.kind is DerivationKind.PROPERTY]
    mapped = set()
    for name in entity_types:
        mapping = services.configuration.mapping_of(name)
        mapped |= {(name, found.identifier) for found in (mapping.properties if mapping else ())}
    gone = [rule for rule in rules if (rule.entity_type, rule.name) in mapped]
    if not gone:
        return []
    tx.watch(services.plan.dependencies)
    return list(_ComputedWriting(services, tx, cause).clear(gone).messages)


def _stages(shares: Sequence[Share]) -> Iterator[list[Share]]:
    """The derivations that can be computed together: of one stage and one entity type."""
    groups: dict[tuple[int, str], list[Share]] = {}
    for share in shares:
        groups.setdefault((share.planned.stage, share.entity_type), []).append(share)
    for _, found in sorted(groups.items(), key=lambda item: item[0][0]):
        yield found


def _ahead(portions: Iterator[Computation]) -> Iterator[Computation]:
    """The same, the next one computed while something is done with the one before: computing needs no store."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        coming = beside.submit(next, portions, None)
        while (found := coming.result()) is not None:
            coming = beside.submit(next, portions, None)
            yield found


class _ComputedWriting:
    """Computes and writes properties inside one transaction, and flags what depends on them."""

    def __init__(self, services: Services, tx: Writing, cause: Origin) -> None:
        self._services = services
        self._tx = tx
        self._cause = cause
        self._gathering = Gathering(tx, services.configuration)
        self._awaited = awaited(tx, services.plan)
        self._computed: list[pa.Array] = []

    @property
    def resources(self) -> int:
        """Of how many resources something was computed."""
        return distinct(self._computed)

    def hand_over(self, shares: Sequence[Share]) -> None:
        """Removes what sources gave of the properties that are computed for the first time."""
        for entity_type, names in computed_for_the_first_time(self._tx, shares).items():
            before = self._tx.head()
            if remove_synchronized(self._tx, self._gathering, entity_type, names, self._cause):
                self._tx.flag_changes(before, only=self._awaited)

    def compute(self, shares: Sequence[Share], batch_size: int) -> Tally:
        """Computes the values of one stage that are due.

        :param batch_size: of a function; 0 as it declares.
        """
        found = turn(self._tx, self._gathering, shares)
        if found is None:
            return Tally()
        self._computed += found.inputs.resources.column("stream").chunks
        if shares[0].planned.derivation.maker is None:
            return self._evaluate([share.planned.derivation for share in found.shares], found.inputs)
        derivations = [share.planned.derivation for share in shares]
        portions = function_portions(self._tx, self._services, derivations, found.inputs, batch_size)
        return self._write(found.inputs.entity_type, portions)

    def _evaluate(self, derivations: Sequence[Derivation], inputs: Inputs) -> Tally:
        with naming_the_resource(self._tx):
            return self._write(inputs.entity_type, _ahead(self._services.evaluator.portions(derivations, inputs)))

    def _write(self, entity_type: str, portions: Iterable[Computation]) -> Tally:
        """Portion by portion: what is written of a million resources does not fit into memory at once."""
        before, executed, necessary, computed = self._tx.head(), 0, 0, []
        for found in portions:
            executed, necessary = executed + found.executed, necessary + found.necessary
            if found.rows.num_rows:
                # In an order of its own, so that every store tells the same.
                rows = found.rows.sort_by("stream")
                self._tx.put_computed(ComputedChanges(entity_type=entity_type, rows=rows), self._cause)
                computed.append(rows.select(["stream", "computed"]))
        if computed:
            self._gathering.computed(entity_type, pa.concat_tables(computed))
            self._tx.flag_changes(before, only=self._awaited)
        return Tally(executed=executed, necessary=necessary, written=necessary)

    def clear(self, gone: Sequence[DerivedRule]) -> Tally:
        """Removes the values of derivations that are configured no more."""
        tally = Tally()
        for entity_type in dict.fromkeys(rule.entity_type for rule in gone):
            names = sorted(rule.name for rule in gone if rule.entity_type == entity_type)
            removals = [Derivation(kind=DerivationKind.PROPERTY, name=name, entity_type=entity_type) for name in names]
            done = self._evaluate(removals, self._gathering.all(entity_type, ()))
            told = (
                f"removed {how_many(done.written, 'value')} of {', '.join(f'{entity_type}:{name}' for name in names)}: "
                f"nothing computes {'it' if len(names) == 1 else 'them'} any more"
            )
            tally += Tally(written=done.written, messages=(told,))
        self._tx.remove_rules(gone)
        return tally
