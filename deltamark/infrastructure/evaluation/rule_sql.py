"""The SQL that evaluates keys and classifications, all of an entity type in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.evaluation.resource_rows import STATE, STREAM, ResourceRows

_LONGEST_KEY = 4_096


@frozen(kw_only=True)
class Rule:
    """A rule whose values are computed.

    :param number: its place among the derivations.
    :param is_boolean: a classification; otherwise a key.
    """

    number: int
    sql: str
    is_boolean: bool

    @property
    def given(self) -> str:
        """The column of what its expression gives."""
        return f'"given {self.number}"'

    @property
    def kept(self) -> str:
        """Its value, of what its expression gives: a key says something, and not too much."""
        if self.is_boolean:
            return self.given
        return f"CASE WHEN {self.given} <> '' AND length({self.given}) <= {_LONGEST_KEY} THEN {self.given} END"


def values_sql(rules: Sequence[Rule], own: Mapping[str, PropertyType], rows: ResourceRows) -> str:
    """``stream``, and of each rule ``due n`` and ``value n``; a value only where it is due.

    :param own: the properties of the resource itself that expressions read, with their types.
    """
    known = "".join(f", {rows.value(name, kind)} AS {quoted(name)}" for name, kind in own.items())
    due = "".join(f', {rows.is_due(rule.number)} AS "is due {rule.number}"' for rule in rules)
    given = "".join(
        f', CASE WHEN {STATE} IS NOT NULL AND "is due {rule.number}" THEN {rule.sql} END AS {rule.given}'
        for rule in rules
    )
    kept = "".join(f', "is due {rule.number}", {rule.kept} AS "value {rule.number}"' for rule in rules)
    return f"""SELECT {STREAM} AS stream{kept} FROM (
        SELECT *{given} FROM (SELECT *{known}{due} FROM ({rows.sql()})))"""


def tables_of(rules: Sequence[Rule], found: pa.Table) -> list[pa.Table]:
    """For each rule its values of the resources for which it is due."""
    tables = []
    for rule in rules:
        schema = pa.schema([("stream", pa.int64()), ("value", pa.bool_() if rule.is_boolean else pa.string())])
        columns = pa.table({"stream": found.column("stream"), "value": found.column(f"value {rule.number}")})
        is_due = found.column(f"is due {rule.number}")
        tables.append((columns if pc.all(is_due).as_py() else columns.filter(is_due)).cast(schema))
    return tables
