"""Plans the derivations of a configuration.

Reads every expression once, and reports all faults together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from attrs import frozen

from deltamark.application.ports.evaluator import Evaluator
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, Read
from deltamark.domain.derivation.derivations import Derivation, derivations
from deltamark.domain.derivation.function_columns import reads_of
from deltamark.domain.derivation.plan import Plan, cycles, in_cycles, plan
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.validation.validate import NOTHING_MISSING, Missing, first_faults, in_file_order


@frozen(kw_only=True)
class JudgedPlan:
    """The plan of the derivations that can be computed, and the faults of all others, in file order."""

    plan: Plan
    faults: tuple[Fault, ...]


def derivation_plan(configuration: Configuration, evaluator: Evaluator) -> Plan:
    """The plan of all derivations of a configuration.

    :param configuration: one in which `deltamark.domain.validation.validate.faults` finds nothing.
    :raises ConfigurationError: with all faults of its expressions, in file order: those that cannot be read or
        evaluated, and computed properties that need themselves.
    """
    judged = judged_plan(configuration, evaluator)
    if judged.faults:
        raise ConfigurationError(judged.faults)
    return judged.plan


def judged_plan(configuration: Configuration, evaluator: Evaluator, missing: Missing = NOTHING_MISSING) -> JudgedPlan:
    """Plans the derivations that can be computed, and says what is wrong with all others.

    :param configuration: its `deltamark.domain.validation.judgeable.judgeable` part.
    :param missing: names that could not be read: an expression that reads them is not judged.
    """
    reads: dict[Derivation, tuple[Read, ...]] = {}
    refused = _refused(configuration, evaluator, reads, missing)
    faults = in_file_order(
        chain(
            list(first_faults(refused)),
            first_faults(cycles(configuration, reads)),
            first_faults(_not_evaluable(reads, evaluator)),
        )
    )
    circular = in_cycles(configuration, reads)
    return JudgedPlan(
        plan=plan(configuration, {derivation: reads[derivation] for derivation in reads if derivation not in circular}),
        faults=faults,
    )


def _refused(
    configuration: Configuration,
    evaluator: Evaluator,
    reads: dict[Derivation, tuple[Read, ...]],
    missing: Missing,
) -> Iterator[Fault]:
    """Returns the faults of expressions that cannot be read, and fills `reads` with the others."""
    for derivation in derivations(configuration):
        if not derivation.says_something or configuration.entity_type(derivation.entity_type) is None:
            continue  # told where the rule is checked
        try:
            reads[derivation] = _reads(configuration, evaluator, derivation)
        except ExpressionRefused as refused:
            for problem in refused.problems:
                if problem.unknown is None or not missing.explains(problem.unknown):
                    yield Fault(derivation.location, f"{derivation.described} {problem}")


def _reads(configuration: Configuration, evaluator: Evaluator, derivation: Derivation) -> tuple[Read, ...]:
    if derivation.maker is None:
        return evaluator.reads(derivation)
    return reads_of(configuration, derivation.maker, derivation.entity_type)


def _not_evaluable(reads: Mapping[Derivation, object], evaluator: Evaluator) -> tuple[Fault, ...]:
    return evaluator.faults(derivation for derivation in reads if derivation.maker is None)
