"""The DuckDB types of properties, in the columns that expressions read and in the values that they give."""

from __future__ import annotations

from deltamark.domain.values import PropertyType

_SQL_TYPE = {
    PropertyType.BYTE: "BIGINT",
    PropertyType.INT16: "BIGINT",
    PropertyType.INT32: "BIGINT",
    PropertyType.INT64: "BIGINT",
    PropertyType.DOUBLE: "DOUBLE",
    PropertyType.BOOL: "BOOLEAN",
    PropertyType.DATE_TIME: "TIMESTAMP",
}


def sql_type(kind: PropertyType, *, is_collection: bool = False) -> str:
    """The DuckDB type of values of that property type; of a list of them where a path leads over a collection.

    Whole numbers of every width are BIGINT, so that arithmetic does not overflow early; a date is a TIMESTAMP in
    UTC; whatever else is VARCHAR in its canonical spelling.
    """
    single = _SQL_TYPE.get(kind, "VARCHAR")
    return f"{single}[]" if is_collection else single
