"""Computes correlation keys and classifications, of the flagged resources or of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from deltamark.application.derivation.batch import (
    Tally,
    count_distinct,
    due_batch,
    messages,
    move_places,
    refusals,
)
from deltamark.application.derivation.inputs import InputReader, each_ahead
from deltamark.application.derivation.workload import Share, workload
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.evaluator import Inputs, RuleValues
from deltamark.application.services import Apply, Scope, Services, TaskResult
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.messages import how_many


def compute_rules(services: Services, task: ComputingTask) -> Apply:
    """Plans to compute the keys or classifications of the task's types, and to move its place."""

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        work = workload(tx, services.plan, task)
        tx.watch(services.plan.dependencies)
        removed = tx.remove_rules(work.obsolete) if work.obsolete else 0
        tally = Tally(written=removed)
        input_reader = InputReader(tx, services.configuration)
        for name in work.entity_types:
            shares = work.of(name)
            streams = []
            for part in (
                [share for share in shares if share.is_full],
                [share for share in shares if not share.is_full],
            ):
                if part:
                    done, computed = _compute(services, tx, input_reader, part)
                    tally += done
                    streams += computed
            tally += Tally(computed=count_distinct(streams))
        move_places(tx, task, work)
        notes = messages(task, work)
        if removed:
            notes.append(f"removed {how_many(removed, task.unit)} of rules that are no longer configured")
        return tally.result(notes)

    return apply


def _compute(
    services: Services, tx: Writing, input_reader: InputReader, shares: Sequence[Share]
) -> tuple[Tally, list[pa.Array]]:
    """Computes what is due of some shares of one entity type.

    Returns also the streams of the resources.
    """
    if all(share.is_full for share in shares):
        reads = [read for share in shares for read in share.planned.reads]
        chosen, portions = tuple(shares), input_reader.portions(shares[0].entity_type, reads)
    else:
        batch = due_batch(tx, input_reader, shares)
        if batch is None:
            return Tally(), []
        chosen, portions = batch.shares, iter([batch.inputs])
    derivations = [share.planned.derivation for share in chosen]
    streams: list[pa.Array] = []

    def noted() -> Iterator[Inputs]:
        for inputs in portions:
            streams.extend(inputs.resources.column("stream").chunks)
            yield inputs

    found = list(each_ahead(noted(), lambda inputs: [services.evaluator.values(derivations, inputs)]))
    values = RuleValues(
        tables=tuple(map(pa.concat_tables, zip(*(some.tables for some in found), strict=True))),
        refused=pa.concat_tables([some.refused for some in found]),
    )
    tally = Tally(refused=refusals(tx, derivations, values.refused))
    for share, table in zip(chosen, values.tables, strict=True):
        put = tx.put_classifications if share.rule.kind is DerivationKind.CLASSIFICATION else tx.put_keys
        written = put(share.rule, table, everything=share.is_full)
        # `written` also counts the values of deleted resources that are removed; those were not computed.
        necessary = min(written, table.num_rows)
        tally += Tally(executed=table.num_rows, necessary=necessary, written=written)
    return tally, streams
