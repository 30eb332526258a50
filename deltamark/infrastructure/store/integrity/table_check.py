"""Checks the tables that the log does not prove: the seals of their rows, the sums of them, and the end of the log."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.pending_payloads import StoredPart
from deltamark.infrastructure.store.row_seals import ALTERED, SEALED, UNCOUNTED, altered_rows, sum_of

LOG_END = "log_end"
"""The table of the newest position; SQLite keeps it in `sqlite_sequence`."""


@frozen(kw_only=True)
class TableFault:
    """What is wrong with a table."""

    table: str
    problem: str


def table_faults(db: Database) -> Iterator[TableFault]:
    """Yields the rows of sealed tables that are not what was written, and the tables with lost or added rows."""
    newest, end = db.one("SELECT max(position) FROM moments") or 0, db.log_end()
    if end != newest:
        yield TableFault(table=LOG_END, problem=f"the newest position is {end}; the log ends at {newest}")
    sums = {name: (rows, total) for name, rows, total in db.all("SELECT name, rows, total FROM table_seals")}
    for name in sorted(sums.keys() - SEALED.keys(), key=str):
        yield TableFault(table="table_seals", problem=f"it has the sum of an unknown table, {name}")
    for table in SEALED.values():
        has_altered = False
        for row in altered_rows(db, table):
            has_altered = True
            yield TableFault(table=table.name, problem=ALTERED.format(table.row_name(row)))
        if table.name not in UNCOUNTED and not has_altered:
            yield from _sum_faults(db, table.name, sums.get(table.name))
    for run, task, part, head, content, digest in db.rows("SELECT run, task, part, head, content, digest FROM pending"):
        if not StoredPart(head, bytes(content), digest).is_whole:
            name = SEALED["pending"].row_name((run, task, part, digest))
            yield TableFault(table="pending", problem=f"the content of the row of {name} is not what was written")


def _sum_faults(db: Database, table: str, written: tuple[int, int] | None) -> Iterator[TableFault]:
    stored = sum_of(db, table)
    if stored == written:
        return
    if written is None:
        problem = "the sum of its rows is missing in table_seals"
    elif stored[0] != written[0]:
        problem = f"it has {stored[0]:,} rows; {written[0]:,} were written, according to table_seals"
    else:
        problem = "its rows, or their sum in table_seals, are not what was written"
    yield TableFault(table=table, problem=problem)
