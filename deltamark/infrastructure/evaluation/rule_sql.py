"""The SQL that evaluates all keys and classifications of an entity type in one pass."""

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

    :param number: the index of its derivation.
    :param is_boolean: whether it is a classification; otherwise it is a key.
    :param fits: SQL for whether it may be computed; None if it always may. See `Compiled.fits`.
    """

    number: int
    sql: str
    is_boolean: bool
    fits: str | None = None

    @property
    def result(self) -> str:
        """The column of the result of its expression."""
        return f'"result {self.number}"'

    @property
    def value(self) -> str:
        """The SQL of its value: an empty or very long key is none."""
        if self.is_boolean:
            return self.result
        return f"CASE WHEN {self.result} <> '' AND length({self.result}) <= {_LONGEST_KEY} THEN {self.result} END"


def rule_sql(rules: Sequence[Rule], own: Mapping[str, PropertyType], rows: ResourceRows) -> str:
    """The query for ``stream`` and, for each rule, ``is due n``, ``value n`` and ``is refused n``.

    A value is computed only if it is due.

    :param own: the properties of the resource itself that expressions read, with their types.
    """
    inputs = "".join(f", {rows.value(name, kind)} AS {quoted(name)}" for name, kind in own.items())
    due = "".join(f', {rows.is_due(rule.number)} AS "is due {rule.number}"' for rule in rules)
    asked = "".join(f', {STATE} IS NOT NULL AND "is due {rule.number}" AS "is asked {rule.number}"' for rule in rules)
    refused = "".join(
        f', ("is asked {rule.number}" AND NOT {rule.fits or "TRUE"}) AS "is refused {rule.number}"' for rule in rules
    )
    results = "".join(
        f', CASE WHEN "is asked {rule.number}" AND NOT "is refused {rule.number}" THEN {rule.sql} END AS {rule.result}'
        for rule in rules
    )
    values = "".join(
        f', "is due {rule.number}", {rule.value} AS "value {rule.number}", "is refused {rule.number}"' for rule in rules
    )
    return f"""SELECT {STREAM} AS stream{values} FROM (SELECT *{results} FROM (SELECT *{refused} FROM (
        SELECT *{asked} FROM (SELECT *{inputs}{due} FROM ({rows.sql()})))))"""


def rule_values(rules: Sequence[Rule], rows: pa.Table) -> list[pa.Table]:
    """For each rule, its values for the resources for which it is due."""
    tables = []
    for rule in rules:
        schema = pa.schema([("stream", pa.int64()), ("value", pa.bool_() if rule.is_boolean else pa.string())])
        columns = pa.table({"stream": rows.column("stream"), "value": rows.column(f"value {rule.number}")})
        is_due = rows.column(f"is due {rule.number}")
        tables.append((columns if pc.all(is_due).as_py() else columns.filter(is_due)).cast(schema))
    return tables


def refused_rules(rules: Sequence[Rule], rows: pa.Table) -> pa.Table:
    """The ``stream`` and ``derivation`` of each value that is too long to be computed."""
    streams, numbers = [], []
    for rule in rules:
        refused = rows.column("stream").filter(rows.column(f"is refused {rule.number}"))
        streams += refused.chunks
        numbers += [pa.repeat(pa.scalar(rule.number, pa.int64()), len(refused))] if len(refused) else []
    return pa.table(
        {"stream": pa.chunked_array(streams, pa.int64()), "derivation": pa.chunked_array(numbers, pa.int64())}
    )
