"""Computing correlation keys and classifications: of the flagged resources, or of all."""

from __future__ import annotations

from collections.abc import Sequence

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
from deltamark.application.derivation.workload import Share, workload
from deltamark.application.ports.writing import Writing
from deltamark.application.services import Apply, Done, Scope, Services
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.messages import how_many


def compute_rules(services: Services, task: ComputingTask) -> Apply:
    """Computes the keys, or the classifications, of the task's entity types, and moves the task's place."""

    def apply(tx: Writing, scope: Scope) -> Done:
        work = workload(tx, services.plan, task)
        tx.watch(services.plan.dependencies)
        removed = tx.remove_rules(work.gone) if work.gone else 0
        tally = Tally(written=removed)
        gathering = Gathering(tx, services.configuration)
        for name in work.entity_types:
            shares = work.of(name)
            streams = []
            for part in (
                [share for share in shares if share.everything],
                [share for share in shares if not share.everything],
            ):
                if part and (done := _compute(services, tx, gathering, part)) is not None:
                    tally += done[0]
                    streams += done[1]
            tally += Tally(computed=distinct(streams))
        move_places(tx, task, work)
        told = messages(task, work)
        if removed:
            told.append(f"removed {how_many(removed, task.unit)} of rules that are no longer configured")
        return Done(counts=tally.counts, effect=tally.written > 0, messages=told)

    return apply


def _compute(
    services: Services, tx: Writing, gathering: Gathering, shares: Sequence[Share]
) -> tuple[Tally, list[pa.Array]] | None:
    found = turn(tx, gathering, shares)
    if found is None:
        return None
    with naming_the_resource(tx):
        values = services.evaluator.values([share.planned.derivation for share in found.shares], found.inputs)
    tally = Tally()
    for share, table in zip(found.shares, values, strict=True):
        put = tx.put_classifications if share.rule.kind is DerivationKind.CLASSIFICATION else tx.put_keys
        written = put(share.rule, table, everything=share.everything is not None)
        # What resources that are gone had left is removed too, where everything is computed; it was not computed.
        necessary = min(written, table.num_rows)
        tally += Tally(executed=table.num_rows, necessary=necessary, written=written)
    return tally, list(found.inputs.resources.column("stream").chunks)
