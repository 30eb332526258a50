"""What others added to the tables of a store, and what would change without a word what Deltamark writes or reads."""

from __future__ import annotations

from deltamark.domain.errors import StoreError
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.postgresql.address import Address
from deltamark.infrastructure.store.postgresql.retention_functions import DISCARD_EVENTS, ERASE_EVENTS

_MOST_NAMED = 5

# A table of partitions, of rows elsewhere or without a write-ahead log stands for a table of the store and is not one.
# Functions and operators: those of the schema may fit an argument better than those of PostgreSQL, and are called then.
_FOREIGN = """
    WITH tables AS (
        SELECT c.oid, c.relname::text AS name, c.relkind, c.relpersistence, c.relrowsecurity, n.oid AS schema
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ?1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    )
    SELECT CASE relkind WHEN 'v' THEN 'the view ' WHEN 'm' THEN 'the materialized view '
            WHEN 'f' THEN 'the foreign table ' ELSE 'the partitioned table ' END || name
        FROM tables WHERE relkind <> 'r'
    UNION ALL SELECT 'the trigger ' || g.tgname::text || ' on ' || t.name
        FROM pg_trigger g JOIN tables t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal
    UNION ALL SELECT 'the rule ' || w.rulename::text || ' on ' || t.name
        FROM pg_rewrite w JOIN tables t ON t.oid = w.ev_class WHERE t.relkind = 'r'
    UNION ALL SELECT 'row-level security on ' || name FROM tables WHERE relrowsecurity
    UNION ALL SELECT 'the foreign key ' || k.conname::text || ' of ' || t.name
        FROM pg_constraint k JOIN tables t ON t.oid = k.conrelid WHERE k.contype = 'f'
    UNION ALL SELECT 'the table ' || i.inhrelid::regclass::text || ' that inherits from ' || t.name
        FROM pg_inherits i JOIN tables t ON t.oid = i.inhparent
    UNION ALL SELECT 'the table ' || i.inhparent::regclass::text || ' that ' || t.name || ' inherits from'
        FROM pg_inherits i JOIN tables t ON t.oid = i.inhrelid
    UNION ALL SELECT 'the table ' || name || ', which is not logged (UNLOGGED) and is emptied after a crash'
        FROM tables WHERE relkind = 'r' AND relpersistence <> 'p'
    UNION ALL SELECT 'the function ' || p.proname::text || '(' || pg_get_function_identity_arguments(p.oid) || ')'
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = ?1 AND NOT (p.proname IN (?2, ?3) AND p.pronargs = 1 AND p.proargtypes[0] = 'bigint'::regtype)
        AND NOT EXISTS (SELECT 1 FROM pg_depend d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL SELECT 'the operator ' || o.oprname::text
        FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
        WHERE n.nspname = ?1
        AND NOT EXISTS (SELECT 1 FROM pg_depend d
            WHERE d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e')
    ORDER BY 1"""


def refuse_foreign_objects(db: Database, address: Address) -> None:
    """Refuses a store with triggers, rules, views and their like, which Deltamark did not make.

    They would alter or swallow what is written, or give other rows to those who read. Functions of extensions are left
    alone.

    :raises StoreError: naming what was found.
    """
    found = [name for (name,) in db.all(_FOREIGN, (address.schema, DISCARD_EVENTS, ERASE_EVENTS))]
    if not found:
        return
    listed = ", ".join(found[:_MOST_NAMED]) + (
        f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    )
    raise StoreError(
        f"store {address}: its schema holds what Deltamark did not make and what can change what is written or read: "
        f"{listed}. Nothing was read or written. Remove it, then see with `deltamark verify` that the log is whole."
    )
