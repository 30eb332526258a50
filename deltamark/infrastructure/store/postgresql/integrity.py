"""Checks the tables and indexes of a PostgreSQL store.

Reading all tables makes the server check its pages, if it was set up with data checksums. Indexes are compared with
their tables by the extension amcheck, if it is there and may be used; otherwise by reading each table in both ways.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import errors

from deltamark.infrastructure.store.database import Database, DatabaseFault

_INDEXES = """SELECT i.indexrelid::bigint, c.relname, t.relname,
        (SELECT string_agg(pg_get_indexdef(i.indexrelid, n, false), ', ' ORDER BY n)
         FROM generate_series(1, i.indnkeyatts) n), i.indisvalid AND i.indisready
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    WHERE t.relnamespace = to_regnamespace(quote_ident(current_schema())) AND t.relkind = 'r'
    AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree') ORDER BY t.relname, c.relname"""

# Each row by its place in the table, and how many stand in the wrong order by the values of the table.
_READ = """SELECT count(*), coalesce(sum(place), 0), count(*) FILTER (WHERE value < before) FROM (
    SELECT place, value, lag(value) OVER () AS before FROM (
        SELECT hashtext(ctid::text)::bigint AS place, ROW({columns}) AS value FROM {table} ORDER BY {columns} OFFSET 0
    ) r) s"""
_BY_INDEX = "SET LOCAL enable_seqscan=off; SET LOCAL enable_bitmapscan=off; SET LOCAL enable_sort=off"
_BY_TABLE = "SET LOCAL enable_indexscan=off; SET LOCAL enable_indexonlyscan=off; SET LOCAL enable_bitmapscan=off"

_DAMAGED = (errors.DataCorrupted, errors.IndexCorrupted)


def faults(db: Database) -> Iterator[DatabaseFault]:
    """Yields the faults of the tables and indexes of the present schema."""
    check = db.one(
        """SELECT quote_ident(n.nspname) || '.bt_index_check' FROM pg_extension e
        JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'"""
    )
    for index, name, table, columns, is_usable in db.all(_INDEXES):
        subject = f"the index {name}"
        if not is_usable:
            yield DatabaseFault(subject=subject, problem="it is not valid", in_index=True)
            continue
        problem = _problem_by_amcheck(db, check, index) if check else None
        if problem is None:
            problem = _problem_by_reading(db, table, columns)
        if problem:
            yield DatabaseFault(subject=subject, problem=problem, in_index=True)


def is_damage(error: Exception) -> bool:
    """Whether an error of the server says that its data are damaged."""
    return isinstance(error, (*_DAMAGED, errors.InternalError, errors.UndefinedTable, errors.UndefinedColumn))


def _problem_by_amcheck(db: Database, check: str, index: int) -> str | None:
    """What is wrong with an index, empty if nothing is, or None if the extension cannot say."""
    db.execute("SAVEPOINT of_index")
    try:
        db.row(f"SELECT {check}(?1::oid::regclass, true)", (index,))
    except _DAMAGED as e:
        db.execute("ROLLBACK TO of_index")
        return e.diag.message_primary or str(e)
    except psycopg.Error:  # no rights, or another signature of the function
        db.execute("ROLLBACK TO of_index")
        return None
    return ""


def _problem_by_reading(db: Database, table: str, columns: str) -> str:
    sql = _READ.format(table=table, columns=columns)
    rows = []
    for settings in (_BY_INDEX, _BY_TABLE):
        db.execute("SAVEPOINT of_index")
        try:
            for setting in settings.split("; "):
                db.execute(setting)
            rows.append(db.row(sql))
        except _DAMAGED as e:
            return e.diag.message_primary or str(e)
        finally:
            db.execute("ROLLBACK TO of_index")
    by_index, by_table = rows
    if by_index == by_table:
        return ""
    return f"reading the table {table} by it gives other rows than reading the table"
