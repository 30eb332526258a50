"""The port to what is derived of resources, and to what it is derived of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from deltamark.application.ports.records import ComputedChanges, DerivedRule
from deltamark.domain.derivation.dependency_paths import Hop
from deltamark.domain.history.changes import CorrelationKey
from deltamark.domain.resources.events import Cause


class DerivedReading(Protocol):
    """What computing reads, and what it gave."""

    def states(self, entity_type: str, among: pa.Array | None = None) -> pa.Table:
        """Resources: ``stream``, ``state`` (what was synchronized), ``computed`` (what was computed); by stream.

        :param among: of any entity type: only these streams (int64); a deleted one has a null ``state``. None for
            all live resources of the entity type, in the order of their streams.
        """
        ...

    def names(self, streams: pa.Array) -> pa.Table:
        """The resources of some streams: ``stream``, ``entity_type``, ``key``, ``live``; in order of type and key."""
        ...

    def ends(self, hop: Hop, near: pa.Array | None = None) -> pa.Table:
        """The live links of a hop's association: ``near`` and ``far``, streams in the direction of the hop.

        :param near: only links from these streams (int64); None for all.
        """
        ...

    def keys_held(self, rule: DerivedRule) -> pa.Table:
        """The keys that a rule gave, whatever its definition: ``stream``, ``value``."""
        ...

    def classified(self, rule: DerivedRule) -> pa.Array:
        """The streams of the resources that a classification rule holds for (int64), whatever its definition."""
        ...

    def rules_computed(self) -> set[DerivedRule]:
        """The derivations, each with the definition that the values of all resources were last computed with."""
        ...

    def classifications(self, entity_type: str) -> Iterator[tuple[str, list[str]]]:
        """The resources of an entity type that some classification rule holds for: key and names of the rules, by
        key.
        """
        ...

    def correlation_keys(self, rules: Sequence[str] | None) -> Iterator[CorrelationKey]:
        """The keys of some rules, or of all, ordered by rule, side and resource."""
        ...

    def matching_keys(self, rules: Sequence[str]) -> Iterator[CorrelationKey]:
        """The keys whose value both sides of a rule have, ordered by rule, value, side and resource."""
        ...


class DerivedWriting(Protocol):
    """Writing what was computed."""

    def put_computed(self, changes: ComputedChanges, cause: Cause) -> None:
        """Writes new values of computed properties to log and state."""
        ...

    def put_keys(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        """Sets the keys of a rule for the resources in `values` (``stream``, ``value``; null: none).

        Only values that differ are written; returns how many. With `everything`, `values` are those of all live
        resources of the entity type, others lose theirs, and the rule is from now on among `rules_computed`.
        """
        ...

    def put_classifications(self, rule: DerivedRule, values: pa.Table, *, everything: bool) -> int:
        """Sets whether a classification rule holds for the resources in `values` (``stream``, ``value``: a Boolean;
        null is no); otherwise like `put_keys`.
        """
        ...

    def computed_all(self, rules: Iterable[DerivedRule]) -> None:
        """Says that the values of these derivations were computed for all resources."""
        ...

    def remove_rules(self, rules: Iterable[DerivedRule]) -> int:
        """Forgets some derivations, whatever their definition, with the keys and classifications that they gave
        (computed properties are set to nothing before); returns how many keys and classifications that were.
        """
        ...
