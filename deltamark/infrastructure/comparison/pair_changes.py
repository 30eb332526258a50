"""Which links of an association stay when its resources get other keys, or may have fewer links."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from deltamark.application.ports.arrow_schemas import LINKS
from deltamark.application.ports.comparer import KeptPairs, PairChanges
from deltamark.infrastructure.duckdb.connection import Workbench, arrow

_PAIRS = pa.schema([("source_key", pa.string()), ("target_key", pa.string())])
_SURPLUS = pa.schema([*_PAIRS, ("kept_source_key", pa.string()), ("kept_target_key", pa.string())])
_KEYS = pa.schema([("before", pa.string()), ("after", pa.string())])


def pair_changes(workbench: Workbench, links: pa.Table, kept: KeptPairs) -> PairChanges:
    """Compares the links of an association with those that stay: see `Comparer.pairs`."""
    keys = [_KEYS.empty_table() if table is None else table for table in (kept.keys1, kept.keys2)]
    with workbench.connection(current=links, keys1=keys[0], keys2=keys[1]) as db:
        db.execute(
            """CREATE TEMP TABLE pairs AS SELECT DISTINCT source_key, target_key FROM (
                SELECT CASE WHEN a.before IS NULL THEN c.source_key ELSE a.after END AS source_key,
                    CASE WHEN b.before IS NULL THEN c.target_key ELSE b.after END AS target_key
                FROM current c LEFT JOIN keys1 a ON a.before = c.source_key
                LEFT JOIN keys2 b ON b.before = c.target_key)
            WHERE source_key IS NOT NULL AND target_key IS NOT NULL"""
        )
        surplus = _keep_single(db, kept.is_single)
        columns = ", ".join(LINKS.names)
        return PairChanges(
            unlinked=arrow(
                db,
                f"""SELECT {columns} FROM (SELECT c.*, NULL::BIGINT AS line FROM current c
                ANTI JOIN pairs p ON p.source_key = c.source_key AND p.target_key = c.target_key)
                ORDER BY source_key, target_key""",
                LINKS,
            ),
            linked=arrow(
                db,
                """SELECT source_key, target_key FROM pairs p
                ANTI JOIN current c ON p.source_key = c.source_key AND p.target_key = c.target_key
                ORDER BY source_key, target_key""",
                _PAIRS,
            ),
            surplus=surplus,
        )


def _keep_single(db: duckdb.DuckDBPyConnection, is_single: tuple[bool, bool]) -> pa.Table:
    """Removes from `pairs` what is too many at an end, and returns it with what stays there."""
    surplus = [_SURPLUS.empty_table()]
    for single, end, by in zip(is_single, ("source_key", "target_key"), ("target_key", "source_key"), strict=True):
        if not single:
            continue
        first = f"OVER (PARTITION BY {end} ORDER BY {by})"
        db.execute(
            f"""CREATE OR REPLACE TEMP TABLE ranked AS SELECT *, row_number() {first} AS n,
            first_value(source_key) {first} AS kept_source_key, first_value(target_key) {first} AS kept_target_key
            FROM pairs"""
        )
        surplus.append(
            arrow(
                db,
                f"SELECT {', '.join(_SURPLUS.names)} FROM ranked WHERE n > 1 ORDER BY source_key, target_key",
                _SURPLUS,
            )
        )
        db.execute("CREATE OR REPLACE TEMP TABLE pairs AS SELECT source_key, target_key FROM ranked WHERE n = 1")
    return pa.concat_tables(surplus)
