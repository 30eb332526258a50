"""The SQL that evaluates all keys and classifications of an entity type in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.application.ports.arrow_schemas import REFUSED
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.evaluation.failures import refused_values
from deltamark.infrastructure.evaluation.resource_rows import STATE, STREAM, ResourceRows

_LONGEST_KEY = 4_096


@frozen(kw_only=True)
class Rule:
    """A rule whose values are computed.

    :param number: the index of its derivation.
    :param is_boolean: whether it is a classification; otherwise it is a key.
    :param fits: SQL for whether it may be computed; None if it always may. See `Compiled.fits`.
    :param is_guarded: as of a `PropertyStep`.
    """

    number: int
    sql: str
    is_boolean: bool
    fits: str | None = None
    is_guarded: bool = False

    @property
    def result(self) -> str:
        """The column of the result of its expression."""
        return f'"result {self.number}"' + (".value" if self.is_guarded else "")

    @property
    def value(self) -> str:
        """The SQL of its value: an empty or very long key is none."""
        if self.is_boolean:
            return self.result
        return f"CASE WHEN {self.result} <> '' AND length({self.result}) <= {_LONGEST_KEY} THEN {self.result} END"


def rule_sql(rules: Sequence[Rule], own: Mapping[str, PropertyType], rows: ResourceRows) -> str:
    """The query for ``stream`` and, for each rule, ``is due n``, ``value n``, ``is refused n`` and ``is failed n``.

    A value is computed only if it is due.

    :param own: the properties of the resource itself that expressions read, with their types.
    """
    inputs = "".join(f", {rows.value(name, kind)} AS {quoted(name)}" for name, kind in own.items())
    due = "".join(f', {rows.is_due(rule.number)} AS "is due {rule.number}"' for rule in rules)
    asked = "".join(f', {STATE} IS NOT NULL AND "is due {rule.number}" AS "is asked {rule.number}"' for rule in rules)
    refused = "".join(
        f', ("is asked {rule.number}" AND NOT {rule.fits or "TRUE"}) AS "is refused {rule.number}"' for rule in rules
    )
    results = "".join(f', {_result(rule)} AS "result {rule.number}"' for rule in rules)
    values = "".join(
        f', "is due {rule.number}", {rule.value} AS "value {rule.number}", "is refused {rule.number}", '
        f'{_has_failed(rule)} AS "is failed {rule.number}"'
        for rule in rules
    )
    return f"""SELECT {STREAM} AS stream{values} FROM (SELECT *{results} FROM (SELECT *{refused} FROM (
        SELECT *{asked} FROM (SELECT *{inputs}{due} FROM ({rows.sql()})))))"""


def _result(rule: Rule) -> str:
    sql = f'CASE WHEN "is asked {rule.number}" AND NOT "is refused {rule.number}" THEN {rule.sql} END'
    return f"TRY({{'value': {sql}}})" if rule.is_guarded else sql


def _has_failed(rule: Rule) -> str:
    return f'"result {rule.number}" IS NULL' if rule.is_guarded else "FALSE"


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
    """The values that are too long to be computed, and those whose expression failed, as `refused_values` has them."""
    return pa.concat_tables(
        [REFUSED.empty_table()]
        + [
            refused_values(rows.column("stream").filter(is_so), rule.number, has_failed=has_failed)
            for rule in rules
            for role, has_failed in (("is refused", False), ("is failed", True))
            for is_so in [rows.column(f"{role} {rule.number}")]
            if pc.any(is_so).as_py()
        ]
    )
