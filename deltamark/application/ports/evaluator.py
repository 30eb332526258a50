"""The port to the evaluation of expressions over many resources at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from deltamark.domain.derivation.dependency_paths import Read
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.function_columns import Column
from deltamark.domain.errors import DeltamarkError, Fault

if TYPE_CHECKING:
    import pyarrow as pa


@frozen(kw_only=True)
class Inputs:
    """Resources of one entity type with everything that expressions over them read.

    :param resources: ``stream``, ``state`` (null where deleted), ``computed``; each stream once.
    :param links: path of navigation properties -> ``near`` and ``far``: the streams that its last step links. There
        may be more links and more resources than the paths from these resources reach.
    :param reached: path -> ``stream``, ``state``, ``computed`` of the resources that it leads to.
    :param due: ``stream`` and ``derivation`` (the place among those that are evaluated, from 0), each pair once: which
        values are to be computed; None for every value of every resource.
    """

    entity_type: str
    resources: pa.Table
    links: Mapping[tuple[str, ...], pa.Table] = field(factory=dict)
    reached: Mapping[tuple[str, ...], pa.Table] = field(factory=dict)
    due: pa.Table | None = None


@frozen(kw_only=True)
class Computation:
    """New values of computed properties.

    :param rows: ``stream``, ``computed`` and ``changes`` as in `ComputedChanges`, of resources where a value differs.
    :param executed: how many values were computed; one expression for one resource is one value.
    :param necessary: how many of them differ from what was there.
    """

    rows: pa.Table
    executed: int
    necessary: int


class EvaluationFailed(DeltamarkError):
    """An expression gave no value for a resource: it divided by zero, converted what cannot be converted, overflowed,
    or gave what its property cannot hold.

    :param stream: the first of the resources given that it fails for; the caller knows its name.
    :param reason: a clause without a full stop.
    """

    def __init__(self, derivation: Derivation, stream: int, reason: str) -> None:
        self.derivation = derivation
        self.stream = stream
        self.reason = reason
        super().__init__(
            f"{derivation.described} failed for the resource with stream {stream}: {reason}. Nothing was changed. "
            "Correct the expression so that it holds for every value, and run again."
        )


STREAM = "the stream"
"""The column of streams beside those of properties, of which none has a blank in its name."""


class Evaluator(Protocol):
    """Checks and evaluates the expressions of the derivations of one configuration."""

    def reads(self, derivation: Derivation) -> tuple[Read, ...]:
        """What an expression reads, sorted.

        :raises ExpressionRefused: if it does not parse, holds what is not allowed, or names what does not exist.
        """
        ...

    def fault(self, derivation: Derivation) -> Fault | None:
        """What is wrong with an expression that `reads` lets pass but that cannot be evaluated, such as a comparison
        of a text with a number; None when it can.
        """
        ...

    def properties(self, derivations: Sequence[Derivation], inputs: Inputs) -> Computation:
        """Computes properties, in the order given: what one of them reads of its own resource is the new value of
        those before it.

        A derivation with neither binding nor expression stands for a property that is computed no more: it has no
        value. A value is also computed, although it is not due, where it reads a property of its own resource that
        came out differently. Resources that were deleted have no values.

        :raises EvaluationFailed: if an expression fails for a value.
        :raises StoreError: if what the store holds of a resource cannot be read.
        """
        ...

    def portions(self, derivations: Sequence[Derivation], inputs: Inputs) -> Iterator[Computation]:
        """What `properties` gives, for some of the resources after the other in the order given: memory does not grow
        with their number. Values are computed as the portions are asked for.

        :raises EvaluationFailed, StoreError: as `properties`, when that portion is asked for.
        """
        ...

    def values(self, derivations: Sequence[Derivation], inputs: Inputs) -> Sequence[pa.Table]:
        """The values of keys (text) or classifications (Boolean): for each derivation ``stream`` and ``value`` (null:
        none) of the resources for which it is due.

        An empty key is none, and so is one of more than 4,096 characters. Deleted resources have none.

        :raises EvaluationFailed, StoreError: as for `properties`.
        """
        ...

    def tables(self, columns: Sequence[Column], inputs: Inputs, at_once: int) -> Iterator[pa.Table]:
        """What functions of users read of live resources, in the order of their streams: ``the stream``, and each
        column typed by its property; a list, sorted, where a path leads to several resources.

        A stored value of another type than its property has now is null. `inputs.due` does not count.

        :param at_once: the most resources of one table; there may be fewer.
        :raises StoreError: if what the store holds of a resource cannot be read.
        """
        ...

    def given(self, derivations: Sequence[Derivation], inputs: Inputs, values: pa.Table) -> Computation:
        """Compares properties that a function gave with those stored, of all resources of the inputs; they are live.

        :param values: ``the stream``, and a column for each property, called by its name, with values as
            `deltamark.application.derivation.user_functions.result_check` spells them.
        :raises StoreError: if what the store holds of a resource cannot be read.
        """
        ...
