"""DuckDB types of properties, and SQL between stored JSON and the values of expressions."""

from __future__ import annotations

from collections.abc import Iterable

from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import canonical_double, decimal_text
from deltamark.infrastructure.duckdb.dates import canonical_instant

_WITHOUT_ESCAPES = {PropertyType.DECIMAL, PropertyType.GUID, PropertyType.BYTES, PropertyType.BINARY}

_SQL_TYPE = {
    PropertyType.BYTE: "BIGINT",
    PropertyType.INT16: "BIGINT",
    PropertyType.INT32: "BIGINT",
    PropertyType.INT64: "BIGINT",
    PropertyType.DOUBLE: "DOUBLE",
    PropertyType.BOOL: "BOOLEAN",
    PropertyType.DATE_TIME: "TIMESTAMP",
    PropertyType.DATE: "DATE",
}


def sql_type(kind: PropertyType, *, is_collection: bool = False) -> str:
    """The DuckDB type of a property type in expressions.

    It is a list if a path leads over a collection.

    Whole numbers of every width are BIGINT, so that arithmetic does not overflow early. A date with time is a TIMESTAMP
    in UTC. All other types are VARCHAR in canonical text; so are Decimals, because no type of DuckDB holds them all.
    """
    single = _SQL_TYPE.get(kind, "VARCHAR")
    return f"{single}[]" if is_collection else single


def json_paths(names: Iterable[str]) -> str:
    """The SQL list of the JSON paths of these properties, whose names are letters and digits."""
    return "[" + ", ".join(literal(f'$."{name}"') for name in names) + "]"


def typed(text: str, kind: PropertyType) -> str:
    """SQL for the typed value of a text from JSON, or NULL if the text is not of that type."""
    if kind is PropertyType.DECIMAL:
        return decimal_text(text)
    if kind is PropertyType.DATE:  # the cast would cut the time off
        return f"CASE WHEN length({text}) = 10 THEN TRY_CAST({text} AS DATE) END"
    return text if sql_type(kind) == "VARCHAR" else f"TRY_CAST({text} AS {sql_type(kind)})"


def null_if_empty(value: str, kind: PropertyType) -> str:
    """SQL for the value, with NULL in place of an empty text."""
    return f"nullif({value}, '')" if sql_type(kind) == "VARCHAR" else value


def json_of(value: str, kind: PropertyType) -> str:
    """SQL for the JSON of a value, as synchronization writes it, but for `lower_escapes`.

    NULL for NULL.
    """
    if kind is PropertyType.DOUBLE:
        return canonical_double(value)
    if kind is PropertyType.DATE_TIME:
        return f"'\"' || {canonical_instant(value)} || '\"'"
    if kind is PropertyType.DATE:
        return f"'\"' || ({value})::VARCHAR || '\"'"
    if sql_type(kind) != "VARCHAR":
        return f"({value})::VARCHAR"
    return f"'\"' || {value} || '\"'" if kind in _WITHOUT_ESCAPES else f"to_json({value})::VARCHAR"
