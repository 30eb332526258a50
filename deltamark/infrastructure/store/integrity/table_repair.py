"""Puts right the tables that the log does not prove, after their rows were found to be altered, lost or added."""

from __future__ import annotations

from collections.abc import Collection

import orjson

from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.row_seals import SEALED, SealedTable, altered_rows, sealed_rows

DERIVED = ("store", "flags", "dependencies", "places", "rules", "consumed", "correlation_keys", "classifications")
"""Tables that say which derived values are right. If one is faulty, everything that is derived is computed again."""

_NAMES = {"entity_types": ("resources.entity_type",), "associations": ("links.association", "awaited.association")}
"""Tables of names, with the columns that refer to them. The rows with these columns were compared with the log."""


def repair_tables(db: Database, faulty: Collection[str]) -> None:
    """Removes what cannot be trusted from faulty tables, such that nothing is left undone because of it.

    Deleted flags and places make every task compute all resources. Connectors whose block or pending changes cannot be
    trusted stay out of incremental jobs until a complete synchronization. A program whose place was altered reads the
    log from its beginning. A refused change whose record was altered is to be decided again.
    """
    if not set(DERIVED).isdisjoint(faulty):
        for name in ("flags", "dependencies", "places", "consumed"):
            db.execute(f"DELETE FROM {name}")
    if "rules" in faulty:
        for row in list(altered_rows(db, SEALED["rules"])):
            for name in ("correlation_keys", "classifications"):
                db.execute(f"DELETE FROM {name} WHERE rule=?1", (row[0],))
            _delete(db, SEALED["rules"], row)
    for name in ("horizons", "correlation_keys", "classifications", "schedules"):
        if name in faulty:
            for row in list(altered_rows(db, SEALED[name])):
                _delete(db, SEALED[name], row)
    if "consumers" in faulty:
        for row in list(altered_rows(db, SEALED["consumers"])):
            db.execute(
                "UPDATE consumers SET position=0, began_at=0, moved_at=0, moves=moves+1 WHERE name=?1", (row[0],)
            )
    if "dead_letters" in faulty:
        for row in list(altered_rows(db, SEALED["dead_letters"])):
            db.execute(
                """UPDATE dead_letters SET state='open', decided_at=0, decided_by='', reason=''
                WHERE sink=?1 AND position=?2 AND part=?3""",
                row[:3],
            )
    if "channels" in faulty:
        for row in list(altered_rows(db, SEALED["channels"])):
            db.execute("UPDATE channels SET position=0, since=0 WHERE name=?1", (row[0],))
    for name in ("notifications", "verifications"):
        if name in faulty:
            for row in list(altered_rows(db, SEALED[name])):
                _delete(db, SEALED[name], row)
    for name, columns in _NAMES.items():
        if name in faulty:
            unused = " AND ".join(
                f"NOT EXISTS (SELECT 1 FROM {column.split('.')[0]} o WHERE o.{column.split('.')[1]} = {name}.id)"
                for column in columns
            )
            for row in list(altered_rows(db, SEALED[name])):
                db.execute(f"DELETE FROM {name} WHERE id=?1 AND {unused}", (row[0],))
    if not {"pending", "blocked"}.isdisjoint(faulty):
        if "pending" in faulty:
            db.execute("DELETE FROM pending")
        _repair_blocks(db)


def _repair_blocks(db: Database) -> None:
    """Blocks the connectors with pending changes, and those that were blocked, until they are synchronized wholly."""
    table = SEALED["blocked"]
    heads = db.all("SELECT run, task, head FROM pending WHERE part=0 ORDER BY run, task")
    kept = {(run, task) for run, task, _ in heads}
    for row in list(altered_rows(db, table)):
        if row[1:3] in kept:
            _delete(db, table, row)
    stored = {row[0] for row, _ in sealed_rows(db, table)}
    for run, task, text in heads:
        head = orjson.loads(text)
        if head["connector"] not in stored:
            stored.add(head["connector"])
            db.execute(
                "INSERT INTO blocked (connector, run, task, since, needs_complete) VALUES (?1, ?2, ?3, ?4, ?5)",
                (head["connector"], run, task, head["at"], True),
            )
    db.execute("UPDATE blocked SET needs_complete=TRUE")


def _delete(db: Database, table: SealedTable, row: tuple[object, ...]) -> None:
    values = dict(zip(table.columns, row, strict=True))
    condition = " AND ".join(f"{column}=?{number}" for number, column in enumerate(table.key, 1))
    db.execute(f"DELETE FROM {table.name} WHERE {condition}", [values[column] for column in table.key])
