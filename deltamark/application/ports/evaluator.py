"""The port to the evaluation of expressions over many resources at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from deltamark.domain.configuration.entity_model import ConnectionTransformation
from deltamark.domain.derivation.dependency_paths import Read
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.function_columns import FunctionColumn
from deltamark.domain.errors import Fault
from deltamark.domain.synchronization.transformed_tables import TransformedTable

if TYPE_CHECKING:
    import pyarrow as pa


@frozen(kw_only=True)
class Inputs:
    """Resources of one entity type with everything that expressions over them read.

    :param resources: ``stream``, ``state`` (null where deleted), ``computed``; each stream once.
    :param links: path of navigation properties -> ``near`` and ``far``: the streams that its last step links. There
        may be more links and more resources than the paths from these resources reach.
    :param reached: path -> ``stream``, ``state``, ``computed`` of the resources that it leads to.
    :param due: the values to compute: ``stream`` and ``derivation`` (its index among those that are evaluated), each
        pair once; None for every value of every resource.
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
    :param necessary: how many of them differ from the stored ones.
    :param refused: the values that are none because they are too long, or may become so on the way, or because the
        expression fails, for example by a division by zero: ``stream``, ``derivation`` (its index among those that are
        evaluated), ``reason``. None where there is no such value.
    """

    rows: pa.Table
    executed: int
    necessary: int
    refused: pa.Table | None = None


@frozen(kw_only=True)
class RuleValues:
    """The values of keys or classifications.

    :param tables: for each derivation ``stream`` and ``value`` (null: none).
    :param refused: as in `Computation`.
    """

    tables: tuple[pa.Table, ...]
    refused: pa.Table


STREAM = "the stream"
"""The column of streams; no property has a blank in its name."""

DIGEST = "the digest"
"""The column of a digest of all other values of a row."""


class Evaluator(Protocol):
    """Checks and evaluates the expressions of the derivations of one configuration."""

    def reads(self, derivation: Derivation) -> tuple[Read, ...]:
        """What an expression reads, sorted.

        :raises ExpressionRefused: if it does not parse, is not allowed, or names something that does not exist.
        """
        ...

    def faults(self, derivations: Iterable[Derivation]) -> tuple[Fault, ...]:
        """The faults of expressions that `reads` accepts but that cannot be evaluated.

        An example is a comparison of a date with a text that is none.
        """
        ...

    def transformed(self, transformation: ConnectionTransformation) -> TransformedTable:
        """What the query of a transformation reads and gives.

        :raises ExpressionRefused: if it does not parse, is not allowed, or cannot be evaluated.
        """
        ...

    def properties(self, derivations: Sequence[Derivation], inputs: Inputs) -> Computation:
        """Computes properties in order.

        Each reads the new values of those before it in its own resource.

        A derivation with neither binding nor expression stands for a property that is no longer computed: it has no
        value. A value that is not due is also computed where it reads a property of its own resource that changed.
        Deleted resources have no values. A value that its expression fails for is none.

        :raises StoreError: if the stored values of a resource cannot be read.
        """
        ...

    def portions(self, derivations: Sequence[Derivation], inputs: Inputs) -> Iterator[Computation]:
        """Computes as `properties` does, portion by portion.

        Memory does not grow with the number of resources.

        A portion is computed when it is asked for.

        :raises StoreError: as `properties` does, when that portion is asked for.
        """
        ...

    def values(self, derivations: Sequence[Derivation], inputs: Inputs) -> RuleValues:
        """Computes keys (text) or classifications (Boolean) of the resources for which they are due.

        An empty key counts as none, and so does one of more than 4,096 characters. Deleted resources have none. A value
        that its expression fails for is none.

        :raises StoreError: as `properties` does.
        """
        ...

    def tables(self, columns: Sequence[FunctionColumn], inputs: Inputs, at_once: int) -> Iterator[pa.Table]:
        """The values that functions of users read of live resources, in the order of their streams.

        Columns: ``the stream``, ``the digest`` (a text, equal where all values of two rows are equal), and each column
        with the type of its property; a sorted list where a path leads to several resources. A stored value of another
        type than its property now has is null. Ignores `inputs.due`.

        :param at_once: the largest number of resources in one table.
        :raises StoreError: if the stored values of a resource cannot be read.
        """
        ...

    def compare_results(self, derivations: Sequence[Derivation], inputs: Inputs, values: pa.Table) -> Computation:
        """Compares properties that a function returned with the stored ones.

        All (live) resources of the inputs are compared.

        :param values: ``the stream``, and a column for each property under its name, with values as
            `deltamark.application.derivation.user_functions.result_check` writes them.
        :raises StoreError: if the stored values of a resource cannot be read.
        """
        ...
