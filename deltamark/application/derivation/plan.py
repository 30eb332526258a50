"""Plans the derivations of a configuration.

Reads every expression once, and reports all faults together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from deltamark.application.ports.evaluator import Evaluator
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, Read
from deltamark.domain.derivation.derivations import Derivation, derivations
from deltamark.domain.derivation.function_columns import reads_of
from deltamark.domain.derivation.plan import Plan, cycles, plan
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.validation.validate import MOST_FAULTS, in_file_order


def derivation_plan(configuration: Configuration, evaluator: Evaluator) -> Plan:
    """The plan of all derivations of a configuration.

    :param configuration: one in which `deltamark.domain.validation.validate.faults` finds nothing.
    :raises ConfigurationError: with all faults of its expressions, in file order: those that cannot be read or
        evaluated, and computed properties that need themselves.
    """
    reads: dict[Derivation, tuple[Read, ...]] = {}
    faults = list(_refused(configuration, evaluator, reads))
    faults += islice(cycles(configuration, reads), MOST_FAULTS)
    faults += _not_evaluable(reads, evaluator)
    if faults:
        raise ConfigurationError(in_file_order(faults)[:MOST_FAULTS])
    return plan(configuration, reads)


def _refused(
    configuration: Configuration, evaluator: Evaluator, reads: dict[Derivation, tuple[Read, ...]]
) -> Iterator[Fault]:
    """Returns the faults of expressions that cannot be read, and fills `reads` with the others."""
    for derivation in derivations(configuration):
        try:
            reads[derivation] = _reads(configuration, evaluator, derivation)
        except ExpressionRefused as refused:
            yield Fault(derivation.location, f"{derivation.described} {refused}")


def _reads(configuration: Configuration, evaluator: Evaluator, derivation: Derivation) -> tuple[Read, ...]:
    if derivation.maker is None:
        return evaluator.reads(derivation)
    return reads_of(configuration, derivation.maker, derivation.entity_type)


def _not_evaluable(reads: Mapping[Derivation, object], evaluator: Evaluator) -> Iterator[Fault]:
    for derivation in reads:
        fault = evaluator.fault(derivation) if derivation.maker is None else None
        if fault is not None:
            yield fault
