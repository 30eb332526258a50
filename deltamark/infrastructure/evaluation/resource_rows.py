"""The rows that expressions are evaluated over.

One for each resource, with a column for each value that they read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import duckdb
import pyarrow as pa
from attrs import frozen

from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.json_values import json_paths, typed

STREAM, STATE, COMPUTED = '"the stream"', '"the state"', '"the computed"'
"""Columns beside those of properties. Properties have no blank in their names, but one may be called State."""

_IN_STATE, _IN_COMPUTED = '"in the state"', '"in the computed"'
_BITS = 60
"""Derivations in one number, each a bit that is set where it is due."""


class Joins(Protocol):
    """Joins to the table ``resources``."""

    @property
    def columns(self) -> list[str]:
        """What they add to each resource."""
        ...

    @property
    def sql(self) -> str:
        """The joins, each by the column ``stream``."""
        ...


@frozen(kw_only=True)
class ResourceRows:
    """The SQL of the rows and of their values.

    :param names: the properties of the resource itself that are read.
    :param derivations: the number of derivations.
    :param is_partial: whether only what the table ``due_bits`` names is due; other resources then have no rows.
    """

    names: Sequence[str]
    joins: Joins
    derivations: int
    is_partial: bool

    def sql(self, condition: str = "TRUE") -> str:
        """The rows of the table ``resources`` that meet a condition."""
        columns = [
            f"resources.stream AS {STREAM}, resources.state AS {STATE}, resources.computed AS {COMPUTED}",
            *self.joins.columns,
        ]
        if self.names:
            columns += [
                f"json_extract_string(resources.state, {json_paths(self.names)}) AS {_IN_STATE}",
                f"json_extract_string(resources.computed, {json_paths(self.names)}) AS {_IN_COMPUTED}",
            ]
        due = ""
        if self.is_partial:
            columns += [f"due_bits.{_word(n)}" for n in range(_words(self.derivations))]
            due = " JOIN due_bits ON due_bits.stream = resources.stream"
        return f"SELECT {', '.join(columns)} FROM resources{due}{self.joins.sql} WHERE {condition}"

    def is_due(self, derivation: int) -> str:
        """Whether a derivation is due for a row."""
        if not self.is_partial:
            return "TRUE"
        return f"({_word(derivation // _BITS)} & {1 << derivation % _BITS}) <> 0"

    def stated(self, name: str, kind: PropertyType) -> str:
        """The synchronized value of a property."""
        return typed(self._in(_IN_STATE, name), kind)

    def computed(self, name: str, kind: PropertyType) -> str:
        """The stored computed value of a property."""
        return typed(self._in(_IN_COMPUTED, name), kind)

    def is_computed(self, name: str) -> str:
        """Whether a computed value of a property is stored, of any type."""
        return f"{self._in(_IN_COMPUTED, name)} IS NOT NULL"

    def value(self, name: str, kind: PropertyType) -> str:
        """The value of a property: the computed one, or else the synchronized one."""
        return typed(f"coalesce({self._in(_IN_COMPUTED, name)}, {self._in(_IN_STATE, name)})", kind)

    def _in(self, values: str, name: str) -> str:
        return f"{values}[{self.names.index(name) + 1}]"


def create_due_bits(db: duckdb.DuckDBPyConnection, due: pa.Table, derivations: int) -> None:
    """Creates the table ``due_bits`` from pairs of a stream and a derivation, each pair once."""
    columns = {"stream": due.column("stream")}
    for word in range(_words(derivations)):
        bits = pa.array([1 << n % _BITS if n // _BITS == word else 0 for n in range(derivations)], pa.int64())
        columns[f"due {word}"] = bits.take(due.column("derivation"))
    summed = pa.table(columns).group_by("stream").aggregate([(name, "sum") for name in columns if name != "stream"])
    db.register("due_bits", summed.rename_columns(list(columns)))


def _words(derivations: int) -> int:
    return (derivations - 1) // _BITS + 1


def _word(number: int) -> str:
    return f'"due {number}"'
