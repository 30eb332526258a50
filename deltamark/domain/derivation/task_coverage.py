"""Which derived values a computing task computes."""

from __future__ import annotations

from collections.abc import Mapping

from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    ComputingTask,
    PythonTask,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.plan import Plan, Planned

KINDS: Mapping[type[ComputingTask], frozenset[DerivationKind]] = {
    UpdateEntityPropertyExpressionsTask: frozenset({DerivationKind.PROPERTY}),
    ComputeCorrelationKeysTask: frozenset({DerivationKind.SOURCE_KEY, DerivationKind.TARGET_KEY}),
    UpdateClassificationTask: frozenset({DerivationKind.CLASSIFICATION}),
    PythonTask: frozenset({DerivationKind.PROPERTY}),
}
"""What each kind of task computes."""


def covered(plan: Plan, task: ComputingTask) -> tuple[Planned, ...]:
    """The derivations that a task computes, in the order of the plan."""
    found = plan.of(KINDS[type(task)], None if task.all_entity_type else task.entity_types)
    maker = task.function if isinstance(task, PythonTask) else None
    return tuple(planned for planned in found if planned.derivation.maker is maker)
