"""Evaluating the expressions of rules over many resources at once."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
from attrs import frozen

from deltamark.domain.errors import DeltamarkError, Fault
from deltamark.domain.model import EntityType
from deltamark.domain.nearest import hint
from deltamark.domain.rules import KeySide
from deltamark.domain.values import PropertyType, shown
from deltamark.infrastructure.columnar.duck import arrow, literal, locked_down, quoted
from deltamark.infrastructure.columnar.functions import FUNCTIONS, NOT_BUILT_YET
from deltamark.infrastructure.columnar.scalar_sql import Refused, is_sql, scalar_sql

VALUES = pa.schema([("stream", pa.int64()), ("value", pa.string())])

_LONGEST_KEY = 4_096

_STREAM, _STATE, _VALUE = '"the stream"', '"the state"', '"the value"'
"""Columns beside those of the properties; no property can be called that, but one may be called State."""

_SQL_TYPE = {
    PropertyType.BYTE: "BIGINT",
    PropertyType.INT16: "BIGINT",
    PropertyType.INT32: "BIGINT",
    PropertyType.INT64: "BIGINT",
    PropertyType.DOUBLE: "DOUBLE",
    PropertyType.BOOL: "BOOLEAN",
    PropertyType.DATE_TIME: "TIMESTAMP",
}


@frozen
class _Compiled:
    """SQL of a value over the columns that it reads."""

    sql: str
    reads: tuple[str, ...]


class DuckEvaluator:
    """Evaluates with DuckDB, about as fast for a million resources as for a thousand calls."""

    def faults(self, side: KeySide, entity_type: EntityType) -> Sequence[Fault]:
        """See `Evaluator.faults`."""
        try:
            compiled = _compiled(side, entity_type)
            self._values(compiled, entity_type, pa.table({"stream": [1], "state": ["{}"]}))
        except Refused as e:
            return [Fault(side.location, f"the {side.side} expression of rule {side.rule} {e}")]
        except duckdb.Error as e:
            reason = str(e).splitlines()[0]
            return [
                Fault(side.location, f"the {side.side} expression of rule {side.rule} cannot be evaluated: {reason}")
            ]
        return []

    def values(self, side: KeySide, entity_type: EntityType, states: pa.Table) -> pa.Table:
        """See `Evaluator.values`."""
        try:
            return self._values(_compiled(side, entity_type), entity_type, states)
        except duckdb.Error as e:
            raise DeltamarkError(
                f"the {side.side} expression of rule {side.rule} failed: {str(e).splitlines()[0]}. Nothing was "
                "changed. Correct the expression so that it holds for every value, and run again."
            ) from e

    def _values(self, compiled: _Compiled, entity_type: EntityType, states: pa.Table) -> pa.Table:
        columns = "".join(f", {_column(name, entity_type)}" for name in compiled.reads)
        value = f"CAST({compiled.sql} AS VARCHAR)"
        sql = f"""SELECT {_STREAM} AS stream, CASE WHEN {_STATE} IS NULL OR {_VALUE} = ''
                OR length({_VALUE}) > {_LONGEST_KEY} THEN NULL ELSE {_VALUE} END AS value FROM (
            SELECT {_STREAM}, {_STATE}, {value} AS {_VALUE} FROM (
                SELECT stream AS {_STREAM}, state AS {_STATE}{columns} FROM states))"""
        with locked_down(states=states) as db:
            return arrow(db, sql, VALUES)


def _column(name: str, entity_type: EntityType) -> str:
    declared = entity_type.property(name)
    assert declared is not None, "expressions are checked before they are evaluated"
    text = f"json_extract_string(state, {literal(f'$.{chr(34)}{name}{chr(34)}')})"
    kind = _SQL_TYPE.get(declared.type)
    return f"{f'TRY_CAST({text} AS {kind})' if kind else text} AS {quoted(name)}"


def _compiled(side: KeySide, entity_type: EntityType) -> _Compiled:
    """The SQL of one side of a rule.

    :raises Refused: with what is wrong.
    """
    expression = (side.expression or "").strip()
    if expression.upper().startswith("C#:"):
        raise Refused(
            "is C#, which is not evaluated; write it as SQL over the properties, such as SQL:person: lower(person.Mail)"
        )
    if is_sql(expression):
        checked = scalar_sql(expression, entity_type)
        return _Compiled(checked.sql, checked.reads)
    if expression.startswith("Literal:"):
        return _Compiled(literal((side.expression or "").lstrip().removeprefix("Literal:")), ())
    name = _bound(side, entity_type)
    sql = f"CAST({quoted(name)} AS VARCHAR)"
    for function in filter(None, expression.split("|")):
        sql = _applied(function.strip(), sql)
    return _Compiled(sql, (name,))


def _bound(side: KeySide, entity_type: EntityType) -> str:
    binding = (side.binding or "").strip().removeprefix(f"{entity_type.identifier}:")
    if not binding:
        raise Refused("has no binding; name the property to read, or write an SQL expression")
    if "." in binding:
        raise Refused(f"reads over the path {shown(binding)}; this version evaluates properties of the resource itself")
    if entity_type.property(binding) is None:
        known = [p.identifier for p in entity_type.properties]
        raise Refused(
            f"is bound to {shown(binding)}, which is no property of {entity_type.identifier}{hint(binding, known)}"
        )
    return binding


def _applied(function: str, sql: str) -> str:
    if function in FUNCTIONS:
        return FUNCTIONS[function](sql)
    name = function.split(":")[0]
    if name in NOT_BUILT_YET:
        raise Refused(f"uses {name}, which is known but not built yet")
    raise Refused(f"uses {shown(name)}, which is no function{hint(name, [*FUNCTIONS, *NOT_BUILT_YET])}")
