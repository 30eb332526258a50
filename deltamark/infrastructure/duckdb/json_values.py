"""SQL between the JSON that the store holds and the typed values that expressions compute with."""

from __future__ import annotations

from collections.abc import Iterable

from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.column_types import sql_type
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import canonical_double
from deltamark.infrastructure.duckdb.dates import canonical_instant

_WITHOUT_ESCAPES = {PropertyType.GUID, PropertyType.BYTES, PropertyType.BINARY}


def json_paths(names: Iterable[str]) -> str:
    """The properties of a JSON object as a list of paths, in SQL text. Names are letters and digits."""
    return "[" + ", ".join(literal(f'$."{name}"') for name in names) + "]"


def typed(text: str, kind: PropertyType) -> str:
    """The value that a text out of JSON stands for; NULL where it is none of that type."""
    return text if sql_type(kind) == "VARCHAR" else f"TRY_CAST({text} AS {sql_type(kind)})"


def something(value: str, kind: PropertyType) -> str:
    """A value that says something: an empty text is NULL."""
    return f"nullif({value}, '')" if sql_type(kind) == "VARCHAR" else value


def json_of(value: str, kind: PropertyType) -> str:
    """The JSON of a value, as synchronization spells it once `lower_escapes` went over it; NULL of NULL."""
    if kind is PropertyType.DOUBLE:
        return canonical_double(value)
    if kind is PropertyType.DATE_TIME:
        return f"'\"' || {canonical_instant(value)} || '\"'"
    if sql_type(kind) != "VARCHAR":
        return f"({value})::VARCHAR"
    return f"'\"' || {value} || '\"'" if kind in _WITHOUT_ESCAPES else f"to_json({value})::VARCHAR"
