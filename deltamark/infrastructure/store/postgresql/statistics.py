"""Renews the statistics of the planner after large writes.

It does not wait for the server to do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase

FEWEST = 10_000
"""Rows: any plan reads fewer rows fast enough, and the server renews their statistics in time."""

_SHARE = 0.1
"""Share of a table that makes its statistics wrong; the default of the server is the same."""


def renew_statistics(connection: Connection[DictRow], added: Mapping[str, int]) -> None:
    """Analyzes the tables to which a transaction, committed just now, added many rows.

    Never raises an error of the server or the connection, because the task is done. It skips tables that another
    process is analyzing, and tables that the role does not own; the server analyzes them later.

    :param added: table -> rows inserted or updated. Tables of other schemas, also temporary ones, are skipped.
    """
    many = {table: rows for table, rows in added.items() if rows >= FEWEST}
    if not many:
        return
    with suppress(psycopg.Error):
        sizes = PostgreSQLDatabase(connection).all(
            """SELECT c.relname::text, c.reltuples::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = current_schema() AND c.relname = ANY(?1::text[])""",
            (list(many),),
        )
        tables = [Identifier(table) for table, rows in sizes if many[table] >= _SHARE * rows]
        if tables:
            connection.execute(SQL("ANALYZE (SKIP_LOCKED) {}").format(SQL(", ").join(tables)))
