"""Which properties of two states of a resource differ, for all resources at once."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from deltamark.application.ports.arrow_schemas import UPDATES
from deltamark.infrastructure.duckdb.connection import arrow
from deltamark.infrastructure.duckdb.json_values import json_paths


def property_names(db: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """The properties that occur in the states of a table, sorted."""
    rows = db.execute(
        f"""SELECT DISTINCT unnest(json_keys(after)) AS name FROM {table} WHERE after IS NOT NULL
        UNION SELECT DISTINCT unnest(json_keys(before)) FROM {table} WHERE before IS NOT NULL ORDER BY name"""
    ).fetchall()
    return [name for (name,) in rows]


def updated_rows(db: duckdb.DuckDBPyConnection, names: list[str] | None = None) -> pa.Table:
    """The rows of `differing` in which a property has another value, with the differences.

    :param names: the properties that occur; None where they are to be found out.
    """
    both = "before IS NOT NULL AND after IS NOT NULL"
    db.execute(f"CREATE TEMP TABLE candidates AS SELECT * FROM differing WHERE {both}")
    names = property_names(db, "candidates") if names is None else names
    if not names:
        return UPDATES.empty_table()
    members = ", ".join(_difference(n, name) for n, name in enumerate(names, 1))
    sql = f"""SELECT key, line, after AS state, changes FROM (
            SELECT key, line, after, '{{' || concat_ws(',', {members}) || '}}' AS changes FROM (
                SELECT key, line, after, json_extract(before, {json_paths(names)}) AS b,
                    json_extract(after, {json_paths(names)}) AS a
                FROM candidates))
        WHERE changes <> '{{}}' ORDER BY line"""
    return arrow(db, sql, UPDATES)


def _difference(n: int, name: str) -> str:
    """SQL for the member of `changes` of one property, or NULL if its value is the same."""
    before, after = f"list_extract(b, {n})", f"list_extract(a, {n})"
    return f"""CASE WHEN {before} IS DISTINCT FROM {after} THEN
        '"{name}":[' || coalesce({before}, 'null') || ',' || coalesce({after}, 'null') || ']' END"""
