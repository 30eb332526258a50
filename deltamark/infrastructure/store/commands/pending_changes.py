"""Keeps pending changes and blocked connectors.

They are not in the log: changes that were held back did not happen.
"""

from __future__ import annotations

from functools import partial

from deltamark.application.ports.pending_changes import Block, PartSummary, PendingChanges
from deltamark.domain.errors import store_damaged
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.database import Same
from deltamark.infrastructure.store.events.mapper import from_micros, to_micros
from deltamark.infrastructure.store.events.pending_payloads import StoredPart, part_summary, pending_of, stored_parts
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import checked_rows
from deltamark.infrastructure.store.session import Session


class PendingQueries(Queries):
    """Queries about pending changes and blocked connectors."""

    def block_of(self, connector: str) -> Block | None:
        """Looks at all blocks: the name of a connector may have been altered."""
        return next((block for block in self.blocks() if block.connector == connector), None)

    def blocks(self) -> list[Block]:
        return [_block(*row) for row in sorted(checked_rows(self._db, "blocked"))]

    def pending_tasks(self, run: int) -> list[int]:
        sql = "SELECT DISTINCT task FROM pending WHERE run=?1 ORDER BY task"
        return [task for (task,) in self._db.all(sql, (run,))]

    def pending_parts(self, run: int) -> list[PartSummary]:
        sql = "SELECT task, part, head FROM pending WHERE run=?1 AND part>0 ORDER BY task, part"
        content = "SELECT content FROM pending WHERE run=?1 AND task=?2 AND part=?3"
        return [
            part_summary(task, part, head, partial(self._db.one, content, (run, task, part)))
            for task, part, head in self._db.all(sql, (run,))
        ]

    def pending_part(self, run: int, task: int, number: int) -> PendingChanges | None:
        sql = """SELECT part, head, content, digest FROM pending WHERE run=?1 AND task=?2 AND part IN (0, ?3)
            ORDER BY part"""
        rows = self._db.all(sql, (run, task, number))
        if len(rows) < 2:
            return None
        return pending_of([StoredPart(*row[1:]) for row in rows], f"the pending changes of run {run}", is_whole=False)

    def pending(self, run: int, task: int) -> PendingChanges | None:
        sql = "SELECT part, head, content, digest FROM pending WHERE run=?1 AND task=?2 ORDER BY part"
        rows = self._db.all(sql, (run, task))
        if not rows:
            return None
        return pending_of([StoredPart(*row[1:]) for row in rows], f"the pending changes of run {run}")


def _block(connector: str, run: int, task: int, since: int, needs_complete: int) -> Block:
    try:
        return Block(
            connector=connector,
            run=int(run),
            task=int(task),
            since=from_micros(since),
            needs_complete=bool(needs_complete),
        )
    except (TypeError, ValueError, OverflowError) as e:
        raise store_damaged(f"the block of connector {connector} cannot be read") from e


class PendingCommands(Session, PendingQueries):
    """Keeps and drops pending changes, blocks and unblocks connectors."""

    def keep_pending(self, run: int, task: int, pending: PendingChanges) -> None:
        """Keeps pending changes, row by row.

        All parts together may exceed the size limit of a value.
        """
        self.drop_pending(run, task)
        with self._sealing("pending", "run=?1 AND task=?2", (run, task)):
            for number, part in enumerate(stored_parts(pending)):
                self._db.insert(
                    "pending",
                    {
                        "run": [run],
                        "task": [task],
                        "part": [number],
                        "head": Same(part.head),
                        "digest": Same(part.digest),
                        "content": pa.array([part.rows], type=pa.binary()),
                    },
                )

    def drop_pending(self, run: int, task: int) -> None:
        condition = "run=?1 AND task=?2"
        with self._sealing("pending", condition, (run, task)):
            self._db.execute(f"DELETE FROM pending WHERE {condition}", (run, task))

    def block(self, block: Block) -> None:
        self.unblock(block.connector)
        with self._sealing("blocked", "connector=?1", (block.connector,)):
            self._db.execute(
                "INSERT INTO blocked (connector, run, task, since, needs_complete) VALUES (?1, ?2, ?3, ?4, ?5)",
                (block.connector, block.run, block.task, to_micros(block.since), block.needs_complete),
            )

    def unblock(self, connector: str) -> None:
        with self._sealing("blocked", "connector=?1", (connector,)):
            self._db.execute("DELETE FROM blocked WHERE connector=?1", (connector,))
