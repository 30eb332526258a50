"""Evaluates the SQL of an expression over columns of a test, without the evaluator."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityType, Property, PropertyRef
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, Read, route
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import Workbench, quoted
from deltamark.infrastructure.duckdb.json_values import sql_type
from deltamark.infrastructure.expressions.compiler import Compiled, compile_derivation, register_functions
from deltamark.infrastructure.expressions.sql_value import count_column

ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "DATE": pa.date32(),
}
_WORKBENCH = Workbench()

_PERSON = EntityType(
    "Person",
    [
        Property("Name"),
        Property("Mail"),
        Property("State"),
        Property("Value"),
        Property("Stream"),
        Property("Age", PropertyType.INT32),
        Property("Weight", PropertyType.DOUBLE),
        Property("Active", PropertyType.BOOL),
        Property("Born", PropertyType.DATE_TIME),
        Property("Badge", PropertyType.GUID),
        Property("Salary", PropertyType.DECIMAL),
        Property("Hired", PropertyType.DATE),
        Property("Manager", PropertyType.FOREIGN_KEY),
    ],
)
_DEPARTMENT = EntityType(
    "Department",
    [
        Property("Code"),
        Property("Label"),
        Property("Budget", PropertyType.DOUBLE),
        Property("Size", PropertyType.INT32),
    ],
)
COMPANY = Configuration(
    entity_types=[_PERSON, _DEPARTMENT],
    associations=[
        EntityAssociation(
            "Person_Manager",
            PropertyRef("Person", "Manager"),
            PropertyRef("Person", "Reports"),
            is_property2_collection=True,
        ),
        EntityAssociation(
            "Person_Department",
            PropertyRef("Person", "Department"),
            PropertyRef("Department", "Members"),
            is_property2_collection=True,
        ),
    ],
)
"""People with managers and reports, in departments with members."""


def derivation(
    expression: str | None,
    binding: str | None = None,
    result: PropertyType = PropertyType.STRING,
    entity_type: str = "Person",
) -> Derivation:
    return Derivation(
        kind=DerivationKind.PROPERTY,
        name="Computed",
        entity_type=entity_type,
        binding=binding,
        expression=expression,
        result=result,
    )


def reads(expression: str | None, binding: str | None = None, entity_type: str = "Person") -> list[str]:
    """What an expression reads."""
    compiled = compile_derivation(derivation(expression, binding, entity_type=entity_type), COMPANY)
    return [str(read) for read in compiled.reads]


def refusal(expression: str | None, binding: str | None = None, **of: Any) -> str:
    """Why an expression is refused."""
    try:
        compile_derivation(derivation(expression, binding, **of), COMPANY)
    except ExpressionRefused as refused:
        return str(refused)
    raise AssertionError(f"{expression!r} is not refused")


def values(
    expression: str | None,
    *people: dict[str, Any],
    binding: str | None = None,
    result: PropertyType = PropertyType.STRING,
    entity_type: str = "Person",
) -> list[Any]:
    """The values for some people; the value of a path is given as `{"Manager.Name": …}`."""
    return evaluated(
        compile_derivation(derivation(expression, binding, result, entity_type), COMPANY), people, result, entity_type
    )


def evaluated(
    compiled: Compiled, people: tuple[dict[str, Any], ...], result: PropertyType, entity_type: str = "Person"
) -> list[Any]:
    """The values of a compiled expression; checks their type."""
    columns = {str(read): _column(read, people, entity_type) for read in compiled.reads}
    for read in compiled.reads:
        if pa.types.is_list(columns[str(read)].type):
            columns[count_column(str(read))[1:-1]] = pc.list_value_length(columns[str(read)]).cast(pa.int64())
    table = pa.table(columns | {"the number": pa.array(range(len(people)), pa.int64())})
    _WORKBENCH.prepare(lambda connection: register_functions(connection, compiled.sql))
    with _WORKBENCH.connection(people=table) as db:
        rows = db.execute(
            f"SELECT value, typeof(value) "
            f"FROM (SELECT {compiled.sql} AS value, {quoted('the number')} AS n FROM people) ORDER BY n"
        ).fetchall()
    assert {kind for _, kind in rows} <= {sql_type(result)}, compiled.sql
    return [value for value, _ in rows]


def value(
    expression: str | None,
    binding: str | None = None,
    result: PropertyType = PropertyType.STRING,
    entity_type: str = "Person",
    **person: Any,
) -> Any:
    """The value for one person."""
    (only,) = values(expression, person, binding=binding, result=result, entity_type=entity_type)
    return only


def _column(read: Read, people: tuple[dict[str, Any], ...], entity_type: str) -> pa.Array:
    way = route(COMPANY, entity_type, read.path)
    declared = COMPANY.entity_type(way.leads_to).property(read.property)  # type: ignore[union-attr]
    kind = ARROW[sql_type(declared.type)]  # type: ignore[union-attr]
    return pa.array([p.get(str(read)) for p in people], pa.list_(kind) if way.is_collection else kind)
