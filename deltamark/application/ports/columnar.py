"""The port to set-wise work: comparing extracts with the state, evaluating expressions over many resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
from attrs import frozen

from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.store import LinkChanges, ResourceChanges
from deltamark.domain.errors import Fault
from deltamark.domain.model import EntityAssociation, EntityType
from deltamark.domain.rules import KeySide


@frozen(kw_only=True)
class ResourceComparison:
    """What an extract changes, and the rows that could not be applied.

    :param unknown: rows of a command column that update what is not there: ``key``, ``line``.
    """

    changes: ResourceChanges
    unknown: pa.Table


@frozen(kw_only=True)
class LinkComparison:
    """What an association's extract changes, and the pairs that could not be applied.

    :param orphans: ``line``, ``value1``, ``value2``, ``missing`` (1 or 2: the end that no resource has).
    :param ambiguous: the same columns; more than one resource has the value of that end.
    :param surplus: ``line``, ``value1``, ``value2``: pairs beyond the one link that an end may have.
    """

    changes: LinkChanges
    orphans: pa.Table
    ambiguous: pa.Table
    surplus: pa.Table


@frozen(kw_only=True)
class LinkSides:
    """The resources at both ends: ``value``, ``stream``, ``key``; and the links held now."""

    first: pa.Table
    second: pa.Table
    held: pa.Table


class Comparer(Protocol):
    """Finds what changed, set against set."""

    def resources(self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType) -> ResourceComparison:
        """A complete extract against all live resources (``key``, ``state``).

        Nothing is deleted whose key is in `extract.kept`, and nothing at all where the extract is incomplete.
        """
        ...

    def commands(self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType) -> ResourceComparison:
        """An extract with a command column against the live resources that it names."""
        ...

    def links(
        self, extract: LinkExtract, sides: LinkSides, association: EntityAssociation, *, complete: bool
    ) -> LinkComparison:
        """Pairs against links; `complete` where every link that the extract does not hold is gone."""
        ...


class Evaluator(Protocol):
    """Checks and evaluates the expressions of rules."""

    def faults(self, side: KeySide, entity_type: EntityType) -> Sequence[Fault]:
        """What is wrong with one side of a rule; empty when it can be evaluated."""
        ...

    def values(self, side: KeySide, entity_type: EntityType, states: pa.Table) -> pa.Table:
        """The value for each of the resources ``stream``, ``state``: ``stream``, ``value`` (null: none).

        A resource whose state is null has no value.
        """
        ...
