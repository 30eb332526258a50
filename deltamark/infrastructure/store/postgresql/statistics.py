"""What the planner knows of the tables: renewed by whoever wrote much, not a minute later by the server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase

FEWEST = 10_000
"""Rows: what is less is read soon enough by any plan, and the server sees to it in its own time."""

_SHARE = 0.1
"""Of a table: from there on its statistics are of another table. The server's own setting is the same."""


def renew_statistics(connection: Connection[DictRow], added: Mapping[str, int]) -> None:
    """Has the server look at the tables to which a transaction, committed just now, added much.

    Never raises for what the server or the connection does: the task is done. A table that somebody else is looking
    at is passed over, and so are all tables for a role that does not own them; the server looks at them by itself.

    :param added: table -> rows inserted or updated. Tables of other schemas, temporary ones too, are passed over.
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
