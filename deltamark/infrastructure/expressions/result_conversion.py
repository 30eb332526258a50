"""Converts the result of an expression to the type of its property.

It does so exactly, or with an error that says why not.
"""

from __future__ import annotations

import re
from datetime import date
from math import isfinite
from uuid import UUID

from attrs import evolve

from deltamark.domain.configuration.value_formats import AS_IT_IS
from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.location import Location
from deltamark.domain.values import INTEGER_RANGES, PropertyType, shown
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import conversion
from deltamark.infrastructure.duckdb.dates import iso_day, iso_instant
from deltamark.infrastructure.duckdb.json_values import sql_type
from deltamark.infrastructure.expressions.sql_value import (
    DATES,
    NUMBERS,
    Shape,
    Typed,
    as_decimal,
    as_text,
    computed_once,
    decimal_literal,
    failure,
)

LONGEST_TEXT = 1 << 20
"""Bytes of a computed text. A longer one is not stored."""

_INTEGERS = {
    PropertyType.BYTE: "UTINYINT",
    PropertyType.INT16: "SMALLINT",
    PropertyType.INT32: "INTEGER",
    PropertyType.INT64: "BIGINT",
}
TEXTS = (PropertyType.STRING, PropertyType.FOREIGN_KEY)


def convert(value: Typed, result: PropertyType) -> str:
    """SQL for a value as `sql_type(result)`.

    A value that cannot be converted fails when it is evaluated.

    :raises ExpressionRefused: if no value of that type can be converted.
    """
    if value.is_list:
        raise ExpressionRefused(
            "gives a list, and a property holds one value; make one of it, such as with "
            "array_to_string(…, ', '), list_min(…) or len(…)"
        )
    if value.shape is Shape.NOTHING:
        return f"CAST({value.sql} AS {sql_type(result)})"
    if value.shape is Shape.SPAN:
        raise ExpressionRefused("gives an interval; add it to a date or subtract it from one")
    if result in TEXTS:
        return as_text(value).sql
    if value.shape is Shape.TEXT:
        return _from_text(value, result)
    if result in _INTEGERS and value.shape in NUMBERS:
        return _whole(value, _INTEGERS[result], result)
    if result is PropertyType.DECIMAL and (value.shape in (Shape.WHOLE, Shape.DECIMAL) or _is_exact_number(value)):
        return as_decimal(value).sql
    if result is PropertyType.DOUBLE and value.shape in (Shape.WHOLE, Shape.NUMBER):
        return _checked("isfinite(text)", "text", evolve(value, sql=f"CAST({value.sql} AS DOUBLE)"), result)
    if result is PropertyType.BOOL and value.shape is Shape.BOOLEAN:
        return value.sql
    if result is PropertyType.DATE_TIME and value.shape in DATES:
        instant = evolve(value, sql=f"CAST({value.sql} AS TIMESTAMP)")
        return _checked("year(text) BETWEEN 1 AND 9999", "text", instant, result)
    if result is PropertyType.DATE and value.shape in DATES:
        is_day = "year(text) BETWEEN 1 AND 9999 AND CAST(text AS DATE) = text"
        return _checked(is_day, "CAST(text AS DATE)", value, result)
    raise ExpressionRefused(f"gives {value.described}, but {result.described} is expected{_advice(value, result)}")


def _from_text(value: Typed, result: PropertyType) -> str:
    """Converts a text like a cell of an extract.

    An empty text is no value.
    """
    if result is PropertyType.DATE_TIME:
        canonical = iso_instant("trim(text)")
    elif result is PropertyType.DATE:
        canonical = iso_day("trim(text)")
    else:
        canonical = conversion(result, "text", AS_IT_IS, Location("")).text
    error = _conversion_error("text", result)
    checked = computed_once(value.sql, f"CASE WHEN trim(text) <> '' THEN coalesce({canonical}, {error}) END")
    return f"CAST({checked} AS {sql_type(result)})"


def _whole(value: Typed, kind: str, result: PropertyType) -> str:
    if value.shape is Shape.DECIMAL:
        is_valid = f"NOT contains(text, '.') AND TRY_CAST(text AS {kind}) IS NOT NULL"
    else:
        is_valid = f"coalesce(TRY_CAST(text AS {kind}) = text, false)"
    return f"CAST({_checked(is_valid, f'CAST(text AS {kind})', value, result)} AS BIGINT)"


def _checked(is_valid: str, sql: str, value: Typed, result: PropertyType) -> str:
    """SQL for `sql` if the value meets a condition, else an error.

    Both call the value `text`.
    """
    body = f"CASE WHEN text IS NULL THEN NULL WHEN {is_valid} THEN {sql} ELSE {_conversion_error('text', result)} END"
    return computed_once(value.sql, body)


def _conversion_error(value: str, result: PropertyType) -> str:
    quoted_value = f"left(regexp_replace(CAST({value} AS VARCHAR), '[[:cntrl:]]', ' ', 'g'), 80)"
    expected = literal(f'" where {result.described} is expected')
    return failure(f"'gives \"' || {quoted_value} || {expected}")


def _advice(value: Typed, result: PropertyType) -> str:
    if value.shape is Shape.BOOLEAN:
        return "; write case when … then … else … end"
    if result is PropertyType.BOOL:
        return "; compare it, as in … = 1, or … <> 0 for a bit"
    if result in (PropertyType.DECIMAL, PropertyType.DOUBLE) and value.shape in NUMBERS:
        return f"; convert it with cast(… as {result.label.lower()})"
    if value.shape in DATES:
        return "; take a part of it, as in date_part('year', …)"
    return "; convert it with cast(… as …)"


def _is_exact_number(value: Typed) -> bool:
    return value.shape is Shape.NUMBER and value.exact is not None


def convert_literal(text: str, result: PropertyType) -> str:
    """SQL for the text after `Literal:`, as `sql_type(result)`.

    An empty text is null.

    :raises ExpressionRefused: if it cannot be converted, or if there are no literals of that type.
    """
    if result in (PropertyType.DATE_TIME, PropertyType.BINARY, PropertyType.BYTES):
        instead = ", such as SQL:x: cast('2026-11-24' as timestamp)" if result is PropertyType.DATE_TIME else ""
        raise ExpressionRefused(f"is a literal, which a property of type {result.label} cannot have{instead}")
    if result in TEXTS:
        return literal(text)
    trimmed = text.strip()
    if not trimmed:
        return f"CAST(NULL AS {sql_type(result)})"
    canonical = _canonical_literal(trimmed, result)
    if canonical is None:
        raise ExpressionRefused(f"says {shown(trimmed)}, which is not {result.described}")
    return f"CAST({literal(canonical)} AS {sql_type(result)})"


def _canonical_literal(text: str, result: PropertyType) -> str | None:
    if result in _INTEGERS:
        whole = re.fullmatch(r"([+-]?[0-9]{1,20})(?:\.0*)?", text)
        low, high = INTEGER_RANGES[result]
        return str(int(whole.group(1))) if whole and low <= int(whole.group(1)) <= high else None
    if result is PropertyType.DATE:
        try:
            return date.fromisoformat(text).isoformat() if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
        except ValueError:
            return None
    number = re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text)
    if result is PropertyType.DECIMAL:
        return decimal_literal(text) if number else None
    if result is PropertyType.DOUBLE:
        return repr(float(text)) if number and isfinite(float(text)) else None
    if result is PropertyType.BOOL:
        return {"true": "true", "1": "true", "false": "false", "0": "false"}.get(text.lower())
    digits = re.fullmatch(r"\{?([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})\}?", text.lower())
    return str(UUID(digits.group(1))) if digits else None
